/** Ledger: what a lane (decode, featurize, score) notes of its time, without the lane; against the lane without notes. */
import { closeDatabase, Connection, openDatabase } from '../src/engines/duckdb/database.ts';
import { closeSession, openSession } from '../src/engines/onnxruntime/session.ts';
import type { Activity } from '../src/measure/activities.ts';
import { threadsNowMs } from '../src/measure/clock.ts';
import { createTimeSheet, readTimeSheet, TimeSheet, type Timekeeper } from '../src/measure/time-sheet.ts';
import { control } from '../src/messages.ts';
import { threadKernels } from '../src/planning/kernel-bytes.ts';
import { duckDbReader } from '../src/threads/duckdb-reader.ts';
import { InPlaceLane } from '../src/threads/lane.ts';
import { shardRows } from '../src/threads/slot-filler.ts';
import type { Stage, StageTask } from './measure.ts';
import { openPlanned } from './scorer.ts';

const batchSize = 2_048;
/** The ledger's time must be another clock's, within this: a thread may lose its core between reading the two. */
const clockShare = 0.02;
const clockMs = 20;

/** Notes nothing; tells `onEnter` each change of activity. */
function silent(onEnter: (activity: Activity) => void = () => {}): Timekeeper {
  return {
    enter(activity) {
      onEnter(activity);
      return 'handOver';
    },
    during(activity, work) {
      onEnter(activity);
      const result = work();
      onEnter('handOver');
      return result;
    },
    about() {},
    countRows() {},
    countShape() {},
  };
}

export function openLedger({ plan: chosen, threadIndex }: StageTask): Stage {
  const plan = { ...chosen, batchSize };
  const { model } = plan;
  const database = openDatabase();
  const connection = new Connection(database);
  const session = openSession(model.path, { intraOpThreads: 1 });
  const { memory, slot, scorer } = openPlanned(plan, session);
  const rows = shardRows(plan, plan.shards[threadIndex % plan.shards.length]!);
  const scoreWith = (sheet: Timekeeper): number => {
    const kernels = threadKernels(memory, model, plan.slotRows, 1, 0);
    const lane = new InPlaceLane({
      plan,
      reader: duckDbReader(connection, model, kernels),
      kernels,
      slot,
      scorer,
      inFlight: { enter() {} },
      control: new Int32Array(control.length),
      rowsScored: new BigInt64Array(new SharedArrayBuffer(8)),
      sheet,
      now: () => performance.now() / 1000,
    });
    let scored = 0;
    lane.open(rows);
    for (let batch = lane.next(); batch !== undefined; batch = lane.next()) scored += batch.rowCount;
    lane.close();
    return scored;
  };
  const changes: Activity[] = [];
  scoreWith(silent((activity) => changes.push(activity)));
  return {
    check() {
      const memory = createTimeSheet(threadsNowMs(), false);
      const sheet = new TimeSheet(memory);
      const startedMs = performance.now();
      scoreWith(sheet);
      const wallMs = performance.now() - startedMs;
      const { parts, rowCount } = readTimeSheet(memory, threadsNowMs());
      if (rowCount !== rows.rowCount) throw new Error(`Expected ${rows.rowCount} rows in the ledger, got ${rowCount}.`);
      const sum = Object.values(parts).reduce((total, milliseconds) => total + milliseconds, 0);
      if (Math.abs(sum - wallMs) > clockShare * wallMs + clockMs)
        throw new Error(`Expected parts of ${wallMs} ms, got ${sum}.`);
    },
    contestants: {
      // The same changes of activity, and no work: what they take is lost in the noise of a whole lane.
      ours: () => replay(changes, rows.rowCount),
      limit: () => scoreWith(silent()),
    },
    close() {
      scorer.close();
      closeSession(session);
      connection.close();
      closeDatabase(database);
    },
  };
}

/** @returns `rowCount`, for which a lane changes its activity so often */
function replay(changes: readonly Activity[], rowCount: number): number {
  const sheet = new TimeSheet(createTimeSheet(threadsNowMs(), false));
  for (const activity of changes) sheet.enter(activity);
  sheet.end();
  return rowCount;
}
