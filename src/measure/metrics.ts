/** What `--metrics` serves: each metric once, with its unit and a sentence; the README prints this table. Pure. */
import { activities } from './activities.ts';
import { partNames } from './device-sheet.ts';
import { scorersOf, type CrewReading } from './ledger.ts';
import { sumOf } from './verdict.ts';

/** What there is to do. */
export interface RunTotals {
  readonly rows: number;
  readonly shards: number;
}

/** A run at a moment. */
export interface RunNow {
  readonly reading: CrewReading;
  readonly totals: RunTotals;
  readonly rowsScored: number;
  readonly shardsDone: number;
  readonly bytesWritten: number;
  /** Over the last few seconds. */
  readonly rowsPerSecond: number;
  readonly batchSize: number | undefined;
  readonly residentBytes: number;
  /** In the order of the reading's devices. */
  readonly devices: readonly DeviceNow[];
}

export interface DeviceNow {
  /** With it, waiting or being scored. */
  readonly slots: number;
  /** Held there by this process. */
  readonly heldBytes: number;
  /** Batches that were scored in parts. */
  readonly splits: number;
}

export interface MetricValue {
  /** In the order of the metric's labels. */
  readonly labels: readonly string[];
  readonly value: number;
}

export interface Metric {
  readonly name: string;
  /** `counter`: it never falls. */
  readonly kind: 'counter' | 'gauge';
  readonly unit: string;
  readonly labels: readonly string[];
  readonly help: string;
  readonly values: (now: RunNow) => readonly MetricValue[];
}

const one = (value: number): MetricValue[] => [{ labels: [], value }];

function ofDevices(now: RunNow, value: (device: DeviceNow, index: number) => number): MetricValue[] {
  return now.devices.map((device, index) => ({
    labels: [now.reading.devices[index]!.name],
    value: value(device, index),
  }));
}

function threadsOf({
  prep,
  writer,
}: CrewReading): { readonly name: string; readonly sheet: CrewReading['prep'][number] }[] {
  const threads = prep.map((sheet, thread) => ({ name: `prep ${thread}`, sheet }));
  return writer === undefined ? threads : [...threads, { name: 'writer', sheet: writer }];
}

export const metrics: readonly Metric[] = [
  {
    name: 'tandem_rows_total',
    kind: 'counter',
    unit: 'rows',
    labels: [],
    help: 'Rows that have been scored.',
    values: ({ rowsScored }) => one(rowsScored),
  },
  {
    name: 'tandem_rows_planned',
    kind: 'gauge',
    unit: 'rows',
    labels: [],
    help: 'Rows that this run has to score in all.',
    values: ({ totals }) => one(totals.rows),
  },
  {
    name: 'tandem_rows_per_second',
    kind: 'gauge',
    unit: 'rows/s',
    labels: [],
    help: 'Rate over the last few seconds.',
    values: ({ rowsPerSecond }) => one(rowsPerSecond),
  },
  {
    name: 'tandem_shards_total',
    kind: 'counter',
    unit: 'shards',
    labels: [],
    help: 'Shards whose output is whole, by this run.',
    values: ({ shardsDone }) => one(shardsDone),
  },
  {
    name: 'tandem_shards_planned',
    kind: 'gauge',
    unit: 'shards',
    labels: [],
    help: 'Shards that this run has to score in all.',
    values: ({ totals }) => one(totals.shards),
  },
  {
    name: 'tandem_scorer_seconds',
    kind: 'gauge',
    unit: 'seconds',
    labels: ['scorer', 'part'],
    help: "Where each scorer's time has gone; the parts add up to the run's time. The last stretch is divided when it ends.",
    values: ({ reading }) =>
      scorersOf(reading).flatMap(({ name, seconds }) =>
        partNames.map((part) => ({ labels: [name, part], value: seconds[part] })),
      ),
  },
  {
    name: 'tandem_thread_seconds',
    kind: 'gauge',
    unit: 'seconds',
    labels: ['thread', 'activity'],
    help: "What each thread has done with its time; the activities add up to the run's time.",
    values: ({ reading }) =>
      threadsOf(reading).flatMap(({ name, sheet }) =>
        activities.map((activity) => ({ labels: [name, activity], value: sheet.parts[activity] / 1000 })),
      ),
  },
  {
    name: 'tandem_device_busy_ratio',
    kind: 'gauge',
    unit: 'share',
    labels: ['device'],
    help: "Share of the time from a GPU's first batch to its last one in which the model ran, by the GPU's own events.",
    values: (now) =>
      now.reading.devices.flatMap(({ name, busyMs, steadyMs }) =>
        steadyMs === 0 ? [] : [{ labels: [name], value: busyMs / steadyMs }],
      ),
  },
  {
    name: 'tandem_device_slots',
    kind: 'gauge',
    unit: 'slots',
    labels: ['device'],
    help: 'Slots with a GPU, waiting or being scored: the depth of its queue.',
    values: (now) => ofDevices(now, ({ slots }) => slots),
  },
  {
    name: 'tandem_device_memory_bytes',
    kind: 'gauge',
    unit: 'bytes',
    labels: ['device'],
    help: 'Memory of a GPU that this process held when it last looked.',
    values: (now) => ofDevices(now, ({ heldBytes }) => heldBytes),
  },
  {
    name: 'tandem_out_of_memory_splits_total',
    kind: 'counter',
    unit: 'batches',
    labels: ['device'],
    help: "Batches that did not fit into a GPU's memory and were scored in parts.",
    values: (now) => ofDevices(now, ({ splits }) => splits),
  },
  {
    name: 'tandem_batch_size_rows',
    kind: 'gauge',
    unit: 'rows',
    labels: [],
    help: 'Rows of a model run; missing while it is being chosen.',
    values: ({ batchSize }) => (batchSize === undefined ? [] : one(batchSize)),
  },
  {
    name: 'tandem_resident_memory_bytes',
    kind: 'gauge',
    unit: 'bytes',
    labels: [],
    help: 'Memory of the process that is in use now.',
    values: ({ residentBytes }) => one(residentBytes),
  },
  {
    name: 'tandem_read_bytes_total',
    kind: 'counter',
    unit: 'bytes',
    labels: [],
    help: 'Bytes that threads asked of files, wherever these lay.',
    values: ({ reading }) => one(sumOf(threadsOf(reading), ({ sheet }) => sheet.fetchedBytes)),
  },
  {
    name: 'tandem_storage_read_bytes_total',
    kind: 'counter',
    unit: 'bytes',
    labels: [],
    help: 'Bytes of these that storage gave: the rest was in the page cache.',
    values: ({ reading }) => one(sumOf(threadsOf(reading), ({ sheet }) => sheet.storageBytes)),
  },
  {
    name: 'tandem_written_bytes_total',
    kind: 'counter',
    unit: 'bytes',
    labels: [],
    help: 'Bytes of the outputs that are whole.',
    values: ({ bytesWritten }) => one(bytesWritten),
  },
];
