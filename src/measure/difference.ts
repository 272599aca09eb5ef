/** What threads and GPUs did between two moments, and what held them up then. Pure. */
import { byActivity } from './activities.ts';
import { partNames, type ByPart, type DeviceReading } from './device-sheet.ts';
import { storageLedger, type CrewReading } from './ledger.ts';
import type { SheetReading } from './time-sheet.ts';
import { verdictOf, type ThreadRoom } from './verdict.ts';

/** The later reading without what the earlier one, of the same run, had counted already. */
export function readingBetween(from: CrewReading, to: CrewReading): CrewReading {
  const { writer } = to;
  return {
    wallMs: to.wallMs - from.wallMs,
    prep: to.prep.map((sheet, thread) => sheetBetween(from.prep[thread]!, sheet)),
    writer: writer === undefined ? undefined : sheetBetween(from.writer!, writer),
    devices: to.devices.map((device, index) => ({
      ...deviceBetween(from.devices[index]!, device),
      name: device.name,
    })),
  };
}

function sheetBetween(from: SheetReading, to: SheetReading): SheetReading {
  return {
    ...to,
    parts: byActivity((activity) => to.parts[activity] - from.parts[activity]),
    rowCount: to.rowCount - from.rowCount,
    shapes: to.shapes - from.shapes,
    fetchedBytes: to.fetchedBytes - from.fetchedBytes,
    storageBytes: to.storageBytes - from.storageBytes,
  };
}

/** What no batch had accounted for at the earlier moment may have gone to another part since: parts can be negative. */
function deviceBetween(from: DeviceReading, to: DeviceReading): DeviceReading {
  return {
    parts: Object.fromEntries(partNames.map((name) => [name, to.parts[name] - from.parts[name]])) as ByPart,
    rowCount: to.rowCount - from.rowCount,
    shapeCount: to.shapeCount - from.shapeCount,
    steadyMs: to.steadyMs - from.steadyMs,
    busyMs: to.busyMs - from.busyMs,
    steadyRows: to.steadyRows - from.steadyRows,
  };
}

/** In words; undefined: no batch ended in that time, or it was the start of the run. */
export function bottleneckBetween(from: CrewReading, to: CrewReading, room: ThreadRoom): string | undefined {
  const reading = readingBetween(from, to);
  // The first batch of a GPU counts as its start.
  if (reading.devices.some(({ busyMs }) => busyMs === 0)) return undefined;
  const { bottleneck, sentence } = verdictOf(reading, storageLedger(reading), room);
  return bottleneck === 'warmUp' ? undefined : sentence;
}
