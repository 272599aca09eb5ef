/** The GPUs that CUDA sees: finds and opens what ONNX Runtime needs, lists devices, opens drivers. See `DriverModule`. */
import { TandemError } from '../../errors.ts';
import { adviceFor } from './advice.ts';
import { loadCuda } from './bindings.ts';
import { openCudaDriver, propertiesOf, type CudaDriverOptions } from './cuda-driver.ts';
import { GpuError, type DevicePrecision, type GpuDriver, type UsableDevice, type UsableDevices } from './driver.ts';
import { findCuda } from './libraries.ts';
import { nvmlSoname } from '../nvml/bindings.ts';
import { openNvml } from '../nvml/nvml.ts';
import { openCudaLibraries } from './open-libraries.ts';

export function listDevices(ortDir: string | undefined, precision: DevicePrecision): UsableDevices {
  const found = findCuda({ ...(ortDir === undefined ? {} : { ortDir }), environment: process.env });
  const { core } = openCudaLibraries(found);
  const { cudart, nvml } = found.libraries;
  const devices = explained(() => describeDevices(cudart!, nvml, driverVersionOf(nvml), precision));
  return { devices, onnxRuntimePath: core };
}

/** @throws GpuError */
export function describeDevices(
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
    const { name: label, uuid } = propertiesOf(loadCuda(cudartPath), deviceIndex);
    return describeDevice({ name: `cuda:${deviceIndex}`, label, uuid, driverVersion }, options);
  });
}

/**
 * Opens the device when somebody asks for its memory, and not before: the context stays, for the thread that will use it,
 * and takes some hundred MiB. Devices that are not chosen may be somebody else's, or full. Memory is asked for once.
 */
function describeDevice(
  names: Pick<UsableDevice, 'name' | 'label' | 'uuid' | 'driverVersion'>,
  options: CudaDriverOptions,
): UsableDevice {
  let memory: ReturnType<GpuDriver['memory']> | undefined;
  const look = (): ReturnType<GpuDriver['memory']> => {
    const driver = openCudaDriver(options);
    const found = driver.memory();
    driver.close();
    return found;
  };
  return {
    ...names,
    options,
    get freeBytes() {
      return (memory ??= explained(look)).freeBytes;
    },
    get totalBytes() {
      return (memory ??= explained(look)).totalBytes;
    },
  };
}

/** @throws ENVIRONMENT for what `work` throws of CUDA */
function explained<Result>(work: () => Result): Result {
  try {
    return work();
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

export function openDriver(options: unknown): GpuDriver {
  return openCudaDriver(options as CudaDriverOptions);
}
