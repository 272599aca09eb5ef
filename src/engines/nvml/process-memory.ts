/** What this process holds on a GPU, as the driver counts it: contexts and libraries too. */
import { TandemError } from '../../errors.ts';
import { NvmlError, nvmlSoname, openNvml, type NvmlDevice } from './nvml.ts';

export interface ProcessMemory {
  /**
   * Undefined where the driver does not tell: without NVML, on MIG, and in a container whose process numbers are not the
   * machine's.
   */
  heldBytes(): number | undefined;
  close(): void;
}

/**
 * @param pciBusId the name that CUDA gives the device
 * @param path of NVML
 */
export function openProcessMemory(pciBusId: string, path = nvmlSoname): ProcessMemory {
  try {
    const nvml = openNvml(path);
    const device = nvml.deviceByPciBusId(pciBusId);
    return { heldBytes: () => heldBy(process.pid, device), close: () => nvml.close() };
  } catch (error) {
    if (!(error instanceof NvmlError) && !(error instanceof TandemError)) throw error;
    return { heldBytes: () => undefined, close: () => {} };
  }
}

function heldBy(pid: number, device: NvmlDevice): number | undefined {
  try {
    return device.processes().find((process) => process.pid === pid)?.usedBytes;
  } catch (error) {
    if (error instanceof NvmlError) return undefined;
    throw error;
  }
}
