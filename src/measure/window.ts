/** A stretch of a run, as if it had been the whole run. Pure. */
import type { Ledger, RunProfile, RunRecord } from '../run-record.ts';
import { readingBetween } from './difference.ts';
import { summedProfile } from './flame.ts';
import { ledgerOf, type CrewReading } from './ledger.ts';
import { sumOf } from './verdict.ts';

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

/**
 * The record of a stretch of a run that was profiled; its CPU profiles are summed.
 * @param record of the run until then
 */
export function recordOfWindow(record: RunRecord, profile: Omit<RunProfile, 'record'>): RunRecord {
  const { profiles, ledger, ...window } = profile;
  const { fromSeconds, seconds } = window;
  const rowsOut = sumOf(ledger.scorers, ({ rowCount }) => rowCount);
  // The run goes on, and its lists grow.
  const soFar = structuredClone(record);
  const { timeline } = soFar;
  const isWithin =
    timeline !== undefined && timeline.fromMs < (fromSeconds + seconds) * 1000 && timeline.toMs > fromSeconds * 1000;
  return {
    ...soFar,
    window,
    ended: 'done',
    result: { ...soFar.result, rowsOut, wallSeconds: seconds, rowsPerSecond: rowsOut / seconds, ledger },
    timeline: isWithin ? timeline : undefined,
    profiles: profiles.map(({ thread, profile }) => ({ thread, profile: summedProfile(profile) })),
  };
}
