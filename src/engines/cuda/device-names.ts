/** How GPUs are called: by number, as CUDA counts what CUDA_VISIBLE_DEVICES leaves, or by UUID, as it names them. */
import { TandemError } from '../../errors.ts';

/** What `--device` asks for. */
export interface AskedDevices {
  readonly kind: 'cpu' | 'auto' | 'cuda';
  /** `0`, `GPU-1f4c2a` or `MIG-1f4c2a`; empty: all GPUs. */
  readonly names: readonly string[];
}

const name = String.raw`(?:\d+|(?:GPU|MIG)-[\da-fA-F][\da-fA-F-]*)`;
const devicePattern = new RegExp(`^(?:(cpu|auto|cuda)|cuda:(${name}(?:,${name})*))$`);

/** `cpu`, `auto`, `cuda`, `cuda:0,2`, `cuda:GPU-1f4c2a,MIG-77`. @throws USAGE for another text */
export function parseDevice(text: string): AskedDevices {
  const match = devicePattern.exec(text);
  if (match === null) {
    throw new TandemError('USAGE', `Expected the device to be cpu, cuda, cuda:0,2 or auto, got \`${text}\`.`, {
      remedy:
        '`cuda` takes all GPUs that this process sees; `cuda:0,2` the first and the third of them; ' +
        '`cuda:GPU-1f4c2a` the one whose UUID begins like this.',
    });
  }
  if (match[2] !== undefined) return { kind: 'cuda', names: match[2].split(',') };
  return { kind: match[1] as AskedDevices['kind'], names: [] };
}

/** Position of the device that a name means; undefined: none, or several. */
export function positionOf(
  name: string,
  devices: readonly { readonly uuid: string | undefined }[],
): number | undefined {
  if (/^\d+$/.test(name)) return Number(name) < devices.length ? Number(name) : undefined;
  // The 16 bytes tell devices apart; whether they are a GPU's or a slice's is only in how they are written.
  const start = digitsOf(name);
  const found = devices.flatMap(({ uuid }, position) =>
    uuid !== undefined && digitsOf(uuid).startsWith(start) ? [position] : [],
  );
  return found.length === 1 ? found[0] : undefined;
}

function digitsOf(uuid: string): string {
  return uuid.slice(uuid.indexOf('-') + 1).toLowerCase();
}

/**
 * `GPU-1f4c2a3b-...` of the 16 bytes that CUDA gives; `MIG-...` for a slice, which CUDA's name of the device tells
 * (`NVIDIA H200 MIG 1g.18gb`).
 */
export function uuidText(bytes: Uint8Array, deviceName: string): string {
  const digits = Buffer.from(bytes).toString('hex');
  const parts = [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)];
  return `${/\bMIG \d+g\./.test(deviceName) ? 'MIG' : 'GPU'}-${parts.join('-')}`;
}
