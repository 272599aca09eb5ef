/** The GPUs that CUDA sees: finds and opens what ONNX Runtime needs, lists devices, opens drivers. See `DriverModule`. */
import { TandemError } from '../../errors.ts';
import { adviceFor } from './advice.ts';
import { loadCuda } from './bindings.ts';
import { openCudaDriver, uuidOf, type CudaDriverOptions } from './cuda-driver.ts';
import { GpuError, type GpuDriver, type UsableDevice, type UsableDevices } from './driver.ts';
import { findCuda } from './libraries.ts';
import { openCudaLibraries } from './open-libraries.ts';

export function listDevices(ortDir: string | undefined): UsableDevices {
  const found = findCuda({ ...(ortDir === undefined ? {} : { ortDir }), environment: process.env });
  const { core } = openCudaLibraries(found);
  try {
    return { devices: describeDevices(found.libraries.cudart!, found.libraries.nvml), onnxRuntimePath: core };
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    const { means, remedy } = adviceFor(`CUDA failure ${error.code}`);
    throw new TandemError('ENVIRONMENT', `${error.message} It says: ${means}.`, { remedy, cause: error });
  }
}

/** Opens each device for a moment; CUDA keeps its context for the thread that will use it. @throws GpuError */
function describeDevices(cudartPath: string, nvmlPath: string | undefined): UsableDevice[] {
  const count: [number | null] = [null];
  loadCuda(cudartPath).call('cudaGetDeviceCount', count);
  return Array.from({ length: Number(count[0]) }, (_, deviceIndex) => {
    // Full float32: the scores are those of the CPU but for the order of additions.
    const options: CudaDriverOptions = { deviceIndex, cudartPath, nvmlPath, providerOptions: { tf32: false } };
    const driver = openCudaDriver(options);
    const uuid = uuidOf(cudartPath, deviceIndex);
    const device = { name: `cuda:${deviceIndex}`, label: driver.name, uuid, ...driver.memory(), options };
    driver.close();
    return device;
  });
}

export function openDriver(options: unknown): GpuDriver {
  return openCudaDriver(options as CudaDriverOptions);
}
