/** The GPUs that CUDA sees: finds and opens what ONNX Runtime needs, lists devices, opens drivers. See `DriverModule`. */
import { TandemError } from '../../errors.ts';
import { adviceFor } from './advice.ts';
import { loadCuda } from './bindings.ts';
import { openCudaDriver, uuidOf, type CudaDriverOptions } from './cuda-driver.ts';
import { GpuError, type DevicePrecision, type GpuDriver, type UsableDevice, type UsableDevices } from './driver.ts';
import { findCuda } from './libraries.ts';
import { nvmlSoname, openNvml } from '../nvml/nvml.ts';
import { openCudaLibraries } from './open-libraries.ts';

export function listDevices(ortDir: string | undefined, precision: DevicePrecision): UsableDevices {
  const found = findCuda({ ...(ortDir === undefined ? {} : { ortDir }), environment: process.env });
  const { core } = openCudaLibraries(found);
  try {
    const { cudart, nvml } = found.libraries;
    const devices = describeDevices(cudart!, nvml, driverVersionOf(nvml), precision);
    return { devices, onnxRuntimePath: core };
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    const { means, remedy } = adviceFor(`CUDA failure ${error.code}`);
    throw new TandemError('ENVIRONMENT', `${error.message} It says: ${means}.`, { remedy, cause: error });
  }
}

/** As NVML says it: CUDA's own number is that of the newest CUDA it runs. */
function driverVersionOf(nvmlPath = nvmlSoname): string | undefined {
  try {
    const nvml = openNvml(nvmlPath);
    const version = nvml.driverVersion();
    nvml.close();
    return version;
  } catch {
    // A container may lack NVML: then profiles do not tell drivers apart.
    return undefined;
  }
}

/** Opens each device for a moment; CUDA keeps its context for the thread that will use it. @throws GpuError */
function describeDevices(
  cudartPath: string,
  nvmlPath: string | undefined,
  driverVersion: string | undefined,
  precision: DevicePrecision,
): UsableDevice[] {
  const count: [number | null] = [null];
  loadCuda(cudartPath).call('cudaGetDeviceCount', count);
  return Array.from({ length: Number(count[0]) }, (_, deviceIndex) => {
    // In full float32 the scores are those of the CPU but for the order of additions.
    const providerOptions = { tf32: precision === 'tf32' };
    const options: CudaDriverOptions = { deviceIndex, cudartPath, nvmlPath, providerOptions };
    const driver = openCudaDriver(options);
    const names = { name: `cuda:${deviceIndex}`, label: driver.name, uuid: uuidOf(cudartPath, deviceIndex) };
    const device = { ...names, driverVersion, ...driver.memory(), options };
    driver.close();
    return device;
  });
}

export function openDriver(options: unknown): GpuDriver {
  return openCudaDriver(options as CudaDriverOptions);
}
