/** Entry of a thread that scores Arrow batches handed to it: SQL over the batch, then the same lane as for shards. */
import { parentPort, workerData } from 'node:worker_threads';
import { RecordBatch, tableFromIPC } from 'apache-arrow';
import type { NumberArray, TensorValues } from '../batch.ts';
import { loadContract } from '../contract/load.ts';
import { registerArrowTable, type ArrowTable } from '../engines/duckdb/arrow-import.ts';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../engines/onnxruntime/session.ts';
import type { Pointer } from '../engines/native.ts';
import { asTandemError, TandemError } from '../errors.ts';
import {
  type BatchPlan,
  type BatchReply,
  type BatchRequest,
  type BatchWorkerStart,
  type ScoredValues,
} from '../messages.ts';
import type { ModelPlan } from '../plan.ts';
import { planModel, resolveModel } from '../planning/model.ts';
import { DuckDbTables } from '../planning/tables.ts';
import { slotRowsFor } from '../planning/allocate.ts';
import { describe } from '../read/footers.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { layOutSlot, slotBytes, SlotScorer } from '../score/scorer.ts';
import { roomForScores } from '../write/score-arrow.ts';
import { duckDbReader } from './duckdb-reader.ts';
import { InPlaceLane, type Lane } from './lane.ts';

const start = workerData as BatchWorkerStart;
const tableName = `tandem_batch_${start.threadIndex}`;

let connection: Connection | undefined;
let table: ArrowTable | undefined;
let lane: Lane | undefined;
let scorer: SlotScorer | undefined;
let runOptions: Pointer | undefined;
let plan = start.plan;
/** Only the first thread, which starts without a plan, opens these. */
let database: Pointer | undefined;
let session: Pointer | undefined;

function post(reply: BatchReply, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(reply, transfer);
}

function readBatch(ipc: Uint8Array): RecordBatch {
  const table = tableFromIPC(ipc);
  return table.batches[0] ?? new RecordBatch(table.schema);
}

/** The first thread opens the engines and fits the model to the first batch; the others take over what it found. */
function openAndPlan(batch: RecordBatch): BatchPlan {
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
  const model = planModel(engines, [source], resolved);
  requireOwnNames(batch, model);
  const batchSize = model.fixedBatchRows ?? start.batchSize;
  return {
    engines: { database, session },
    model,
    batchSize,
    slotRows: slotRowsFor(slotBytes(model, 64) / 64, batchSize),
    projection: resolved.schemas.projection(source, resolved.requests),
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

function createLane(known: BatchPlan, open: Connection): Lane {
  runOptions = createRunOptions();
  const slot = layOutSlot(known.model, known.slotRows, new ArrayBuffer(slotBytes(known.model, known.slotRows)), 0);
  scorer = new SlotScorer(known.model, known.engines.session, runOptions, slot);
  return new InPlaceLane({
    plan: known,
    reader: duckDbReader(open, known.model),
    slot,
    scorer,
    inFlight: { enter: () => {} },
    control: start.control,
    rowsScored: new BigInt64Array(new SharedArrayBuffer(8)),
    modelMicroseconds: new BigInt64Array(new SharedArrayBuffer(8)),
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
  lane ??= createLane(plan, connection);
  const values = roomForScores(plan.model, batch.numRows);
  lane.open({
    shardIndex: 0,
    firstRow: 0,
    rowCount: batch.numRows,
    name: `batch ${request.index}`,
    rowGroupRows: [],
    sql: `SELECT ${plan.projection} FROM ${tableName}() AS shard`,
    numberedFrom: undefined,
  });
  for (let scored = lane.next(); scored !== undefined; scored = lane.next()) {
    const { firstRow, rowCount, outputs } = scored;
    values.forEach((target, output) =>
      append(target, outputs[output]!, plan!.model.outputs[output]!.width, firstRow, rowCount),
    );
  }
  lane.close();
  post(
    { kind: 'scored', index: request.index, values },
    values.flatMap((each) => (Array.isArray(each) ? [] : [each.buffer as ArrayBuffer])),
  );
}

function append(target: ScoredValues, source: TensorValues, width: number, firstRow: number, rowCount: number): void {
  if (Array.isArray(target)) {
    for (let index = 0; index < rowCount * width; index++)
      target[firstRow * width + index] = (source as string[])[index]!;
    return;
  }
  (target as Float64Array).set((source as NumberArray).subarray(0, rowCount * width) as Float64Array, firstRow * width);
}

function close(): void {
  lane?.close();
  scorer?.close();
  table?.dispose();
  connection?.close();
  if (runOptions !== undefined) releaseRunOptions(runOptions);
  if (session !== undefined) closeSession(session);
  if (database !== undefined) closeDatabase(database);
  parentPort!.close();
}

parentPort!.on('message', (request: BatchRequest) => {
  if (request.kind === 'close') return close();
  try {
    scoreBatch(request);
  } catch (error) {
    post({ kind: 'failed', index: request.index, error: asTandemError(error).toRecord() });
  }
});
