/** Sizes of memory as people write them. */
import { totalmem } from 'node:os';
import { TandemError } from '../errors.ts';
import { memoryQuota } from '../machine.ts';

const bytesPerUnit: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/**
 * Bytes of `2GiB`, `1.5 GB`, `512Mi`; a share of `60%`. A bare number is refused: 2 means gigabytes to a person and bytes
 * to a script.
 * @throws USAGE
 */
export function parseSize(flag: string, text: string): { readonly bytes: number } | { readonly share: number } {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+|%)$/i.exec(text.trim());
  const value = Number(match?.[1]);
  const unit = match?.[2]?.toLowerCase() ?? '';
  if (unit === '%' && value > 0 && value <= 100) return { share: value / 100 };
  const bytes = Math.floor(value * (bytesPerUnit[unit] ?? NaN));
  if (bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return { bytes };
  throw new TandemError('USAGE', `Expected ${flag} to be a size such as 2GiB, 500MB or 60%, got \`${text}\`.`, {
    remedy:
      'Units: B, KB, MB, GB, TB (powers of 1,000), KiB, MiB, GiB, TiB (powers of 1,024), and % of the memory there is.',
  });
}

/** Bytes of a size, of which shares are of `machineBytes`. @throws USAGE */
export function parseBytes(flag: string, text: string, machineBytes = machineMemoryBytes()): number {
  const size = parseSize(flag, text);
  return 'bytes' in size ? size.bytes : Math.max(1, Math.floor(size.share * machineBytes));
}

/** The machine's memory, or the container's where that is less. */
export function machineMemoryBytes(): number {
  return Math.min(totalmem(), memoryQuota() ?? Infinity);
}
