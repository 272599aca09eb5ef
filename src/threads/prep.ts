/** Entry of a prep thread: takes shards, or spans of split shards, until there are none. */
import { parentPort } from 'node:worker_threads';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { vectorRows } from '../engines/duckdb/types.ts';
import { Connection } from '../engines/duckdb/database.ts';
import type { TableRows } from '../engines/duckdb/table-function.ts';
import type { Pointer } from '../engines/native.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { createRunOptions } from '../engines/onnxruntime/run.ts';
import { closeEnvironment, openEnvironment } from '../engines/onnxruntime/session.ts';
import { asTandemError } from '../errors.ts';
import { ThreadProfiler } from '../measure/thread-profiler.ts';
import { TimeSheet } from '../measure/time-sheet.ts';
import type { WorkerMessage, WorkerStart } from '../messages.ts';
import { sharedBytes, threadKernels } from '../planning/kernel-bytes.ts';
import { layOutSlot, slotBytes, type Slot } from '../score/scorer.ts';
import { SlotSender } from '../transfer/slot-queue.ts';
import { InFlight } from '../write/in-flight.ts';
import { inFlightPath } from '../write/output-folder.ts';
import { sliceColumns } from '../write/score-columns.ts';
import { ShardWriter } from '../write/shard-writer.ts';
import { Claims, type Claim } from './claims.ts';
import { DeviceLane } from './device-lane.ts';
import { duckDbReader } from './duckdb-reader.ts';
import { openInPlaceScorer, openThreadParts } from './in-place-scorer.ts';
import { InPlaceLane, type Lane, type ScoredBatch } from './lane.ts';
import type { LaneRows } from './slot-filler.ts';
import { isAhead, workOfThread } from './start-worker.ts';

if (isAhead()) loadLibraries();
const start = await workOfThread<WorkerStart>();
const { plan, engines } = start;
const sheet = new TimeSheet(start.timeSheet);
const profiler = new ThreadProfiler(start.control, post);

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

/** A thread that scores in place will need both, and the planner, which reads footers meanwhile, ONNX Runtime at once. */
function loadLibraries(): void {
  process.once('exit', closeEnvironment);
  try {
    openEnvironment();
    loadDuckDb();
  } catch {
    // The planner's thread fails for the same reason, and says so.
  }
}

/** This thread reads, scores and writes the shard: DuckDB's COPY asks for scores, and they are made there and then. */
function scoreWhole(lane: Lane, writer: ShardWriter, { shard, rows }: Claim): void {
  let batch: ScoredBatch | undefined;
  let taken = 0;
  const next = (): TableRows => {
    if (batch === undefined || taken === batch.rowCount) {
      profiler.look();
      batch = sheet.during('handOver', () => lane.next());
      taken = 0;
    }
    if (batch === undefined) return { rowCount: 0, columns: [] };
    const rowCount = Math.min(vectorRows, batch.rowCount - taken);
    const columns = sliceColumns(plan.model, batch.outputs, taken, rowCount);
    taken += rowCount;
    return { rowCount, columns };
  };
  lane.open(rows);
  const bytes = sheet.during('write', () => writer.write(shard, next));
  post({ kind: 'shardDone', shardIndex: shard.index, rowCount: shard.rowCount, bytes });
}

/** Scores a span of a split shard; the writer's thread takes them from the ring. */
function scoreSpan(lane: Lane, rows: LaneRows, { ring, span }: NonNullable<Claim['part']>): void {
  lane.open(rows);
  for (let batch = lane.next(); batch !== undefined; batch = lane.next()) {
    const { firstRow, rowCount, outputs } = batch;
    sheet.during('waitForRoom', () => ring.put(span.index, firstRow, rowCount, outputs));
    profiler.look();
  }
}

function run(): void {
  // By now the planner has its own.
  closeEnvironment();
  useOnnxRuntimeAt(plan.onnxRuntimePath);
  const reading = new Connection(engines.database);
  const writing = new Connection(engines.database);
  const runOptions = createRunOptions();
  post({ kind: 'connected', connections: [reading.pointer, writing.pointer], runOptions: [runOptions] });
  const inFlight = new InFlight(inFlightPath(plan.output), start.threadIndex);
  const writer = new ShardWriter(writing, plan, start.attempt, `prep_${start.threadIndex}`);
  const claims = new Claims(start);
  const { lane, close } = openLane(reading, runOptions, inFlight, claims);
  try {
    for (let claim = claims.take(); claim !== undefined; claim = claims.take()) {
      if (claim.part === undefined) scoreWhole(lane, writer, claim);
      else scoreSpan(lane, claim.rows, claim.part);
    }
  } finally {
    lane.close();
    writer.close();
    close();
    inFlight.close();
    profiler.end();
    sheet.end();
  }
}

/** In place, or by way of the devices' queues. `close` is for the very end. */
function openLane(
  reading: Connection,
  runOptions: Pointer,
  inFlight: InFlight,
  claims: Claims,
): { readonly lane: Lane; readonly close: () => void } {
  const { queues, control: flags, rowsScored } = start;
  const slotCount = plan.threads * plan.slotsPerThread;
  const kernels = threadKernels(start.slots, plan.model, plan.slotRows, slotCount, start.threadIndex);
  const reader = duckDbReader(reading, plan.model, kernels);
  const shared = { plan, reader, kernels, inFlight, control: flags, rowsScored, sheet };
  const bytes = slotBytes(plan.model, plan.slotRows);
  const slots = Array.from({ length: plan.slotsPerThread }, (_, index): Slot =>
    layOutSlot(plan.model, plan.slotRows, start.slots.buffer, (start.firstSlot + index) * bytes),
  );
  const behind = sharedBytes(plan.model, plan.slotRows, slotCount, plan.threads);
  const place = { memory: start.slots, start: behind, threadIndex: start.threadIndex };
  if (queues !== undefined) {
    const parts = openThreadParts(plan.model, engines, slots, place);
    const sender = new SlotSender(queues, flags);
    const readAhead = (): LaneRows | undefined => claims.readAhead();
    const lane = new DeviceLane({ ...shared, slots, parts, firstSlot: start.firstSlot, sender, readAhead });
    return { lane, close: () => sender.end() };
  }
  const slot = slots[0]!;
  const scorer = openInPlaceScorer(plan.model, engines, runOptions, slot, place);
  const now = (): number => performance.now() / 1000;
  return { lane: new InPlaceLane({ ...shared, slot, scorer, now }), close: () => scorer.close() };
}

try {
  run();
  post({ kind: 'finished' });
} catch (error) {
  post({ kind: 'failed', error: asTandemError(error).toRecord() });
}
