/** From time sheets to the ledger of a run. Pure. */
import type { Ledger, LedgerPartName, ScorerLedger, StorageLedger, ThreadLedger, Utilization } from '../run-record.ts';
import type { DeviceReport } from '../options.ts';
import { activities, type ByActivity } from './activities.ts';
import { partNames, type ByPart, type DeviceReading } from './device-sheet.ts';
import type { SheetReading } from './time-sheet.ts';
import { utilizationOfCpu, utilizationOfGpu } from './utilization.ts';
import { sumOf, verdictOf, workMs, type ThreadRoom } from './verdict.ts';

/** All sheets of a run at one moment. */
export interface CrewReading {
  /** Since the run's start. */
  readonly wallMs: number;
  readonly prep: readonly SheetReading[];
  readonly writer: SheetReading | undefined;
  /** Empty where the prep threads score in place. */
  readonly devices: readonly (DeviceReading & { readonly name: string })[];
}

/** What the sheets do not know. */
export interface LedgerContext extends ThreadRoom {
  /** User's and system's time of the process; undefined: of a part of a run nobody knows. */
  readonly cpuSeconds?: number;
  /** Of devices that have ended, by their names. */
  readonly devices?: readonly Pick<DeviceReport, 'name' | 'fedRowsPerSecond' | 'reported'>[];
}

/** @throws RangeError where the parts of a scorer do not add up to its wall time: a bug */
export function ledgerOf(reading: CrewReading, context: LedgerContext): Ledger {
  const { wallMs, prep, writer, devices } = reading;
  const wallSeconds = wallMs / 1000;
  const onCpu = devices.length === 0;
  const scorers = scorersOf(reading).map(({ seconds, ...scorer }) => ({
    ...scorer,
    wallSeconds,
    parts: sharesOf(seconds, wallSeconds),
  }));
  const threads = prep.map((sheet, thread) => threadLedger(`prep ${thread}`, sheet, wallSeconds));
  const ledger = {
    wallSeconds,
    scorers,
    prep: onCpu ? [] : threads,
    writer: writer === undefined ? undefined : threadLedger('writer', writer, wallSeconds),
    storage: storageLedger(reading),
    utilization: onCpu ? utilizationOfLanes(reading, context) : utilizationOfGpus(reading, context),
  };
  return { ...ledger, verdict: verdictOf(reading, ledger.storage, context) };
}

/** What scores and where its time has gone: the GPUs, or the threads where there is none. */
export function scorersOf({ prep, devices }: CrewReading): ScorerSeconds[] {
  return devices.length === 0
    ? prep.map((sheet, thread) => cpuLane(`cpu thread ${thread}`, sheet))
    : devices.map(gpuScorer);
}

type ScorerSeconds = Pick<ScorerLedger, 'name' | 'kind' | 'rowCount' | 'shapeCount'> & { readonly seconds: ByPart };

/** What a lane's thread did, by what the lane waited for. */
const partOfActivity: Readonly<Record<keyof ByActivity, LedgerPartName>> = {
  warmUp: 'warmUp',
  storage: 'storage',
  decode: 'decode',
  featurize: 'featurize',
  compute: 'computing',
  newShapes: 'newShapes',
  search: 'search',
  write: 'writer',
  writeStorage: 'storage',
  waitForScores: 'handOver',
  waitForRows: 'handOver',
  waitForRoom: 'writer',
  handOver: 'handOver',
  idle: 'idleTail',
};

function cpuLane(name: string, { parts, rowCount, shapes }: SheetReading): ScorerSeconds {
  const seconds = Object.fromEntries(partNames.map((part) => [part, 0])) as Record<LedgerPartName, number>;
  for (const activity of activities) seconds[partOfActivity[activity]] += parts[activity] / 1000;
  return { name, kind: 'cpu', seconds, rowCount, shapeCount: shapes };
}

function gpuScorer({ name, parts, rowCount, shapeCount }: CrewReading['devices'][number]): ScorerSeconds {
  const seconds = Object.fromEntries(partNames.map((part) => [part, parts[part] / 1000])) as ByPart;
  return { name, kind: 'gpu', seconds, rowCount, shapeCount };
}

function sharesOf(seconds: ByPart, wallSeconds: number): ScorerLedger['parts'] {
  expectWhole(
    partNames.reduce((sum, name) => sum + seconds[name], 0),
    wallSeconds,
  );
  return partNames.map((name) => ({ name, seconds: seconds[name], share: seconds[name] / wallSeconds }));
}

function threadLedger(name: string, { parts, rowCount }: SheetReading, wallSeconds: number): ThreadLedger {
  const seconds = activities.map((activity) => ({ activity, seconds: parts[activity] / 1000 }));
  expectWhole(
    seconds.reduce((sum, part) => sum + part.seconds, 0),
    wallSeconds,
  );
  const taken = seconds.filter((part) => part.seconds > 0);
  return { name, wallSeconds, parts: taken.map((part) => ({ ...part, share: part.seconds / wallSeconds })), rowCount };
}

/** A millisecond in an hour is lost to rounding; more is lost to a fault. */
function expectWhole(sum: number, wallSeconds: number): void {
  if (Math.abs(sum - wallSeconds) <= 1e-6 * wallSeconds + 1e-6) return;
  throw new RangeError(`Expected the parts of a ledger to add up to ${wallSeconds} s, got ${sum}. This is a bug.`);
}

function utilizationOfLanes({ prep, wallMs }: CrewReading, { cores, cpuSeconds }: LedgerContext): Utilization[] {
  const busyMs = sumOf(prep, ({ parts }) => parts.compute + parts.search + parts.newShapes);
  const lanes = { device: 'cpu', steadyMs: sumOf(prep, workMs), busyMs };
  const found = utilizationOfCpu({ ...lanes, cpuSeconds: cpuSeconds ?? NaN, wallSeconds: wallMs / 1000, cores });
  return found === undefined || cpuSeconds === undefined ? [] : [found];
}

function utilizationOfGpus({ devices }: CrewReading, { devices: ended = [] }: LedgerContext): Utilization[] {
  return devices.flatMap(({ name, steadyMs, busyMs, steadyRows }) => {
    const report = ended.find((device) => device.name === name);
    if (report === undefined) return [];
    const rates = { rowsPerSecond: (steadyRows / steadyMs) * 1000, fedRowsPerSecond: report.fedRowsPerSecond };
    const found = utilizationOfGpu({ device: name, steadyMs, busyMs, ...rates, reported: report.reported });
    return found === undefined ? [] : [found];
  });
}

/** Of a run or a part of it. Threads that never slept for storage would have read the same bytes in the rest of their time. */
export function storageLedger({ prep, writer, devices }: CrewReading): StorageLedger {
  const threads = writer === undefined ? prep : [...prep, writer];
  const fetchedBytes = sumOf(threads, (sheet) => sheet.fetchedBytes);
  const workSeconds = sumOf(prep, workMs) / 1000 / Math.max(1, prep.length);
  const sleptSeconds = sumOf(prep, ({ parts }) => parts.storage) / 1000 / Math.max(1, prep.length);
  // A GPU needs rows as fast as it scores them; lanes on the CPU as fast as they would be without sleeping.
  const deviceRowsPerSecond = sumOf(devices, ({ busyMs, steadyRows }) =>
    busyMs === 0 ? 0 : steadyRows / (busyMs / 1000),
  );
  const rowCount = sumOf(devices, (device) => device.rowCount);
  const needed =
    devices.length > 0
      ? rowCount === 0
        ? 0
        : (fetchedBytes / rowCount) * deviceRowsPerSecond
      : fetchedBytes / Math.max(1e-9, workSeconds - sleptSeconds);
  return {
    fetchedBytes,
    storageBytes: sumOf(threads, (sheet) => sheet.storageBytes),
    bytesPerSecond: workSeconds === 0 ? 0 : fetchedBytes / workSeconds,
    neededBytesPerSecond: workSeconds === 0 ? 0 : needed,
    isToldApart: prep.every((sheet) => sheet.tellsStorage),
  };
}
