/** The fingerprint by which two runs know that they score in the same way. */
import { createHash } from 'node:crypto';
import type { Contract } from './contract.ts';

/**
 * SHA-256 (hex) of what a contract says about inputs, outputs, kept columns and rows; not of where its files lie, nor of the
 * tolerance of its check. The order of inputs does not matter; that of features, outputs and columns does.
 */
export function contractHash(contract: Contract): string {
  const { version, inputs, outputs, keep, where, renames } = contract;
  const ordered = outputs === undefined ? undefined : Object.entries(outputs);
  return createHash('sha256')
    .update(canonical({ version, inputs, outputs: ordered, keep, where, renames }))
    .digest('hex');
}

/** JSON with sorted keys, without undefined members; NaN and -0 stay what they are. */
function canonical(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`);
  return `{${members.join(',')}}`;
}
