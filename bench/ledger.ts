/** Ledger: a lane of the product (decode, featurize, score) that notes where its time goes, against one that does not. */
import { closeDatabase, Connection, openDatabase } from '../src/engines/duckdb/database.ts';
import { createRunOptions } from '../src/engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../src/engines/onnxruntime/session.ts';
import { createSharedMemory } from '../src/engines/wasm.ts';
import { threadsNowMs } from '../src/measure/clock.ts';
import { createTimeSheet, readTimeSheet, TimeSheet, type Timekeeper } from '../src/measure/time-sheet.ts';
import { control } from '../src/messages.ts';
import { layOutSlot, slotBytes, SlotScorer } from '../src/score/scorer.ts';
import { duckDbReader } from '../src/threads/duckdb-reader.ts';
import { InPlaceLane } from '../src/threads/lane.ts';
import { shardRows } from '../src/threads/slot-filler.ts';
import type { Stage, StageTask } from './measure.ts';

const batchSize = 2_048;
/** A clock read of the ledger's must stay within this of another clock. */
const clockShare = 0.01;

const notes: Timekeeper = {
  enter: () => 'handOver',
  during: (_activity, work) => work(),
  about() {},
  countRows() {},
  countShape() {},
};

export function openLedger({ plan: chosen, threadIndex }: StageTask): Stage {
  const plan = { ...chosen, batchSize };
  const { model } = plan;
  const database = openDatabase();
  const connection = new Connection(database);
  const session = openSession(model.path, { intraOpThreads: 1 });
  const slot = layOutSlot(model, plan.slotRows, createSharedMemory(slotBytes(model, plan.slotRows)).buffer, 0);
  const scorer = new SlotScorer(model, session, createRunOptions(), slot);
  const rows = shardRows(plan, plan.shards[threadIndex % plan.shards.length]!);
  const scoreWith = (sheet: Timekeeper): number => {
    const lane = new InPlaceLane({
      plan,
      reader: duckDbReader(connection, model),
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
      if (Math.abs(sum - wallMs) > clockShare * wallMs + 1)
        throw new Error(`Expected parts of ${wallMs} ms, got ${sum}.`);
    },
    contestants: {
      ours: () => scoreWith(new TimeSheet(createTimeSheet(threadsNowMs(), false))),
      limit: () => scoreWith(notes),
    },
    close() {
      scorer.close();
      closeSession(session);
      connection.close();
      closeDatabase(database);
    },
  };
}
