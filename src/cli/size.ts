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
 * Bytes of `2GiB`, `1.5 GB`, `512Mi` or, of `machineBytes`, `60%`. A bare number is refused: 2 means gigabytes to a
 * person and bytes to a script.
 * @throws USAGE
 */
export function parseBytes(flag: string, text: string, machineBytes = machineMemoryBytes()): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+|%)$/i.exec(text.trim());
  const value = Number(match?.[1]);
  const unit = match?.[2]?.toLowerCase() ?? '';
  const bytes = unit === '%' ? (value / 100) * machineBytes : value * (bytesPerUnit[unit] ?? NaN);
  if (!(bytes >= 1) || bytes > Number.MAX_SAFE_INTEGER || (unit === '%' && value > 100)) {
    throw new TandemError('USAGE', `Expected ${flag} to be a size such as 2GiB, 500MB or 60%, got \`${text}\`.`, {
      remedy:
        'Units: B, KB, MB, GB, TB (powers of 1,000), KiB, MiB, GiB, TiB (powers of 1,024), and % of the memory here.',
    });
  }
  return Math.floor(bytes);
}

/** The machine's memory, or the container's where that is less. */
export function machineMemoryBytes(): number {
  return Math.min(totalmem(), memoryQuota() ?? Infinity);
}
