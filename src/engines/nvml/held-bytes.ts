/** What this process holds of a GPU's memory by the driver's own account: contexts and code too, which CUDA hides. */
import { readlinkSync } from 'node:fs';
import { TandemError } from '../../errors.ts';
import { NvmlError } from './bindings.ts';
import { openNvml, type Nvml } from './nvml.ts';

export interface HeldBytesOptions {
  /** Undefined: where the loader finds it. */
  readonly nvmlPath: string | undefined;
  /** `0000:1A:00.0` */
  readonly pciBusId: string;
  /** Whether NVML counts processes as this one does. */
  readonly samePids?: boolean;
}

export interface HeldBytes {
  /** Undefined where NVML does not tell. */
  read(): number | undefined;
  close(): void;
}

/** Asks NVML when it is first read; what it refuses then, it refuses later too. */
export function openHeldBytes({ nvmlPath, pciBusId, samePids = seesAllPids() }: HeldBytesOptions): HeldBytes {
  let nvml: Nvml | undefined;
  let refused = !samePids;
  return {
    read() {
      if (refused) return undefined;
      try {
        nvml ??= openNvml(nvmlPath);
        const own = nvml
          .deviceByPciBusId(pciBusId)
          .processes()
          .find(({ pid }) => pid === process.pid);
        return own?.usedBytes;
      } catch (error) {
        if (!(error instanceof NvmlError) && !(error instanceof TandemError)) throw error;
        refused = true;
        return undefined;
      }
    },
    close() {
      nvml?.close();
      nvml = undefined;
      refused = true;
    },
  };
}

/** PROC_PID_INIT_INO of linux/proc_ns.h: the machine's own numbering, which NVML uses. */
const initialPidNamespace = 'pid:[4026531836]';

/** In a container with numbers of its own another process may have ours. */
function seesAllPids(): boolean {
  try {
    return readlinkSync('/proc/self/ns/pid') === initialPidNamespace;
  } catch {
    return false;
  }
}
