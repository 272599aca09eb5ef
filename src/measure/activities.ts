/** What a thread does with its time. Declared once: name, what it means, and whether the thread may sleep meanwhile. */

/**
 * `works`: it computes. `mayBlock`: it computes, or sleeps until storage answers; the two are told apart. `sleeps`: it
 * waits for another thread.
 */
type Way = 'works' | 'mayBlock' | 'sleeps';

export interface ActivityKind {
  readonly way: Way;
  /** After "the thread". */
  readonly describe: string;
}

const kinds = {
  warmUp: { way: 'sleeps', describe: 'was not there yet: planning, loading libraries and model, starting threads' },
  storage: { way: 'mayBlock', describe: 'slept until storage gave what was to be decoded' },
  decode: { way: 'mayBlock', describe: 'decoded Parquet into vectors' },
  featurize: { way: 'works', describe: 'made input tensors of vectors' },
  compute: { way: 'works', describe: 'ran the model, or its trees where a GPU runs the rest' },
  newShapes: { way: 'works', describe: 'ran the model at a number of rows that it had not run before' },
  search: { way: 'works', describe: 'ran the model at sizes that were tried on the way to the batch size' },
  write: { way: 'mayBlock', describe: 'copied kept columns, encoded and published the output' },
  writeStorage: { way: 'mayBlock', describe: 'slept until storage took the output, or gave the columns to copy' },
  waitForScores: { way: 'sleeps', describe: 'waited for a GPU to give a slot back' },
  waitForRows: { way: 'sleeps', describe: 'waited for scores to write' },
  waitForRoom: { way: 'sleeps', describe: 'waited for room among the scores that are to be written' },
  handOver: { way: 'works', describe: 'did what lies between: opening shards, handing over, noting' },
  idle: { way: 'sleeps', describe: 'had nothing left to do while others still worked' },
} as const satisfies Readonly<Record<string, ActivityKind>>;

export type Activity = keyof typeof kinds;
export const activities = Object.keys(kinds) as Activity[];
export const activityKinds: Readonly<Record<Activity, ActivityKind>> = kinds;

/** Milliseconds, or shares, by activity. */
export type ByActivity = Readonly<Record<Activity, number>>;

/** One number for each activity. */
export function byActivity(value: (activity: Activity, index: number) => number): ByActivity {
  return Object.fromEntries(activities.map((activity, index) => [activity, value(activity, index)])) as ByActivity;
}

/** What a trace tells besides, of a GPU and of the thread that drives it. */
export const deviceActivities = ['copyIn', 'copyOut', 'outOfMemory'] as const;
export type TracedActivity = Activity | (typeof deviceActivities)[number];
export const tracedActivities: readonly TracedActivity[] = [...activities, ...deviceActivities];
