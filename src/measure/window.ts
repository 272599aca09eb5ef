/** The ledger of a stretch of a run, as if it had been the whole run. Pure. */
import type { Ledger } from '../run-record.ts';
import { readingBetween } from './difference.ts';
import { ledgerOf, type CrewReading } from './ledger.ts';

/**
 * A thread that writes while it is read is off by one activity, and what no batch had accounted for at the first reading
 * went to another part later: the parts are fitted to the time between the two.
 */
export function ledgerBetween(from: CrewReading, to: CrewReading, context: Parameters<typeof ledgerOf>[1]): Ledger {
  const { wallMs, prep, writer, devices } = readingBetween(from, to);
  const fit = <T extends { readonly parts: Readonly<Record<string, number>> }>(sheet: T): T => ({
    ...sheet,
    parts: fitted(sheet.parts, wallMs),
  });
  const reading = { wallMs, prep: prep.map(fit), writer: writer && fit(writer), devices: devices.map(fit) };
  return ledgerOf(reading, context);
}

/** None below 0, and together the wall time. */
export function fitted(parts: Readonly<Record<string, number>>, wallMs: number): Record<string, number> {
  const positive = Object.entries(parts).map(([name, milliseconds]) => [name, Math.max(0, milliseconds)] as const);
  const sum = positive.reduce((total, [, milliseconds]) => total + milliseconds, 0);
  return Object.fromEntries(
    positive.map(([name, milliseconds]) => [name, sum === 0 ? 0 : (milliseconds / sum) * wallMs]),
  );
}
