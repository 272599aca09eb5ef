/**
 * Tries each native engine on something so small that the right answer is known: a wrong library, table or signature
 * shows here, with its name, and not as a crash in the middle of a run.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isValid } from '../batch.ts';
import { bug } from '../errors.ts';
import { loadDuckDb } from './duckdb/bindings.ts';
import { closeDatabase, Connection, openDatabase } from './duckdb/database.ts';
import { registerRowFunction } from './duckdb/row-function.ts';
import { registerTableFunction, type TableColumn, type TableRows } from './duckdb/table-function.ts';
import { duckDbType, vectorRows } from './duckdb/types.ts';
import { copyValues, readListEntries, readStrings, readVector } from './duckdb/vectors.ts';
import { ortApiFunctions } from './onnxruntime/api-table.ts';
import { loadOnnxRuntime, onnxRuntimeVersion, ortApiVersion } from './onnxruntime/bindings.ts';
import { BoundRun, createRunOptions, releaseRunOptions } from './onnxruntime/run.ts';
import { closeSession, describeSession, openSession } from './onnxruntime/session.ts';

/** One thing that was tried. */
export interface SelfTestLine {
  readonly engine: 'DuckDB' | 'ONNX Runtime';
  readonly check: string;
  /** What came out; where it is wrong, the error. */
  readonly found: string;
  readonly ok: boolean;
}

/** Runs the tests of both engines. Never throws: what fails is a line with `ok: false`. */
export function selfTest(): SelfTestLine[] {
  return [...selfTestDuckDb(), ...selfTestOnnxRuntime()];
}

type Attempt = (check: string, work: () => string) => void;

/** Gives `use` a function that turns what it tries into lines. */
function attempts(engine: SelfTestLine['engine'], use: (attempt: Attempt) => void): SelfTestLine[] {
  const lines: SelfTestLine[] = [];
  use((check, work) => {
    try {
      lines.push({ engine, check, found: work(), ok: true });
    } catch (thrown) {
      lines.push({ engine, check, found: messageOf(thrown), ok: false });
    }
  });
  return lines;
}

export function selfTestDuckDb(): SelfTestLine[] {
  return attempts('DuckDB', (attempt) => {
    attempt('version', () => loadDuckDb().duckdb_library_version());
    if (!canDo(loadDuckDb)) return;
    const database = openDatabase();
    const connection = new Connection(database);
    attempt('one row', () => {
      const [row] = connection.rows("SELECT 42::BIGINT, 0.5::FLOAT, true, 'text', NULL::INTEGER");
      return same(row, [42n, 0.5, 1, 'text', null]);
    });
    attempt('stream of numbers, nulls, strings and lists', () => checkStream(connection));
    attempt('table function', () => checkTableFunction(connection));
    attempt('row function', () => checkRowFunction(connection));
    attempt('error message', () => messageThrown(() => connection.execute('SELECT no_such_column'), 'no_such_column'));
    attempt('error inside a callback', () => {
      const table = registerTableFunction(connection, 'self_test_throws', [column('x', duckDbType.BIGINT)], () => {
        throw new RangeError('thrown on purpose');
      });
      const message = messageThrown(() => connection.rows('SELECT x FROM self_test_throws()'), 'thrown on purpose');
      table.dispose();
      return message;
    });
    connection.close();
    closeDatabase(database);
  });
}

const rowCount = 5000;

/** Row k: k; null where k % 3 = 0, else k / 2; a short or a long string; a list of k % 4 values. */
const streamSql = `SELECT range AS k, CASE WHEN range % 3 = 0 THEN NULL ELSE (range / 2)::FLOAT END AS half,
  CASE WHEN range % 5 = 0 THEN NULL ELSE repeat('ä', (range % 20)::INTEGER) || range END AS name,
  list_transform(range(range % 4), lambda i: (range + i)::DOUBLE) AS list FROM range(${rowCount})`;

function checkStream(connection: Connection): string {
  const stream = connection.stream(streamSql);
  let first = 0;
  try {
    for (let count = stream.next(); count > 0; first += count, count = stream.next()) {
      const k = readVector(stream.vector(0), duckDbType.BIGINT, count);
      const half = readVector(stream.vector(1), duckDbType.FLOAT, count);
      const names = readStrings(stream.vector(2), count);
      const [offsets, lengths] = [new Int32Array(count), new Int32Array(count)];
      readListEntries(stream.vector(3), count, offsets, lengths);
      const duckdb = loadDuckDb();
      const values = new Float64Array(Number(duckdb.duckdb_list_vector_get_size(stream.vector(3))));
      copyValues(duckdb.duckdb_list_vector_get_child(stream.vector(3)), values, values.length);
      if (k.kind !== 'number' || half.kind !== 'number') throw bug('Numbers came as text');
      for (let row = 0; row < count; row++) {
        const at = first + row;
        const list = Array.from(values.subarray(offsets[row]!, offsets[row]! + lengths[row]!));
        const found = [k.values[row], isValid(half.validity, row) ? half.values[row] : null, names[row], list];
        const name = at % 5 === 0 ? null : `${'ä'.repeat(at % 20)}${at}`;
        const expectedList = Array.from({ length: at % 4 }, (_, index) => at + index);
        same(found, [BigInt(at), at % 3 === 0 ? null : at / 2, name, expectedList]);
      }
    }
  } finally {
    stream.close();
  }
  same(first, rowCount);
  return `${rowCount} rows`;
}

function column(name: string, type: number, arrayLength?: number): TableColumn {
  return { name, type, arrayLength };
}

/** Rows that come in other portions than they are asked for, of which a condition takes some. */
function checkRowFunction(connection: Connection): string {
  const { BIGINT, VARCHAR, FLOAT } = duckDbType;
  const columns = [column('k', BIGINT), column('name', VARCHAR), column('pair', FLOAT, 2)];
  let first = 0;
  const rows = registerRowFunction(connection, 'self_test_rows', columns, (): TableRows => {
    const ids = Array.from({ length: 700 }, (_, row) => first + row);
    first += ids.length;
    const pairs = Float32Array.from(ids.flatMap((id) => [id, id / 2]));
    return { rowCount: ids.length, columns: [BigInt64Array.from(ids, BigInt), ids.map((id) => `ä${id}`), pairs] };
  });
  const [row] = connection.rows(
    `SELECT count(*), count(*) FILTER (i // 3 = r.c0 AND r.c1 = 'ä' || r.c0 AND r.c2 = [r.c0, r.c0 / 2]::FLOAT[2])
     FROM (SELECT i, self_test_rows() AS r FROM range(${3 * rowCount}) rows(i) WHERE i % 3 = 1)`,
  );
  rows.dispose();
  same(row, [BigInt(rowCount), BigInt(rowCount)]);
  return `${rowCount} rows`;
}

function checkTableFunction(connection: Connection): string {
  const { BIGINT, VARCHAR, FLOAT } = duckDbType;
  const columns = [column('k', BIGINT), column('name', VARCHAR), column('pair', FLOAT, 2)];
  let first = 0;
  const table = registerTableFunction(connection, 'self_test', columns, (): TableRows => {
    const count = Math.min(vectorRows, rowCount - first);
    const ids = Array.from({ length: count }, (_, row) => first + row);
    first += count;
    const pairs = Float32Array.from(ids.flatMap((id) => [id, id / 2]));
    const names = ids.map((id) => `${'ä'.repeat(id % 20)}${id}`);
    return { rowCount: count, columns: [BigInt64Array.from(ids, BigInt), names, pairs] };
  });
  const wrongSql = `SELECT count(*), count(*) FILTER (k <> row OR name <> repeat('ä', (row % 20)::INTEGER) || row
    OR pair[1] <> row OR pair[2] <> row / 2) FROM (SELECT *, row_number() OVER () - 1 AS row FROM self_test())`;
  const [counts] = connection.rows(wrongSql);
  table.dispose();
  same(counts, [BigInt(rowCount), 0n]);
  return `${rowCount} rows`;
}

/** `y = x + x`, float32 [N, 2], as an ONNX file; the test beside this file builds it anew. */
export const selfTestModel =
  'CAgSBnRhbmRlbTpMChcKAXgKAXgSAXkaBUFkZF8wIgNBZGQ6ABIFZ3JhcGhaFAoBeBIPCg0IARIJCgMSAU4KAggCYhQKAXkSDwoNCA' +
  'ESCQoDEgFOCgIIAkIECgAQEUIOCgphaS5vbm54Lm1sEAM=';

export function selfTestOnnxRuntime(): SelfTestLine[] {
  return attempts('ONNX Runtime', (attempt) => {
    attempt('version', () => {
      loadOnnxRuntime();
      return `${onnxRuntimeVersion}, functions of API version ${ortApiVersion}`;
    });
    attempt('bound functions are in the table', () => checkTable());
    if (!canDo(loadOnnxRuntime)) return;
    const folder = mkdtempSync(join(tmpdir(), 'tandem-'));
    attempt('model of one node', () => checkModel(join(folder, 'model.onnx')));
    attempt('error message', () => {
      const path = join(folder, 'broken.onnx');
      writeFileSync(path, 'no model');
      return messageThrown(() => openSession(path, { intraOpThreads: 1 }), 'broken.onnx');
    });
    rmSync(folder, { recursive: true });
  });
}

function checkTable(): string {
  const names = Object.keys(loadOnnxRuntime());
  const missing = names.filter((name) => !ortApiFunctions.includes(name));
  if (missing.length > 0) throw new RangeError(`missing: ${missing.join(', ')}`);
  return `${names.length} of ${ortApiFunctions.length}`;
}

function checkModel(path: string): string {
  writeFileSync(path, Buffer.from(selfTestModel, 'base64'));
  const session = openSession(path, { intraOpThreads: 1 });
  const runOptions = createRunOptions();
  const rows = 3;
  const x = { name: 'x', elementType: 'float32', shape: [rows, 2], values: Float32Array.of(0, 1, 2, 3, 4, 5) } as const;
  const y = { ...x, name: 'y', values: new Float32Array(rows * 2) };
  const bound = new BoundRun(session, [x], [y]);
  const fetched = new BoundRun(session, [x], [{ name: 'y' }]);
  try {
    const value = (name: string) => ({ name, kind: 'tensor', elementType: 'float32', shape: ['N', 2] });
    same(describeSession(session), { inputs: [value('x')], outputs: [value('y')], defaults: [] });
    for (const offset of [0, 10]) {
      x.values.set(Array.from({ length: rows * 2 }, (_, index) => offset + index));
      const expected = Array.from(x.values, (number) => number * 2);
      bound.run(runOptions);
      same(Array.from(y.values), expected);
      fetched.run(runOptions);
      const tensor = fetched.fetch()[0]!;
      same([tensor.shape, Array.from(tensor.values as Float32Array)], [[rows, 2], expected]);
    }
  } finally {
    bound.close();
    fetched.close();
    releaseRunOptions(runOptions);
    closeSession(session);
  }
  return `${rows} rows, twice`;
}

/** The value as text. @throws RangeError when it is another one */
function same(found: unknown, expected: unknown): string {
  const text = show(found);
  if (text !== show(expected)) throw new RangeError(`expected ${show(expected)}, got ${text}`);
  return text;
}
function show(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part)) ?? 'nothing';
}

/** First line of the error that `work` throws. @throws RangeError for no error, or one that does not say `part` */
function messageThrown(work: () => unknown, part: string): string {
  try {
    work();
  } catch (thrown) {
    const message = messageOf(thrown);
    if (message.includes(part)) return message;
    throw new RangeError(`expected an error with \`${part}\`, got: ${message}`);
  }
  throw new RangeError('expected an error, got none');
}
function messageOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.split('\n')[0]!;
}
function canDo(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
