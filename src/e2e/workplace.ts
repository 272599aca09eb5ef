/** What tests of whole runs share: a folder with shards, a model and an output, and what may lie in that output. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { errorCodes, TandemError, type ErrorCode, type ErrorPlace } from '../errors.ts';
import type { ScoreOptions, ScoreResult } from '../options.ts';
import { planScore, score } from '../pipeline.ts';
import { outputName } from '../shard-format.ts';
import { quotePath, type Value } from '../engines/duckdb/database.ts';
import { writeModel, type ModelSpec } from '../testing/onnx.ts';
import { readRows, tempDir, withConnection, writeShard, type WriteOptions } from '../testing/shards.ts';

export type Row = Record<string, Value>;

/** One test's folder: `data` holds shards, `model` the model folder, `scores` is the output, `cache` holds profiles. */
export class Workplace {
  readonly folder: string;
  readonly data: string;
  readonly model: string;
  readonly output: string;
  readonly #common: Partial<ScoreOptions>;

  /** @param common options of all its runs */
  constructor(test: { after(remove: () => void): void }, common: Partial<ScoreOptions> = {}) {
    this.#common = common;
    this.folder = tempDir(test);
    this.data = join(this.folder, 'data');
    this.model = join(this.folder, 'model');
    this.output = join(this.folder, 'scores');
    // What runs leave for later ones is this test's own.
    process.env['XDG_CACHE_HOME'] = join(this.folder, 'cache');
  }

  /** Writes a shard; gives its path. */
  shard(name: string, sql: string, options: WriteOptions = {}): string {
    const path = join(this.data, name);
    writeShard(path, sql, options);
    return path;
  }

  /** Writes model.onnx, and tandem.json unless there is no contract. */
  writeModel(spec: ModelSpec, contract?: object): void {
    writeModel(join(this.model, 'model.onnx'), spec);
    if (contract !== undefined) this.writeContract(contract);
  }

  writeContract(contract: object): void {
    writeFileSync(join(this.model, 'tandem.json'), JSON.stringify({ model: 'model.onnx', ...contract }));
  }

  options(changes: Partial<ScoreOptions> = {}): ScoreOptions {
    return { shards: this.data, model: this.model, output: this.output, threads: 1, ...this.#common, ...changes };
  }

  /** A run that must succeed; what it leaves is checked. */
  async score(changes: Partial<ScoreOptions> = {}): Promise<ScoreResult> {
    const options = this.options(changes);
    const result = await score(options);
    assert.equal(existsSync(join(options.output, '_SUCCESS')), true);
    assertOnlyWholeShards(options.output);
    return result;
  }

  /** A run that must fail in this way and leave whole shards only. */
  async fails(expected: Failure, changes: Partial<ScoreOptions> = {}): Promise<TandemError> {
    const options = this.options(changes);
    const error = await caught(score(options));
    assertFailure(error, expected);
    assert.equal(existsSync(join(options.output, '_SUCCESS')), false);
    if (existsSync(options.output) && statSync(options.output).isDirectory()) assertOnlyWholeShards(options.output);
    return error;
  }

  /** Planning, which every run begins with, must fail in this way; then there is no output folder. */
  async failsToPlan(expected: Failure, changes: Partial<ScoreOptions> = {}): Promise<TandemError> {
    const options = this.options(changes);
    const error = await caught(planScore(options));
    assertFailure(error, expected);
    assert.equal(existsSync(options.output), false);
    return error;
  }

  /** A run that must fail in this way, into a folder that need not be Tandem's: nothing in it changes. */
  async refuses(expected: Failure, changes: Partial<ScoreOptions> = {}): Promise<TandemError> {
    const options = this.options(changes);
    const before = listFiles(options.output);
    const error = await caught(score(options));
    assertFailure(error, expected);
    assert.deepEqual(listFiles(options.output), before);
    return error;
  }

  /** Rows of a shard's output. */
  rows(name: string): Row[] {
    return readRows(join(this.output, name));
  }
}

export interface Failure {
  readonly code: ErrorCode;
  /** Exactly this place. */
  readonly place: ErrorPlace;
  readonly message: RegExp;
  readonly remedy?: RegExp;
}

export async function caught(run: Promise<unknown>): Promise<TandemError> {
  const error: unknown = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) throw new assert.AssertionError({ message: 'Expected the run to fail, it succeeded.' });
  assert.ok(error instanceof TandemError, String(error));
  return error;
}

export function assertFailure(error: TandemError, expected: Failure): void {
  assert.match(error.message, expected.message);
  assert.equal(error.code, expected.code, error.message);
  assert.deepEqual(error.place, expected.place);
  assert.equal(error.exitCode, errorCodes[expected.code].exitCode);
  assert.ok(error.remedy !== undefined && error.remedy !== '', `Without a remedy: ${error.message}`);
  if (expected.remedy !== undefined) assert.match(error.remedy, expected.remedy);
}

interface WrittenFile {
  readonly rowCount: number;
  readonly bytes: number;
}

interface WrittenManifest {
  readonly version: number;
  readonly shard: { readonly name: string; readonly rowCount: number };
  readonly output: WrittenFile & { readonly files?: readonly (WrittenFile & { readonly name: string })[] };
}

const besideData = /^_(?:plan\.json|report(?:-\d+)?\.json|SUCCESS)$/;

/**
 * Every file is a shard's output with a manifest that says so, such a manifest, or the run's own account; each output can
 * be read and has as many rows as its shard.
 * @returns names of the whole shards
 */
export function assertOnlyWholeShards(folder: string): string[] {
  const manifests = listFiles(folder)
    .filter((path) => path.startsWith('_manifests/') && path.endsWith('.json'))
    .map((path) => [path, JSON.parse(readFileSync(join(folder, path), 'utf8')) as WrittenManifest] as const);
  const allowed = new Set<string>();
  const outputs: { readonly path: string; readonly rowCount: number }[] = [];
  for (const [path, { version, shard, output }] of manifests) {
    assert.equal(version, 1);
    assert.equal(path, `_manifests/${shard.name}.json`);
    assert.equal(output.rowCount, shard.rowCount);
    const files = output.files ?? [{ ...output, name: outputName(shard.name) }];
    for (const { name, rowCount, bytes } of files) {
      assert.equal(statSync(join(folder, name)).size, bytes);
      outputs.push({ path: join(folder, name), rowCount });
      allowed.add(name);
    }
    assert.equal(sum(files.map(({ rowCount }) => rowCount)), output.rowCount);
    assert.equal(sum(files.map(({ bytes }) => bytes)), output.bytes);
    allowed.add(path);
  }
  assertReadable(outputs);
  assert.deepEqual(
    listFiles(folder).filter((path) => !allowed.has(path) && !besideData.test(path)),
    [],
  );
  return manifests.map(([, manifest]) => manifest.shard.name).sort();
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Every value of every column is read. */
function assertReadable(outputs: readonly { readonly path: string; readonly rowCount: number }[]): void {
  if (outputs.length === 0) return;
  withConnection((connection) => {
    for (const { path, rowCount } of outputs) {
      const [[read] = []] = connection.rows(
        `SELECT count(hash(shard)) FROM read_parquet(${quotePath(path)}, hive_partitioning=false) AS shard`,
      );
      assert.equal(Number(read), rowCount, path);
    }
  });
}

/** All files under a folder, relative, with forward slashes, sorted. */
export function listFiles(folder: string): string[] {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

/** Values of one column, in row order. */
export function columnOf(rows: readonly Row[], name: string): (Value | undefined)[] {
  return rows.map((row) => row[name]);
}

/** 0, 1, 2, ... */
export function countTo(rowCount: number): number[] {
  return Array.from({ length: rowCount }, (_, row) => row);
}
