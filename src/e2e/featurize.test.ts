/** Features as files: what they hold against what a model is given, which columns and rows, going on, folders of another run. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ElementType } from '../contract/contract.ts';
import { quoteText } from '../engines/duckdb/database.ts';
import type { FeaturizeOptions } from '../feature-options.ts';
import type { Progress, ScoreResult } from '../options.ts';
import { featurize, planFeaturize } from '../pipeline.ts';
import { renderReport } from '../report/report.ts';
import type { RunRecord } from '../run-record.ts';
import type { ModelSpec } from '../testing/onnx.ts';
import { withConnection } from '../testing/shards.ts';
import { assertFailure, assertOnlyWholeShards, caught, Workplace, type Row } from './workplace.ts';

/** Gives each of its inputs back under another name, so that scores are what the model was given. */
function echoModel(tensors: Readonly<Record<string, readonly [elementType: ElementType, width: number]>>): ModelSpec {
  const specs = (prefix: string): ModelSpec['inputs'] =>
    Object.entries(tensors).map(([name, [elementType, width]]) => ({
      name: prefix + name,
      elementType,
      shape: ['N', width],
    }));
  const nodes = Object.keys(tensors).map((name) => ({ op: 'Identity', inputs: [name], outputs: [`y_${name}`] }));
  return { inputs: specs(''), outputs: specs('y_'), nodes };
}

const tensors = {
  x: ['float32', 3],
  half: ['float16', 2],
  wide: ['float64', 1],
  id: ['int64', 1],
  hot: ['float32', 3],
  word: ['string', 1],
} as const;

const contract = {
  inputs: {
    x: [
      { column: 'a', missing: 'nan', standardize: { mean: 0.1, std: 3 }, clip: [-2, 2] },
      { column: 'b', missing: 'nan' },
      { sql: 'k * 2' },
    ],
    half: [{ column: 'b', missing: -1 }, { column: 'k' }],
    wide: [{ column: 'b', missing: 'nan', log1p: true }],
    id: [{ column: 'id' }],
    hot: [{ column: 'word', oneHot: ['w0', 'w1', 'w2'], unknown: 'zeros', missing: 'w0' }],
    word: [{ column: 'word', text: true, missing: '' }],
  },
};

/** Two shards that differ in the order of their columns and in types. */
function fill(place: Workplace): void {
  const columns = (first: number, float: string, integer: string): string[] => [
    `(i + ${first})::BIGINT AS id`,
    `(CASE WHEN i % 7 <> 0 THEN (i * 7919 % 1000 - 500) / 37 END)::${float} AS a`,
    `(CASE WHEN i % 5 = 0 THEN NULL WHEN i % 11 = 0 THEN 'nan'::DOUBLE ELSE i / 3 END)::${float} AS b`,
    `(i % 9)::${integer} AS k`,
    `CASE WHEN i % 6 <> 0 THEN 'w' || i % 4 END AS word`,
  ];
  place.shard('p.parquet', `SELECT ${columns(0, 'DOUBLE', 'INTEGER').join()} FROM range(5000) rows(i)`);
  place.shard('q/r.parquet', `SELECT ${columns(5000, 'FLOAT', 'BIGINT').reverse().join()} FROM range(3001) rows(i)`);
}

function asked(place: Workplace, changes: Partial<FeaturizeOptions> = {}): FeaturizeOptions {
  return { shards: place.data, model: place.model, output: join(place.folder, 'features'), threads: 2, ...changes };
}

async function run(place: Workplace, changes: Partial<FeaturizeOptions> = {}): Promise<ScoreResult> {
  const result = await featurize(asked(place, changes));
  assertOnlyWholeShards(asked(place, changes).output);
  return result;
}

/** All rows under a folder by their id, with values as DuckDB writes them, which tells NaN and -0 from others. */
function texts(folder: string, columns: readonly string[]): string[] {
  const sql = columns
    .map((name) => `CASE WHEN ${name} IS NULL THEN 'NULL' ELSE ${name}::VARCHAR END`)
    .join(` || '|' || `);
  return withConnection((connection) =>
    connection
      .rows(`SELECT ${sql} FROM read_parquet(${quoteText(`${folder}/**/*.parquet`)}) ORDER BY id`)
      .map(([text]) => String(text)),
  );
}

function typesOf(path: string): Row {
  return withConnection((connection) =>
    Object.fromEntries(
      connection
        .rows(`SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(${quoteText(path)}))`)
        .map(([name, type]) => [String(name), type!]),
    ),
  );
}

const names = Object.keys(tensors);

test('what is written is what the model would get, bit for bit, in each type', async (t) => {
  const place = new Workplace(t);
  fill(place);
  place.writeModel(echoModel(tensors), contract);
  await place.score({ keep: ['id'], threads: 2 });
  const phases = new Set<Progress['phase']>();
  const trace = join(place.folder, 'trace.json');
  const records: RunRecord[] = [];
  const result = await run(place, {
    trace,
    onProgress: ({ phase }) => phases.add(phase),
    onRecord: (record) => records.push(record),
  });
  assert.match([...phases].join(), /^planning,(featurizing,)?done$/);
  assert.ok((JSON.parse(readFileSync(trace, 'utf8')) as unknown[]).length > 0);
  assert.match(renderReport(records), /8,001 rows of 2 shards/);
  assert.deepEqual([result.rowsIn, result.rowsOut, result.shards], [8001, 8001, 2]);
  const given = texts(place.output, ['id', ...names.map((name) => `y_${name}`)]);
  assert.equal(given.length, 8001);
  assert.deepEqual(texts(join(place.folder, 'features'), ['id', ...names]), given);
  assert.ok(given.some((text) => text.includes('nan')) && given.some((text) => text.includes('-0.0')));
  assert.deepEqual(typesOf(join(place.folder, 'features/q/r.parquet')), {
    x: 'FLOAT[]',
    half: 'FLOAT[]',
    wide: 'DOUBLE',
    id: 'BIGINT',
    hot: 'FLOAT[]',
    word: 'VARCHAR',
  });
});

test('without a model file inputs are float32 or text, constants are left out, and rows and columns are chosen', async (t) => {
  const place = new Workplace(t);
  fill(place);
  place.writeModel(echoModel(tensors));
  const { x, word } = contract.inputs;
  place.writeContract({ inputs: { x, n: [{ column: 'id' }], word, rate: { constant: [16000, 1], shape: [2] } } });
  rmSync(join(place.model, 'model.onnx'));
  const folder = join(place.folder, 'features');
  const result = await run(place, { keep: ['id', 'a'], where: 'id >= 4990', limit: 20, compression: 'zstd' });
  assert.equal(result.rowsOut, 20);
  assert.deepEqual(typesOf(join(folder, 'p.parquet')), {
    id: 'BIGINT',
    a: 'DOUBLE',
    x: 'FLOAT[]',
    n: 'FLOAT',
    word: 'VARCHAR',
  });
  const rows = withConnection((connection) =>
    connection.rows(
      `SELECT id, a, x[1], x[3], n FROM read_parquet(${quoteText(`${folder}/**/*.parquet`)}) ORDER BY id`,
    ),
  );
  assert.deepEqual(
    rows.map(([id]) => Number(id)),
    Array.from({ length: 20 }, (_, index) => 4990 + index),
  );
  for (const [id, a, first, third, n] of rows) {
    const expected = a === null ? NaN : Math.max(-2, Math.min(2, (Number(a) - 0.1) / 3));
    const k = (Number(id) % 5000) % 9;
    assert.deepEqual([first, third, n], [Math.fround(expected), k * 2, Number(id)]);
  }
});

test('a run goes on where it stopped, and refuses what another one has written', async (t) => {
  const place = new Workplace(t);
  fill(place);
  place.writeModel(echoModel(tensors), contract);
  await run(place);
  rmSync(join(place.folder, 'features/p.parquet'));
  const again = await run(place);
  assert.deepEqual([again.shards, again.shardsSkipped, again.rowsOut], [1, 1, 5000]);
  const refused = async (changes: Partial<FeaturizeOptions>, message: RegExp): Promise<void> =>
    assertFailure(await caught(featurize(asked(place, changes))), { code: 'BAD_OUTPUT', place: {}, message });
  await refused({ keep: ['a'] }, /got the output of other kept columns/);
  place.writeContract({ ...contract, inputs: { ...contract.inputs, wide: [{ column: 'k' }] } });
  await refused({}, /got the output of another contract/);
  // What becomes of the model's outputs is none of the features' business.
  place.writeContract({ ...contract, outputs: { y_x: 'score' } });
  assert.equal((await run(place)).shardsSkipped, 2);
  const scores = await caught(place.score({ output: join(place.folder, 'features'), keep: [] }));
  assertFailure(scores, { code: 'BAD_OUTPUT', place: {}, message: /got the output of features/ });
  await place.score({ keep: [] });
  await refused({ output: place.output }, /got the output of scores/);
});

test('what cannot be written is found before anything is', async (t) => {
  const place = new Workplace(t);
  fill(place);
  place.writeModel(echoModel({ a: ['float32', 1] }));
  // An input without a contract is fed by the column of its name.
  const { columns, outputs } = (await planFeaturize(asked(place))).model;
  assert.deepEqual([columns.map(({ name }) => name), outputs[0]?.input], [['a'], 0]);
  assertFailure(await caught(planFeaturize(asked(place, { keep: 'all' }))), {
    code: 'BAD_CONTRACT',
    place: { shard: 'p.parquet', column: 'a' },
    message: /^Expected feature columns to have names of their own, got a/,
    remedy: /leave a out with --keep/,
  });
  rmSync(join(place.model, 'model.onnx'));
  assert.equal((await caught(featurize(asked(place)))).code, 'BAD_MODEL');
  place.writeContract({ inputs: { a: [{ column: 'a' }] } });
  const error = await caught(featurize(asked(place, { threads: 1 })));
  assert.equal(error.code, 'BAD_ROW');
  assert.deepEqual(error.place, { shard: 'p.parquet', rowGroup: 0, row: 0, column: 'a' });
});
