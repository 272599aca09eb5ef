/** Entry of a thread of `tandem fit`: reads units of rows and counts what a pass asks for. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import type { ColumnRequest } from '../batch.ts';
import { Connection, DuckDbError } from '../engines/duckdb/database.ts';
import { asTandemError, bug, TandemError } from '../errors.ts';
import { inexact, uncountable, type Category } from '../fit/categories.ts';
import { emptyTally, tally } from '../fit/moments.ts';
import { NumberColumn } from '../fit/number-column.ts';
import { fitCategoriesMax } from '../limits.ts';
import { fitControl, type FitPart, type FitReply, type FitRequest, type FitStart, type FitTask } from '../messages.ts';
import { sourceName } from '../contract/contract.ts';
import type { FitUnit } from '../planning/fit-plan.ts';
import { shardError } from '../read/footers.ts';
import { explainRowFailure } from '../read/row-failure.ts';
import { between } from '../relation.ts';
import { openChunks } from '../read/shard-reader.ts';

/** A task and what this thread has found out for it. */
interface NumberWork {
  readonly task: FitTask;
  readonly column: NumberColumn;
  readonly tallies: Float64Array[];
}

interface CategoryWork {
  readonly task: FitTask;
  readonly counts: Map<Category, number>;
  readonly tallies: Float64Array[];
}

class FitThread {
  readonly #start: FitStart;
  readonly #connection: Connection;

  constructor(start: FitStart, connection: Connection) {
    this.#start = start;
    this.#connection = connection;
  }

  pass(tasks: readonly FitTask[]): FitReply {
    const numbers: NumberWork[] = [];
    const categories: CategoryWork[] = [];
    for (const task of tasks) {
      const { question } = task;
      if (question.kind === 'categories') categories.push({ task, counts: new Map(), tallies: [] });
      else numbers.push({ task, column: new NumberColumn(question.steps, question.search), tallies: [] });
    }
    const { plan, control, rowsRead } = this.#start;
    const taken: number[] = [];
    for (;;) {
      const index = Atomics.add(control, fitControl.nextUnit, 1);
      const unit = plan.units[index];
      if (unit === undefined) break;
      this.#explained(unit, [...numbers, ...categories], () => {
        if (numbers.length > 0) this.#readNumbers(unit, numbers);
        for (const work of categories) this.#countCategories(unit, work);
      });
      taken.push(index);
      Atomics.add(rowsRead, 0, BigInt(unit.rowCount));
    }
    const parts = tasks.map((task): FitPart => {
      const number = numbers.find((work) => work.task === task);
      const category = categories.find((work) => work.task === task);
      const digits = number?.column.digits;
      return {
        tallies: (number ?? category)!.tallies,
        digits: digits && { counts: digits.counts, collected: digits.collected, rest: digits.rest },
        categories: category?.counts,
      };
    });
    return { kind: 'passed', units: taken, parts };
  }

  #readNumbers(unit: FitUnit, work: readonly NumberWork[]): void {
    const requests = work.map(({ task }) => this.#requestOf(task));
    const items = work.map(({ task }, i) => `${this.#expressionOf(unit, task)} AS c${i}`);
    const source = openChunks(this.#connection, `SELECT ${items.join(', ')} ${this.#rowsOf(unit)}`, requests);
    try {
      let rowCount = 0;
      for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) {
        rowCount += chunk.rowCount;
        for (const [i, { column }] of work.entries()) column.take(chunk.vectors[i], chunk.rowCount);
      }
      expectRows(unit, rowCount);
    } finally {
      source.close();
    }
    for (const { column, tallies } of work) tallies.push(column.endUnit());
  }

  #countCategories(unit: FitUnit, { task, counts, tallies }: CategoryWork): void {
    const sql = `SELECT ${this.#expressionOf(unit, task)} AS c, count(*) ${this.#rowsOf(unit)} GROUP BY ALL`;
    const source = sourceName(this.#requestOf(task).feature.source);
    const counted = emptyTally();
    let rowCount = 0;
    for (const [value, count] of this.#connection.rows(sql)) {
      const rows = Number(count);
      rowCount += rows;
      const key = typeof value === 'string' || value === null ? value : Number(value);
      if (key === null) counted[tally.nulls]! += rows;
      else if (Number.isNaN(key)) counted[tally.nans]! += rows;
      else if (typeof key === 'number' && !Number.isFinite(key)) counted[tally.infinite]! += rows;
      else if (Number.isInteger(key) && !Number.isSafeInteger(key)) throw inexact(source, key as number);
      else counts.set(key, (counts.get(key) ?? 0) + rows);
    }
    expectRows(unit, rowCount);
    if (counts.size > fitCategoriesMax) throw uncountable(source);
    tallies.push(counted);
  }

  #requestOf({ featureIndex }: FitTask): ColumnRequest {
    return this.#start.plan.requests[featureIndex]!;
  }

  #expressionOf({ shardIndex }: FitUnit, { featureIndex }: FitTask): string {
    const { plan } = this.#start;
    return plan.expressions[plan.shards[shardIndex]!.schema]![featureIndex]!;
  }

  /** FROM and WHERE of a unit. */
  #rowsOf(unit: FitUnit): string {
    const shard = this.#start.plan.shards[unit.shardIndex]!;
    if (unit.rowCount === shard.rowCount) return `FROM ${shard.from} AS shard`;
    return `FROM ${shard.numberedFrom} WHERE ${between(unit.fileRows ?? unit)}`;
  }

  /** Names what `work` throws by its place. */
  #explained(unit: FitUnit, works: readonly { readonly task: FitTask }[], work: () => void): void {
    const { plan, control } = this.#start;
    const shard = plan.shards[unit.shardIndex]!;
    try {
      if (Atomics.load(control, fitControl.stop) !== 0) throw stopped();
      work();
    } catch (error) {
      if (Atomics.load(control, fitControl.stop) !== 0) throw stopped(error);
      if (error instanceof TandemError) throw error.code === 'TRANSIENT' ? error.at({ shard: shard.name }) : error;
      if (!(error instanceof DuckDbError)) throw error;
      const sources = works.map(({ task }) => this.#requestOf(task).feature.source);
      const { name, rowGroupRows, numberedFrom } = shard;
      const rows = { fileRows: unit.fileRows ?? unit, name, rowGroupRows, numberedFrom };
      throw explainRowFailure(this.#connection, sources, rows, error) ?? shardError(error, name);
    }
  }
}

/** A stream that ends early without an error would lose rows. */
function expectRows(unit: FitUnit, rowCount: number): void {
  if (rowCount === unit.rowCount) return;
  throw new TandemError('TRANSIENT', `Expected ${unit.rowCount} rows, as the footer says, got ${rowCount}.`, {
    remedy: 'The file changed while it was read: run the same command again.',
  });
}

function stopped(cause?: unknown): TandemError {
  return new TandemError('STOPPED', 'The fit was stopped.', { cause });
}

function main(port: MessagePort, start: FitStart): void {
  const post = (reply: FitReply): void => port.postMessage(reply);
  const connection = new Connection(start.database);
  post({ kind: 'connected', connection: connection.pointer });
  const thread = new FitThread(start, connection);
  port.on('message', (request: FitRequest) => {
    if (request.kind === 'close') return port.close();
    try {
      post(thread.pass(request.tasks));
    } catch (error) {
      post({ kind: 'failed', error: asTandemError(error).toRecord() });
    }
  });
}

if (parentPort === null) throw bug('A thread of a fit was started outside a worker thread');
main(parentPort, workerData as FitStart);
