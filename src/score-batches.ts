/** Scores Arrow batches from anywhere: the slots and kernels of a run over shards, without files. */
import { Worker } from 'node:worker_threads';
import {
  Field, FixedSizeList, RecordBatch, Schema, Struct, Table, makeData, tableToIPC, vectorFromArray,
  Bool, Float32, Float64, Int16, Int32, Int64, Int8, Uint16, Uint32, Uint64, Uint8, Utf8, type Data, type DataType,
} from 'apache-arrow';
import type { ElementType } from './contract/contract.ts';
import { TandemError, asTandemError, bug } from './errors.ts';
import { float16Value } from './float16.ts';
import { coreBound } from './machine.ts';
import { control, type BatchPlan, type BatchReply, type BatchRequest, type BatchWorkerStart, type ScoredValues } from './messages.ts';
import type { RunOptions } from './options.ts';
import type { ModelPlan } from './plan.ts';

export interface ScoreBatchesOptions extends Pick<RunOptions, 'threads' | 'batchSize' | 'signal'> {
  /** A model folder, or an .onnx file. */
  readonly model: string;
  readonly device?: 'cpu' | 'auto';
}

/** Batches in work for each thread: one that it scores, one that waits. */
const batchesAhead = 2;

/**
 * Scores record batches and yields them, in order, with the score columns after their own columns. A batch's own buffers
 * are passed on as they are; the scores' buffers belong to the yielded batch. All batches must have the first one's
 * columns. Rows of a batch with a fixed-size list output are `FixedSizeList`; float16 scores come as `Float32`.
 * @throws BAD_CONTRACT, BAD_MODEL, BAD_COLUMN, BAD_ROW (`row` counts within the batch that the error names), STOPPED
 */
export async function* scoreBatches(
  batches: AsyncIterable<RecordBatch> | Iterable<RecordBatch>, options: ScoreBatchesOptions,
): AsyncGenerator<RecordBatch, void, void> {
  const threads = new BatchThreads(options);
  const waiting: { readonly batch: RecordBatch; readonly scores: Promise<readonly ScoredValues[]> }[] = [];
  const finishFirst = async (): Promise<RecordBatch> => {
    const { batch, scores } = waiting.shift()!;
    const values = await scores;
    // The model is known once the first scores are there.
    return withScores(batch, threads.model, values);
  };
  try {
    for await (const batch of batches) {
      if (options.signal?.aborted === true) throw new TandemError('STOPPED', 'The run was stopped.');
      if (batch.numRows === 0) continue;
      const scores = threads.score(batch);
      // Whoever leaves the loop early does not wait for these.
      scores.catch(() => {});
      waiting.push({ batch, scores });
      if (waiting.length >= threads.count * batchesAhead || !threads.planned) yield await finishFirst();
    }
    while (waiting.length > 0) yield await finishFirst();
  } finally {
    await threads.close();
  }
}

interface Pending {
  resolve(values: readonly ScoredValues[]): void;
  reject(error: unknown): void;
}

/** The threads behind {@link scoreBatches}: the first one opens the engines, the others join once it has planned. */
class BatchThreads {
  readonly count: number;
  readonly #options: ScoreBatchesOptions;
  readonly #workers: Worker[] = [];
  readonly #pending = new Map<number, Pending>();
  readonly #control = new Int32Array(new SharedArrayBuffer(control.length * Int32Array.BYTES_PER_ELEMENT));
  #plan: BatchPlan | undefined;
  #next = 0;
  #closing = false;

  constructor(options: ScoreBatchesOptions) {
    this.count = options.threads ?? coreBound().value;
    this.#options = options;
    this.#start();
  }

  get planned(): boolean {
    return this.#plan !== undefined;
  }

  get model(): ModelPlan {
    if (this.#plan === undefined) throw bug('Scores came before a plan');
    return this.#plan.model;
  }

  score(batch: RecordBatch): Promise<readonly ScoredValues[]> {
    const index = this.#next++;
    while (this.planned && this.#workers.length < this.count) this.#start();
    const ipc = tableToIPC(new Table([batch]), 'stream');
    const request: BatchRequest = { kind: 'score', index, ipc };
    return new Promise((resolve, reject) => {
      this.#pending.set(index, { resolve, reject });
      const transfer = ipc.buffer instanceof ArrayBuffer && ipc.byteLength === ipc.buffer.byteLength ? [ipc.buffer] : [];
      this.#workers[index % this.#workers.length]!.postMessage(request, transfer);
    });
  }

  /** Ends what runs, then frees the engines: the first thread, which opened them, comes last. */
  async close(): Promise<void> {
    this.#closing = true;
    Atomics.store(this.#control, control.stop, 1);
    const [first, ...others] = this.#workers;
    await Promise.all(others.map(endWorker));
    if (first !== undefined) await endWorker(first);
  }

  #start(): void {
    const workerData: BatchWorkerStart = {
      threadIndex: this.#workers.length, model: this.#options.model, batchSize: this.#options.batchSize,
      control: this.#control, plan: this.#plan,
    };
    const worker = new Worker(new URL('./threads/batch-scorer.js', import.meta.url), { workerData });
    worker.on('message', (reply: BatchReply) => {
      if (reply.kind === 'planned') this.#plan = reply.plan;
      else if (reply.kind === 'failed') this.#failAll(TandemError.fromRecord(reply.error));
      else {
        this.#pending.get(reply.index)?.resolve(reply.values);
        this.#pending.delete(reply.index);
      }
    });
    worker.on('error', (error) => this.#failAll(asTandemError(error)));
    worker.on('exit', () => this.#closing || this.#failAll(new TandemError('TRANSIENT', 'Expected a scoring thread to go on, got its end.')));
    this.#workers.push(worker);
  }

  #failAll(error: TandemError): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

async function endWorker(worker: Worker): Promise<void> {
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const request: BatchRequest = { kind: 'close' };
  worker.postMessage(request);
  await ended;
}

/** The batch with its score columns. */
function withScores(batch: RecordBatch, model: ModelPlan, values: readonly ScoredValues[]): RecordBatch {
  const columns = model.columns.map(({ name, output, position }) => {
    const { elementType, width } = model.outputs[output]!;
    const picked = position === undefined || width === 1 ? values[output]! : pickPosition(values[output]!, width, position);
    const data = toData(elementType, picked, position === undefined ? width : 1, batch.numRows);
    return { field: new Field(name, data.type, false), data };
  });
  const schema = new Schema([...batch.schema.fields, ...columns.map(({ field }) => field)], batch.schema.metadata);
  const children = [...batch.data.children, ...columns.map(({ data }) => data)];
  return new RecordBatch(schema, makeData({ type: new Struct(schema.fields), length: batch.numRows, nullCount: 0, children }));
}

function pickPosition(values: ScoredValues, width: number, position: number): ScoredValues {
  const rowCount = values.length / width;
  if (Array.isArray(values)) return Array.from({ length: rowCount }, (_, row) => values[row * width + position]!);
  const picked = values.slice(0, rowCount);
  for (let row = 0; row < rowCount; row++) picked[row] = values[row * width + position]!;
  return picked;
}

function toData(elementType: ElementType, values: ScoredValues, width: number, rowCount: number): Data {
  const element = elementData(elementType, values);
  if (width === 1) return element;
  const type = new FixedSizeList(width, new Field('item', element.type, false));
  return makeData({ type, length: rowCount, nullCount: 0, child: element });
}

function elementData(elementType: ElementType, values: ScoredValues): Data {
  if (Array.isArray(values)) return vectorFromArray(values, new Utf8()).data[0]!;
  if (elementType === 'bool') return vectorFromArray(Array.from(values as Uint8Array, (value) => value !== 0), new Bool()).data[0]!;
  if (elementType === 'float16') return numberData(new Float32(), Float32Array.from(values as Uint16Array, float16Value));
  return numberData(arrowTypes[elementType as keyof typeof arrowTypes], values);
}

const arrowTypes = {
  float32: new Float32(), float64: new Float64(), int8: new Int8(), int16: new Int16(), int32: new Int32(), int64: new Int64(),
  uint8: new Uint8(), uint16: new Uint16(), uint32: new Uint32(), uint64: new Uint64(),
};

function numberData(type: DataType, data: Exclude<ScoredValues, string[]>): Data {
  return makeData({ type: type as Float32, length: data.length, nullCount: 0, data: data as Float32Array });
}
