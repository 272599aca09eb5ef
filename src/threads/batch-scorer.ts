/** Entry of a thread that scores Arrow batches handed to it: SQL over the batch, then the same lane as for shards. */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { RecordBatch, tableFromIPC } from 'apache-arrow';
import { loadContract } from '../contract/load.ts';
import { registerArrowTable, type ArrowTable } from '../engines/duckdb/arrow-import.ts';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { closeEnvironment, closeSession, openSession } from '../engines/onnxruntime/session.ts';
import type { Pointer } from '../engines/native.ts';
import { createSharedMemory } from '../engines/wasm.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { createTimeSheet, TimeSheet } from '../measure/time-sheet.ts';
import type {
  BatchHandOver,
  BatchPlan,
  BatchReply,
  BatchRequest,
  BatchWorkerStart,
  ScoredValues,
} from '../messages.ts';
import type { ModelPlan } from '../plan.ts';
import { chooseDevices, planDevices } from '../planning/devices.ts';
import { planBatchSlots } from '../planning/batch-slots.ts';
import { modelKernelBytes, sharedBytes, threadKernels } from '../planning/kernel-bytes.ts';
import { planModel, resolveModel } from '../planning/model.ts';
import { placeScoring } from '../planning/placement.ts';
import { DuckDbTables } from '../planning/tables.ts';
import { inPlaceSlotRows } from '../planning/allocate.ts';
import { describe } from '../read/footers.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { layOutSlot, slotBytes, type Slot } from '../score/scorer.ts';
import { SlotSender } from '../transfer/slot-queue.ts';
import { putScores, roomForScores } from '../write/score-arrow.ts';
import { DeviceBatches } from './device-batches.ts';
import { DeviceLane } from './device-lane.ts';
import { duckDbReader } from './duckdb-reader.ts';
import { openInPlaceScorer, openThreadParts, writeModelTables, type InPlaceScorer } from './in-place-scorer.ts';
import { InPlaceLane, type Lane } from './lane.ts';
import type { LaneRows } from './slot-filler.ts';

const start = workerData as BatchWorkerStart;
/** Nobody reads it: batches come and go by themselves. */
const sheet = new TimeSheet(createTimeSheet(0, false));
const tableName = `tandem_batch_${start.threadIndex}`;

let connection: Connection | undefined;
let table: ArrowTable | undefined;
/** In place, or by way of the devices. */
let lane: Lane | undefined;
let deviceBatches: DeviceBatches | undefined;
/** Says when this thread has work: devices do not wait for one that has none. */
let sender: SlotSender | undefined;
let scorer: InPlaceScorer | undefined;
let runOptions: Pointer | undefined;
let plan = start.plan;
/** Only the first thread, which starts without a plan, opens these. */
let database: Pointer | undefined;
let session: Pointer | undefined;
const { device = 'cpu' } = start.deviceOptions;
/** A refusal is the first batch's error. */
const choice =
  start.plan !== undefined
    ? undefined
    : await chooseDevices(device, start.deviceOptions.ortDir, process.env, start.deviceOptions).then(
        (chosen) => () => chosen,
        (error: unknown) => () => {
          throw error;
        },
      );

function post(reply: BatchReply, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(reply, transfer);
}

function readBatch(ipc: Uint8Array): RecordBatch {
  const table = tableFromIPC(ipc);
  return table.batches[0] ?? new RecordBatch(table.schema);
}

/** The first thread opens the engines and fits the model to the first batch; the others take over what it found. */
function openAndPlan(batch: RecordBatch): BatchPlan {
  const asked = choice!();
  useOnnxRuntimeAt(asked.onnxRuntimePath);
  database = openDatabase();
  connection = new Connection(database);
  const { contract } = loadContract(start.model);
  try {
    session = openSession(contract.modelPath, { intraOpThreads: 1 });
  } catch (error) {
    throw explainLoadFailure(error, contract.modelPath);
  }
  table = registerArrowTable(connection, tableName, batch);
  const from = `${tableName}()`;
  const source = { name: 'the first batch', from, rowCount: batch.numRows, columns: describe(connection, '*', from) };
  const engines = { reader: new DuckDbTables(connection), session };
  const resolved = resolveModel(engines, start.model, [source]);
  const described = planModel(engines, resolved);
  requireOwnNames(batch, described);
  const options = { ...start.deviceOptions, ...start.kernelOptions, batchSize: start.batchSize, rowsFollow: true };
  const placed = placeScoring(engines, [source], resolved, described, options, asked);
  const { model, kernel, restSession, warnings, chosen = asked } = placed;
  if (restSession !== undefined) {
    closeSession(session);
    session = restSession;
  }
  const batchSize = model.fixedBatchRows ?? start.batchSize;
  const devices = planDevices(chosen, model, batchSize, options.gpuMemory);
  const { slotRows, handOver } =
    devices.length === 0
      ? { slotRows: inPlaceSlotRows(model, batchSize), handOver: undefined }
      : planBatchSlots(devices, model, start.threads);
  const opened = { database, session, kernel };
  if (handOver !== undefined) writeModelTables(opened, handOver.slots, behindSlots(model, slotRows, handOver));
  return {
    engines: opened,
    model,
    devices,
    allowCpuNodes: start.deviceOptions.allowCpuNodes ?? false,
    onnxRuntimePath: chosen.onnxRuntimePath,
    batchSize,
    slotRows,
    projection: resolved.schemas.projection(source, resolved.requests),
    handOver,
    warnings: [...chosen.notes, ...warnings],
  };
}

function requireOwnNames(batch: RecordBatch, model: ModelPlan): void {
  const names = new Set(batch.schema.fields.map((field) => field.name.toLowerCase()));
  const clash = model.columns.find((column) => names.has(column.name.toLowerCase()))?.name;
  if (clash === undefined) return;
  throw new TandemError(
    'BAD_CONTRACT',
    `Expected score columns to have names of their own, got ${clash}, which the batches have too.`,
    {
      place: { field: 'outputs' },
      remedy: 'Name the score column otherwise in tandem.json, or leave the column out of the batches.',
    },
  );
}

/** Where the bytes of the model's kernel begin. */
function behindSlots(model: ModelPlan, slotRows: number, { slotsPerThread }: BatchHandOver): number {
  return sharedBytes(model, slotRows, start.threads * slotsPerThread, start.threads);
}

function createDeviceBatches(known: BatchPlan, handOver: BatchHandOver, open: Connection): DeviceBatches {
  const { model, slotRows } = known;
  const { slots, slotsPerThread, queues } = handOver;
  const firstSlot = start.threadIndex * slotsPerThread;
  const bytes = slotBytes(model, slotRows);
  const kernels = threadKernels(slots, model, slotRows, start.threads * slotsPerThread, start.threadIndex);
  const own = Array.from({ length: slotsPerThread }, (_, index): Slot =>
    layOutSlot(model, slotRows, slots.buffer, (firstSlot + index) * bytes),
  );
  const place = { memory: slots, start: behindSlots(model, slotRows, handOver), threadIndex: start.threadIndex };
  sender = new SlotSender(queues, start.control);
  sender.begin();
  const deviceLane = new DeviceLane({
    plan: known,
    reader: duckDbReader(open, model, kernels),
    kernels,
    slots: own,
    parts: openThreadParts(model, known.engines, own, place),
    firstSlot,
    sender,
    sheet,
    inFlight: { enter: () => {} },
    control: start.control,
    rowsScored: new BigInt64Array(new SharedArrayBuffer(8)),
    readAhead: () => undefined,
  });
  lane = deviceLane;
  return new DeviceBatches({ lane: deviceLane, model, done: postScores, failed: postFailure });
}

function createLane(known: BatchPlan, open: Connection): Lane {
  runOptions = createRunOptions();
  const behind = sharedBytes(known.model, known.slotRows, 1, 1);
  const memory = createSharedMemory(behind + modelKernelBytes(known.model, 1));
  writeModelTables(known.engines, memory, behind);
  const kernels = threadKernels(memory, known.model, known.slotRows, 1, 0);
  const slot = layOutSlot(known.model, known.slotRows, memory.buffer, 0);
  scorer = openInPlaceScorer(known.model, known.engines, runOptions, slot, { memory, start: behind, threadIndex: 0 });
  return new InPlaceLane({
    plan: known,
    reader: duckDbReader(open, known.model, kernels),
    kernels,
    slot,
    scorer,
    inFlight: { enter: () => {} },
    control: start.control,
    rowsScored: new BigInt64Array(new SharedArrayBuffer(8)),
    sheet,
    now: () => performance.now() / 1000,
  });
}

function scoreBatch(request: Extract<BatchRequest, { kind: 'score' }>): void {
  const batch = readBatch(request.ipc);
  if (plan === undefined) {
    plan = openAndPlan(batch);
    post({ kind: 'planned', plan });
  }
  connection ??= new Connection(plan.engines.database);
  if (table === undefined) table = registerArrowTable(connection, tableName, batch);
  else table.replace(batch);
  const values = roomForScores(plan.model, batch.numRows);
  const rows: LaneRows = {
    shardIndex: request.index,
    firstRow: 0,
    rowCount: batch.numRows,
    name: `batch ${request.index}`,
    fileRows: { firstRow: 0, rowCount: batch.numRows },
    rowGroupRows: [],
    isSelection: false,
    sql: `SELECT ${plan.projection} FROM ${tableName}() AS shard`,
    numberedFrom: undefined,
  };
  if (plan.handOver === undefined) return scoreInPlace((lane ??= createLane(plan, connection)), plan, rows, values);
  deviceBatches ??= createDeviceBatches(plan, plan.handOver, connection);
  deviceBatches.score(rows, values);
}

function scoreInPlace(own: Lane, { model }: BatchPlan, rows: LaneRows, values: readonly ScoredValues[]): void {
  own.open(rows);
  for (let scored = own.next(); scored !== undefined; scored = own.next()) {
    putScores(model, values, scored.firstRow, scored.rowCount, scored.outputs);
  }
  own.close();
  postScores(rows.shardIndex, values);
}

function postScores(index: number, values: readonly ScoredValues[]): void {
  post(
    { kind: 'scored', index, values },
    values.flatMap((each) => (Array.isArray(each) ? [] : [each.buffer as ArrayBuffer])),
  );
}

function postFailure(index: number, error: unknown): void {
  post({ kind: 'failed', index, error: asTandemError(error).toRecord() });
}

function close(runOptionsOfDevices: readonly Pointer[]): void {
  lane?.close();
  // What is out is not waited for.
  deviceBatches = undefined;
  scorer?.close();
  table?.dispose();
  connection?.close();
  if (runOptions !== undefined) releaseRunOptions(runOptions);
  runOptionsOfDevices.forEach(releaseRunOptions);
  if (session !== undefined) closeSession(session);
  closeEnvironment();
  if (database !== undefined) closeDatabase(database);
  parentPort!.close();
}

function answer(request: BatchRequest): void {
  if (request.kind === 'close') return close(request.runOptions);
  try {
    scoreBatch(request);
  } catch (error) {
    postFailure(request.index, error);
  }
}

parentPort!.on('message', (request: BatchRequest) => {
  sender?.begin();
  answer(request);
  while (deviceBatches?.areWaiting === true) {
    // What comes meanwhile fills the slots that are free: only then is there nothing to do but to wait.
    const next = receiveMessageOnPort(parentPort!)?.message as BatchRequest | undefined;
    if (next === undefined) deviceBatches.take();
    else answer(next);
  }
  sender?.rest();
});
