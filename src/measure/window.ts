/** A stretch of a run as if it had been the whole run, so that it has a ledger. Pure. */
import { byActivity } from './activities.ts';
import { partNames, type ByPart } from './device-sheet.ts';
import type { CrewReading } from './ledger.ts';
import type { SheetReading } from './time-sheet.ts';

/**
 * What threads and GPUs did from one reading to a later one. A thread that writes while it is read is off by one activity,
 * and what no batch had accounted for at the first reading went to another part later: parts are fitted to the wall time.
 */
export function readingOfWindow(from: CrewReading, to: CrewReading): CrewReading {
  const wallMs = to.wallMs - from.wallMs;
  const sheet = (before: SheetReading, after: SheetReading): SheetReading => ({
    ...after,
    parts: byActivity(fitted(before.parts, after.parts, wallMs)),
    rowCount: after.rowCount - before.rowCount,
    shapes: after.shapes - before.shapes,
    fetchedBytes: after.fetchedBytes - before.fetchedBytes,
    storageBytes: after.storageBytes - before.storageBytes,
  });
  return {
    wallMs,
    prep: to.prep.map((after, thread) => sheet(from.prep[thread]!, after)),
    writer: to.writer === undefined ? undefined : sheet(from.writer!, to.writer),
    devices: to.devices.map((after, index) => {
      const before = from.devices[index]!;
      const part = fitted(before.parts, after.parts, wallMs);
      return {
        ...after,
        parts: Object.fromEntries(partNames.map((name) => [name, part(name)])) as ByPart,
        rowCount: after.rowCount - before.rowCount,
        shapeCount: after.shapeCount - before.shapeCount,
        steadyMs: after.steadyMs - before.steadyMs,
        busyMs: after.busyMs - before.busyMs,
      };
    }),
  };
}

/** Differences, none below 0, that add up to the wall time. */
function fitted<Name extends string>(
  before: Readonly<Record<Name, number>>,
  after: Readonly<Record<Name, number>>,
  wallMs: number,
): (name: Name) => number {
  const difference = (name: Name): number => Math.max(0, after[name] - before[name]);
  const sum = (Object.keys(after) as Name[]).reduce((total, name) => total + difference(name), 0);
  return (name) => (sum === 0 ? 0 : (difference(name) / sum) * wallMs);
}
