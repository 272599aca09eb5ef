/** What a prep thread does: takes shards, or spans of split shards, until there are none. */
import { vectorRows } from '../engines/duckdb/types.ts';
import { Connection } from '../engines/duckdb/database.ts';
import type { TableRows } from '../engines/duckdb/table-function.ts';
import type { Pointer } from '../engines/native.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { createRunOptions } from '../engines/onnxruntime/run.ts';
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
import type { OpenShardOutput, ShardOutput } from './shard-output.ts';
import type { LaneRows } from './slot-filler.ts';

/**
 * Never throws: what goes wrong is the last message. It blocks its thread until then.
 * @param openOutput of whole shards. Default: Parquet
 */
export function prepare(
  start: WorkerStart,
  post: (message: WorkerMessage) => void,
  openOutput: OpenShardOutput = (...from) => new ShardWriter(...from),
): void {
  try {
    new Preparation(start, post).run(openOutput);
    post({ kind: 'finished' });
  } catch (error) {
    post({ kind: 'failed', error: asTandemError(error).toRecord() });
  }
}

class Preparation {
  readonly #start: WorkerStart;
  readonly #post: (message: WorkerMessage) => void;
  readonly #sheet: TimeSheet;
  readonly #profiler: ThreadProfiler;

  constructor(start: WorkerStart, post: (message: WorkerMessage) => void) {
    this.#start = start;
    this.#post = post;
    this.#sheet = new TimeSheet(start.timeSheet);
    this.#profiler = new ThreadProfiler(start.control, post);
  }

  /** This thread reads, scores and writes the shard: DuckDB's COPY asks for scores, and they are made there and then. */
  #scoreWhole(lane: Lane, writer: ShardOutput, { shard, rows, more }: Claim): void {
    let batch: ScoredBatch | undefined;
    let taken = 0;
    const rest = [...more];
    const next = (): TableRows => {
      if (batch === undefined || taken === batch.rowCount) {
        this.#profiler.look();
        batch = this.#sheet.during('handOver', () => nextOf(lane, rest));
        taken = 0;
      }
      if (batch === undefined) return { rowCount: 0, columns: [] };
      const rowCount = Math.min(vectorRows, batch.rowCount - taken);
      const columns = sliceColumns(this.#start.plan.model, batch.outputs, taken, rowCount);
      taken += rowCount;
      return { rowCount, columns };
    };
    lane.open(rows);
    const bytes = this.#sheet.during('write', () => writer.write(shard, next));
    this.#post({ kind: 'shardDone', shardIndex: shard.index, rowCount: shard.rowCount, bytes });
  }

  /** Scores a span of a split shard; the writer's thread takes them from the ring. */
  #scoreSpan(lane: Lane, rows: LaneRows, { ring, span }: NonNullable<Claim['part']>): void {
    lane.open(rows);
    for (let batch = lane.next(); batch !== undefined; batch = lane.next()) {
      const { firstRow, rowCount, outputs } = batch;
      this.#sheet.during('waitForRoom', () => ring.put(span.index, firstRow, rowCount, outputs));
      this.#profiler.look();
    }
  }

  run(openOutput: OpenShardOutput): void {
    const start = this.#start;
    const { plan, engines } = start;
    useOnnxRuntimeAt(plan.onnxRuntimePath);
    const reading = new Connection(engines.database);
    const writing = new Connection(engines.database);
    const runOptions = createRunOptions();
    this.#post({ kind: 'connected', connections: [reading.pointer, writing.pointer], runOptions: [runOptions] });
    const inFlight = new InFlight(inFlightPath(plan.output), start.threadIndex);
    const writer = openOutput(writing, plan, start.attempt, `prep_${start.threadIndex}`);
    const claims = new Claims(start);
    const { lane, close } = this.#openLane(reading, runOptions, inFlight, claims);
    try {
      for (let claim = claims.take(); claim !== undefined; claim = claims.take()) {
        if (claim.part === undefined) this.#scoreWhole(lane, writer, claim);
        else this.#scoreSpan(lane, claim.rows, claim.part);
      }
    } finally {
      lane.close();
      writer.close();
      close();
      inFlight.close();
      this.#profiler.end();
      this.#sheet.end();
    }
  }

  /** In place, or by way of the devices' queues. `close` is for the very end. */
  #openLane(
    reading: Connection,
    runOptions: Pointer,
    inFlight: InFlight,
    claims: Claims,
  ): { readonly lane: Lane; readonly close: () => void } {
    const start = this.#start;
    const { plan, engines, queues, control: flags, rowsScored } = start;
    const slotCount = plan.threads * plan.slotsPerThread;
    const kernels = threadKernels(start.slots, plan.model, plan.slotRows, slotCount, start.threadIndex);
    const reader = duckDbReader(reading, plan.model, kernels);
    const shared = { plan, reader, kernels, inFlight, control: flags, rowsScored, sheet: this.#sheet };
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
}

/** The lane's next batch, or the first of the rows behind, which are taken from `rest`. */
function nextOf(lane: Lane, rest: LaneRows[]): ScoredBatch | undefined {
  let batch = lane.next();
  while (batch === undefined && rest.length > 0) {
    lane.open(rest.shift()!);
    batch = lane.next();
  }
  return batch;
}
