/** What the time sheets of a run on the virtual clock would say. */
import { byActivity } from '../measure/activities.ts';
import { partNames, type ByPart } from '../measure/device-sheet.ts';
import type { CrewReading } from '../measure/ledger.ts';
import type { VirtualRun } from './virtual-device.ts';

/** @param decodeShare of the time that a thread takes to fill a slot; the rest is featurizing */
export function readingOf(run: VirtualRun, decodeShare: number): CrewReading {
  const wallMs = run.makespanSeconds * 1000;
  const prep = run.threads.map((thread) => {
    const { fillShare, writeShare, waitShare, rowCount } = thread;
    const shares = {
      decode: fillShare * decodeShare,
      featurize: fillShare * (1 - decodeShare),
      write: writeShare,
      waitForScores: waitShare,
      idle: Math.max(0, 1 - fillShare - writeShare - waitShare),
    };
    const parts = byActivity(
      (activity) => wallMs * ((shares as Partial<Record<typeof activity, number>>)[activity] ?? 0),
    );
    const bytes = { fetchedBytes: 128 * rowCount, storageBytes: 0, tellsStorage: true };
    return { atMs: wallMs, parts, activity: 'idle' as const, rowCount, shapes: 0, ...bytes };
  });
  const sum = (of: (thread: VirtualRun['threads'][number]) => number): number =>
    run.threads.reduce((total, thread) => total + of(thread), 0);
  const [fill, write] = [sum(({ fillShare }) => fillShare), sum(({ writeShare }) => writeShare)];
  const devices = run.gpus.map(({ compute, rowCount }, index) => {
    const forRows = wallMs * compute.forRows;
    const shares: Partial<ByPart> = {
      computing: wallMs * compute.busy,
      copyIn: wallMs * compute.forCopyIn,
      copyOut: wallMs * compute.forBuffer,
      decode: (forRows * fill * decodeShare) / (fill + write),
      featurize: (forRows * fill * (1 - decodeShare)) / (fill + write),
      writer: (forRows * write) / (fill + write),
    };
    const parts = Object.fromEntries(partNames.map((name) => [name, shares[name] ?? 0])) as ByPart;
    const busyMs = wallMs * compute.busy;
    return { name: `cuda:${index}`, parts, rowCount, shapeCount: 1, steadyMs: wallMs, busyMs, steadyRows: rowCount };
  });
  return { wallMs, prep, writer: undefined, devices };
}
