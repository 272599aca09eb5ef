/** Scores Arrow batches from anywhere: the slots and kernels of a run over shards, without files. */
import type { RecordBatch, Schema } from 'apache-arrow';
import { TandemError } from './errors.ts';
import { coreBound } from './machine.ts';
import type { ScoredValues } from './messages.ts';
import type { DeviceOptions, KernelOptions, RunOptions } from './options.ts';
import { parseDevice } from './engines/cuda/device-names.ts';
import { Arrivals, Bell } from './transfer/arrivals.ts';
import { BatchThreads } from './threads/batch-threads.ts';
import { noScores, withScores } from './write/score-arrow.ts';

export interface ScoreBatchesOptions
  extends DeviceOptions, KernelOptions, Pick<RunOptions, 'threads' | 'batchSize' | 'signal' | 'onWarning'> {
  /** A model folder, or an .onnx file. */
  readonly model: string;
}

/** Batches in work for each thread: one that it scores, or a GPU, and one that waits or is filled meanwhile. */
const batchesAhead = 2;

/** A batch on its way, and what became of it. */
interface Waiting {
  readonly batch: RecordBatch;
  values?: readonly ScoredValues[];
  error?: unknown;
}

/**
 * Scores record batches and yields each one, in order and as soon as it is done, with the score columns after its own.
 * A batch's own buffers are passed on as they are; the scores' buffers belong to the yielded batch. All batches must
 * have the first one's columns; one without rows comes out without rows. Nothing is asked of `batches` while two
 * batches for each thread are on their way. What fails, in a batch or in `batches`, is thrown after all earlier
 * batches came out.
 *
 * Rows of a batch with a fixed-size list output are `FixedSizeList`; float16 scores come as `Float32`.
 * On GPUs each thread owns a few page-locked slots, and rows of several batches are scored in one run.
 * @throws USAGE, BAD_CONTRACT, BAD_MODEL, BAD_COLUMN, BAD_ROW (`row` counts within the batch, `batch 3` stands for the
 * shard: batches count from 0), STOPPED; on GPUs also ENVIRONMENT, MEMORY, and TRANSIENT when the last one is lost
 */
export async function* scoreBatches(
  batches: AsyncIterable<RecordBatch> | Iterable<RecordBatch>,
  options: ScoreBatchesOptions,
): AsyncGenerator<RecordBatch, void, void> {
  const { signal, threads: threadCount = coreBound().value } = options;
  requireCount('threads', threadCount);
  requireCount('batchSize', options.batchSize ?? 1);
  parseDevice(options.device ?? 'cpu');
  expectSequence(batches);
  throwIfStopped(signal);
  const bell = new Bell();
  const arrivals = new Arrivals(batches, bell);
  const threads = new BatchThreads({ ...options, threads: threadCount });
  const waiting: Waiting[] = [];
  let batchCount = 0;
  let fitting = false;
  let schema: Schema | undefined;
  const send = (entry: Waiting, index: number): void =>
    threads.score(index, entry.batch, (outcome) => {
      Object.assign(entry, outcome);
      bell.ring();
    });
  const ring = (): void => bell.ring();
  signal?.addEventListener('abort', ring);
  try {
    for (;;) {
      throwIfStopped(signal);
      const batch = arrivals.take();
      if (batch !== undefined) {
        expectBatch(batch, batchCount);
        const entry: Waiting = { batch };
        waiting.push(entry);
        const other = otherColumns((schema ??= batch.schema), batch.schema, batchCount);
        if (other !== undefined) entry.error = other;
        else if (batch.numRows > 0) send(entry, batchCount);
        batchCount++;
      }
      const inWork = waiting.filter((entry) => entry.batch.numRows > 0).length;
      if (inWork < (threads.planned ? threadCount * batchesAhead : 1)) arrivals.ask();
      const first = waiting[0];
      if (first === undefined && arrivals.ended) return arrivals.finish();
      if (first?.error !== undefined) throw first.error;
      if (first?.batch.numRows === 0 && threads.planned) first.values ??= noScores(threads.model);
      if (first?.values !== undefined) {
        waiting.shift();
        yield withScores(first.batch, threads.model, first.values);
        continue;
      }
      // Nothing but batches without rows: the model is fitted to one of them.
      if (arrivals.ended && inWork === 0 && !fitting) {
        fitting = true;
        send(first!, 0);
      }
      await bell.sleep();
    }
  } finally {
    signal?.removeEventListener('abort', ring);
    await Promise.all([arrivals.close(), threads.close()]);
  }
}

function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new TandemError('STOPPED', 'The run was stopped.');
}

function requireCount(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new TandemError('USAGE', `Expected ${name} to be a whole number of at least 1, got \`${value}\`.`);
}

/** What somebody without TypeScript gives in its place. By its members: there may be a second apache-arrow. */
function kindOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return typeof value;
  if ('schema' in value && 'numRows' in value) return 'batches' in value ? 'a Table' : 'a RecordBatch';
  return Array.isArray(value) ? 'an array' : 'an object';
}

/** @throws USAGE. A table would give its rows one by one, and so would a batch. */
function expectSequence(batches: unknown): void {
  const kind = kindOf(batches);
  const ways: Readonly<Record<string, string>> = {
    'a Table': 'Give its batches: `table.batches`.',
    'a RecordBatch': 'Give it in an array: `[batch]`.',
  };
  const isSequence =
    Object(batches) === batches && [Symbol.iterator, Symbol.asyncIterator].some((key) => key in Object(batches));
  if (isSequence && ways[kind] === undefined) return;
  throw new TandemError('USAGE', `Expected batches to be a sequence of Arrow RecordBatches, got ${kind}.`, {
    remedy: ways[kind] ?? 'Give an array, a generator or a stream of RecordBatches.',
  });
}

/** @throws USAGE */
function expectBatch(value: unknown, index: number): void {
  const kind = kindOf(value);
  if (kind === 'a RecordBatch') return;
  throw new TandemError('USAGE', `Expected batch ${index} to be an Arrow RecordBatch, got ${kind}.`, {
    remedy:
      kind === 'a Table'
        ? 'Give the batches of each table: `tables.flatMap((table) => table.batches)`.'
        : 'Make tables of rows with `tableFromJSON`, of columns with `tableFromArrays`, and give `table.batches`.',
  });
}

/** An error where a batch has not the first one's columns. */
function otherColumns(first: Schema, schema: Schema, index: number): TandemError | undefined {
  if (schema === first) return undefined;
  const [wanted, got] = [first, schema].map((each) =>
    each.fields.map((field) => `${field.name} ${String(field.type)}`),
  );
  const at = wanted!.findIndex((column, position) => column !== got![position]);
  if (at === -1 && got!.length === wanted!.length) return undefined;
  const position = at === -1 ? wanted!.length : at;
  const [expected, found] = [wanted![position] ?? 'no other column', got![position] ?? 'nothing'];
  return new TandemError('BAD_COLUMN', `Expected column ${position + 1} to be \`${expected}\`, got \`${found}\`.`, {
    place: { shard: `batch ${index}` },
    remedy: 'Give all batches the columns of the first one, in its order.',
  });
}
