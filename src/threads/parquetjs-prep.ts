/** Entry of a prep thread that reads and writes whole shards with parquetjs-lite; it scores as the others do. */
import { parentPort, workerData } from 'node:worker_threads';
import type { NumberArray, TensorValues } from '../batch.ts';
import { createRunOptions } from '../engines/onnxruntime/run.ts';
import { asTandemError } from '../errors.ts';
import { ThreadProfiler } from '../measure/thread-profiler.ts';
import { TimeSheet } from '../measure/time-sheet.ts';
import type { WorkerMessage, WorkerStart } from '../messages.ts';
import { sharedBytes } from '../planning/kernel-bytes.ts';
import { openParquetJs } from '../read/parquetjs/footers.ts';
import { openParquetJsChunks } from '../read/parquetjs/open-chunks.ts';
import { explainParquetJs, keptColumn } from '../read/parquetjs/refusals.ts';
import { layOutSlot, slotBytes } from '../score/scorer.ts';
import { InFlight } from '../write/in-flight.ts';
import { inFlightPath } from '../write/output-folder.ts';
import { ParquetJsShardWriter, type TakeScores } from '../write/parquetjs/shard-writer.ts';
import { sliceColumns } from '../write/score-columns.ts';
import { Claims, type Claim } from './claims.ts';
import { openInPlaceScorer } from './in-place-scorer.ts';
import { InPlaceLane, type Lane, type ScoredBatch } from './lane.ts';
import type { LaneReader } from './slot-filler.ts';

const start = workerData as WorkerStart;
const { plan, engines } = start;
const sheet = new TimeSheet(start.timeSheet);
const profiler = new ThreadProfiler(start.control, post);

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

const reader: LaneReader = {
  open: (rows, requests) => openParquetJsChunks(openParquetJs(plan.shards[rows.shardIndex]!), requests),
  explain: (error, rows) => explainParquetJs(error, rows.name),
  fileRow: (_rows, row) => row,
};

function scoreWhole(lane: Lane, writer: ParquetJsShardWriter, { shard, rows }: Claim): void {
  try {
    const file = openParquetJs(shard);
    const names = plan.keepsAll ? plan.schemas[shard.schema]!.columns.map((column) => column.name) : plan.keep;
    const kept = names.map((name) => keptColumn(file, name));
    lane.open(rows);
    const bytes = sheet.during('write', () => writer.write(shard, file, kept, takeFrom(lane)));
    post({ kind: 'shardDone', shardIndex: shard.index, rowCount: shard.rowCount, bytes });
  } catch (error) {
    throw explainParquetJs(error, shard.name) ?? asTandemError(error).at({ shard: shard.name });
  }
}

/** Copies: the next batch overwrites the slot. */
function takeFrom(lane: Lane): TakeScores {
  let batch: ScoredBatch | undefined;
  let taken = 0;
  return (rowsMax) => {
    if (batch === undefined || taken === batch.rowCount) {
      profiler.look();
      batch = sheet.during('handOver', () => lane.next());
      taken = 0;
    }
    if (batch === undefined) return { rowCount: 0, columns: [] };
    const rowCount = Math.min(rowsMax, batch.rowCount - taken);
    const columns = sliceColumns(plan.model, batch.outputs, taken, rowCount).map((values): TensorValues =>
      Array.isArray(values) ? (values as string[]) : (values as NumberArray).slice(),
    );
    taken += rowCount;
    return { rowCount, columns };
  };
}

function run(): void {
  const runOptions = createRunOptions();
  post({ kind: 'connected', connections: [], runOptions: [runOptions] });
  const slot = layOutSlot(
    plan.model,
    plan.slotRows,
    start.slots.buffer,
    start.firstSlot * slotBytes(plan.model, plan.slotRows),
  );
  const behind = sharedBytes(plan.model, plan.slotRows, plan.threads * plan.slotsPerThread, plan.threads);
  const place = { memory: start.slots, start: behind, threadIndex: start.threadIndex };
  const scorer = openInPlaceScorer(plan.model, engines, runOptions, slot, place);
  const inFlight = new InFlight(inFlightPath(plan.output), start.threadIndex);
  const writer = new ParquetJsShardWriter(plan, start.attempt);
  const lane = new InPlaceLane({
    plan,
    reader,
    slot,
    scorer,
    inFlight,
    control: start.control,
    rowsScored: start.rowsScored,
    sheet,
    now: () => performance.now() / 1000,
  });
  try {
    const claims = new Claims(start);
    for (let claim = claims.take(); claim !== undefined; claim = claims.take()) scoreWhole(lane, writer, claim);
  } finally {
    lane.close();
    scorer.close();
    inFlight.close();
    profiler.end();
    sheet.end();
  }
}

try {
  run();
  post({ kind: 'finished' });
} catch (error) {
  post({ kind: 'failed', error: asTandemError(error).toRecord() });
}
