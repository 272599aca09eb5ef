/** What real pipelines seldom hold: stages that are not converted, folders that are no models, rows that Spark refuses. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { convertInto, savedPath, saveStage } from '../../e2e/spark-pipelines.ts';
import { assertFailure, caught, Workplace, type Failure } from '../../e2e/workplace.ts';
import { quotePath } from '../../engines/duckdb/database.ts';
import { goldenPath } from '../../golden/folders.ts';
import { score } from '../../pipeline.ts';
import { tempDir, writeShard } from '../../testing/shards.ts';
import { convertSparkMl } from './convert.ts';
import { matrix, vector } from './saved.ts';

interface Stage {
  readonly kind: string;
  readonly params: Readonly<Record<string, unknown>>;
  /** SELECT of what the stage has learned. */
  readonly data?: string;
}

/** A pipeline as Spark saves one. */
function savePipeline(folder: string, stages: readonly Stage[]): string {
  const uids = stages.map(({ kind }, at) => `${kind.split('.').at(-1)}_${at}a`);
  stages.forEach(({ kind, params, data }, at) => {
    const path = saveStage(join(folder, 'stages', `${at}_${uids[at]}`), kind, uids[at]!, params);
    if (data !== undefined) writeShard(join(path, 'data', 'part-00000.parquet'), data);
  });
  return saveStage(folder, 'PipelineModel', 'PipelineModel_1', { stageUids: uids });
}

async function refused(folder: string, expected: Omit<Failure, 'code' | 'place'>): Promise<void> {
  const failure = await caught(Promise.resolve().then(() => convertSparkMl(folder)));
  assertFailure(failure, { code: 'BAD_MODEL', place: {}, ...expected });
}

const assembler: Stage = {
  kind: 'feature.VectorAssembler',
  params: { inputCols: ['a', 'b'], outputCol: 'features', handleInvalid: 'error' },
};
const learned = '{type: 1::TINYINT, size: NULL::INTEGER, indices: NULL::INTEGER[], values: [1.0::DOUBLE, 2.0::DOUBLE]}';
const regression: Stage = {
  kind: 'regression.LinearRegressionModel',
  params: { featuresCol: 'features', predictionCol: 'prediction' },
  data: `SELECT 0.5::DOUBLE AS intercept, ${learned} AS coefficients`,
};

test('all stages that cannot be converted are named, each with what to do', async (t) => {
  const tokens: Stage = { kind: 'feature.Tokenizer', params: { inputCol: 'text', outputCol: 'words' } };
  const hashes: Stage = { kind: 'feature.HashingTF', params: { inputCol: 'words', outputCol: 'b' } };
  const sql: Stage = { kind: 'feature.SQLTransformer', params: { statement: 'SELECT *, a + 1 AS c FROM __THIS__' } };
  const named = 'SQLTransformer \\(SQLTransformer_0a\\), Tokenizer \\(Tokenizer_1a\\), HashingTF \\(HashingTF_2a\\)';
  await refused(savePipeline(tempDir(t), [sql, tokens, hashes, assembler, regression]), {
    message: new RegExp(`^Expected all stages to be ones that Tandem converts, got ${named}\\.$`),
    remedy: /^Take the stage out .* "sql".* Texts become vectors/,
  });
});

test('a stage that no score needs is left out, and named', (t) => {
  const label: Stage = {
    kind: 'feature.StringIndexerModel',
    params: { inputCol: 'answer', outputCol: 'label', handleInvalid: 'skip' },
    data: "SELECT [['yes', 'no']] AS labelsArray",
  };
  const tokens: Stage = { kind: 'feature.Tokenizer', params: { inputCol: 'text', outputCol: 'words' } };
  const { contract, notes } = convertSparkMl(savePipeline(tempDir(t), [label, tokens, assembler, regression]));
  assert.deepEqual(contract.inputs, { features: [{ column: 'a' }, { column: 'b' }] });
  assert.equal(contract.where, undefined);
  assert.deepEqual(notes.slice(1), [
    'StringIndexerModel_0a is left out, since no score needs it, also the rows that it would drop.',
    'Tokenizer_1a is left out, since no score needs it.',
  ]);
});

test('skip drops rows by columns that no score needs, but not by one that the shards lack', (t) => {
  const both: Stage = {
    kind: 'feature.StringIndexerModel',
    params: { inputCols: ['a', 'answer'], outputCols: ['ai', 'label'], handleInvalid: 'skip' },
    data: "SELECT [['x'], ['yes', 'no']] AS labelsArray",
  };
  const read = { ...assembler, params: { ...assembler.params, inputCols: ['AI', 'b'] } };
  const folder = savePipeline(tempDir(t), [both, read, regression]);
  const whereOf = (...names: readonly string[]): string | undefined =>
    convertSparkMl(folder, { columnTypes: new Map(names.map((name) => [name, 'VARCHAR'])) }).contract.where;
  const ofA = `CAST("a" AS VARCHAR) IN ('x')`;
  assert.equal(whereOf('a', 'b'), ofA);
  assert.equal(whereOf('a', 'b', 'Answer'), `${ofA} AND CAST("answer" AS VARCHAR) IN ('yes', 'no')`);
  assert.equal(whereOf(), whereOf('a', 'b', 'answer'));
});

test('numbers are looked up by the texts that Java makes of them', (t) => {
  const numbers: Stage = {
    kind: 'feature.StringIndexerModel',
    params: { inputCol: 'a', outputCol: 'i', handleInvalid: 'keep' },
    data: "SELECT [['1.0E7', '0.5']] AS labelsArray",
  };
  const one = { ...assembler, params: { ...assembler.params, inputCols: ['i', 'b'] } };
  const folder = savePipeline(tempDir(t), [numbers, one, regression]);
  const read = (type: string): unknown => {
    const { contract } = convertSparkMl(folder, { columnTypes: new Map([['a', type]]) });
    return contract.inputs['features']![0]!.sql;
  };
  assert.equal(
    read('FLOAT'),
    `CASE TRY_CAST("a" AS FLOAT) WHEN '1.0E7'::FLOAT THEN '1.0E7' ELSE CAST("a" AS VARCHAR) END`,
  );
  assert.equal(read('VARCHAR'), undefined);
});

test('a pipeline without a predictor gives its vector', async (t) => {
  const place = new Workplace(t);
  const normalizer: Stage = { kind: 'feature.Normalizer', params: { inputCol: 'features', outputCol: 'unit', p: 1 } };
  convertInto(place, savePipeline(join(place.folder, 'saved'), [assembler, normalizer]));
  place.shard('a.parquet', 'SELECT * FROM (VALUES (3.0::DOUBLE, -1), (0.0, 0), (NULL, 1)) AS t(a, b) LIMIT 2');
  await place.score({ keep: [] });
  assert.deepEqual(place.rows('a.parquet'), [{ unit: '[0.75, -0.25]' }, { unit: '[0.0, 0.0]' }]);
});

test('a vector of the shard whose size a stage says is a list; its categories are told apart by their numbers', (t) => {
  const hint: Stage = { kind: 'feature.VectorSizeHint', params: { inputCol: 'v', size: 2, handleInvalid: 'skip' } };
  const indexed: Stage = {
    kind: 'feature.VectorIndexerModel',
    params: { inputCol: 'features', outputCol: 'indexed', handleInvalid: 'skip' },
    data: 'SELECT 4 AS numFeatures, MAP {1: MAP {7.5::DOUBLE: 1, 0.0::DOUBLE: 0}} AS categoryMaps',
  };
  const old: Stage = {
    kind: 'feature.StringIndexerModel',
    params: { inputCol: 'c', outputCol: 'i', handleInvalid: 'keep' },
    data: "SELECT ['x', '(null)'] AS labels",
  };
  const four: Stage = {
    kind: 'feature.VectorAssembler',
    params: { inputCols: ['v', 'a', 'i'], outputCol: 'features', handleInvalid: 'error' },
  };
  const moved = { ...indexed, data: indexed.data!.replace('{1:', '{2:') };
  const { contract, width } = convertSparkMl(savePipeline(tempDir(t), [hint, old, four, moved]));
  assert.equal(width, 4);
  assert.deepEqual(contract.inputs['features'], [
    { column: 'v', list: 2 },
    { column: 'a', index: [0, 7.5] },
    { column: 'c', index: ['x', '(null)'], missing: '((null))', unknown: 'own' },
  ]);
  assert.equal(contract.where, `len("v") = 2 AND "a" IN (0, '7.5'::DOUBLE)`);
  assert.throws(() => convertSparkMl(savePipeline(tempDir(t), [hint, old, four, indexed])), { code: 'BAD_MODEL' });
});

test('a tree that is a single leaf gives its prediction', async (t) => {
  const place = new Workplace(t);
  const split = '{featureIndex: -1, leftCategoriesOrThreshold: []::DOUBLE[], numCategories: -1}';
  const tree: Stage = {
    kind: 'regression.DecisionTreeRegressionModel',
    params: { featuresCol: 'features', predictionCol: 'prediction' },
    data: `SELECT 0 AS id, 4.25 AS prediction, [1.0] AS impurityStats, -1 AS leftChild, -1 AS rightChild, ${split} AS split`,
  };
  const folder = savePipeline(join(place.folder, 'saved'), [assembler, tree]);
  const metadata = join(folder, 'stages', '1_DecisionTreeRegressionModel_1a', 'metadata', 'part-00000');
  writeFileSync(metadata, readFileSync(metadata, 'utf8').replace('{', '{"numFeatures":2,'));
  convertInto(place, folder);
  place.shard('a.parquet', "SELECT range::DOUBLE AS a, 'NaN'::DOUBLE AS b FROM range(3)");
  await place.score({ keep: [] });
  assert.deepEqual(place.rows('a.parquet'), [{ prediction: 4.25 }, { prediction: 4.25 }, { prediction: 4.25 }]);
});

test('what is no fitted model is an error', async (t) => {
  const folder = tempDir(t);
  await refused(join(folder, 'none'), {
    message: /none to be a saved Spark ML model, got no metadata\/part-00000 in it\.$/,
  });
  savePipeline(join(folder, 'outer', 'v1'), [assembler, regression]);
  await refused(join(folder, 'outer'), { message: /in it are saved models: [^,]*outer\/v1\.$/ });
  const pipeline = saveStage(join(folder, 'unfitted'), 'Pipeline', 'Pipeline_1', { stageUids: [] });
  await refused(pipeline, { message: /to be a fitted PipelineModel, got a Pipeline\.$/, remedy: /fit/ });
  await refused(savePipeline(join(folder, 'empty'), []), {
    message: /^Expected the pipeline to have stages, got none\.$/,
  });
  const torn = savePipeline(join(folder, 'torn'), [assembler, regression]);
  rmSync(join(torn, 'stages', '0_VectorAssembler_0a'), { recursive: true });
  await refused(torn, { message: /to hold a folder of stage VectorAssembler_0a, got 1_LinearRegressionModel_1a\.$/ });
  const damaged = savePipeline(join(folder, 'damaged'), [assembler, regression]);
  writeFileSync(join(damaged, 'stages', '1_LinearRegressionModel_1a', 'data', 'part-00000.parquet'), 'no Parquet');
  await refused(damaged, { message: /data to be Parquet files, got / });
  const other = savePipeline(join(folder, 'other'), [assembler, { ...regression, data: 'SELECT 1 AS intercept' }]);
  await refused(other, {
    message: /^Expected data\.coefficients of stage LinearRegressionModel_1a to be as Spark saves it: /,
  });
});

test('a vector of another size than the model is an error', async (t) => {
  const wide = { ...assembler, params: { ...assembler.params, inputCols: ['a', 'b', 'c'] } };
  await refused(savePipeline(tempDir(t), [wide, regression]), {
    message: /^Expected features, an input of stage LinearRegressionModel_1a, to be 2 values, got 3\.$/,
  });
});

const stops: readonly [what: string, name: string, change: string, column: RegExp][] = [
  ['a category that is not listed', 'logistic-multinomial', "'Lugano' AS city", /^city$/],
  ['a null category', 'logistic-multinomial', 'NULL::VARCHAR AS city', /^city$/],
  ['a null number', 'tree-regressor', 'NULL::DOUBLE AS amount', /^amount$/],
  ['a number in no bucket', 'gbt-regressor', '1e5::DOUBLE AS amount', /A value is in no bucket \(Bucketizer_/],
];

for (const [what, name, change, column] of stops) {
  test(`Tandem stops where Spark does: ${what}`, async (t) => {
    const place = new Workplace(t);
    convertInto(place, savedPath('4.3', name, 'model'));
    const clean = `read_parquet(${quotePath(goldenPath('spark-ml-4.3', 'clean.parquet'))})`;
    const changed = change.split(' AS ')[1]!;
    place.shard('a.parquet', `SELECT * FROM ${clean} LIMIT 30`);
    await place.score({ output: join(place.folder, 'good') });
    place.shard(
      'a.parquet',
      `SELECT * REPLACE (CASE WHEN row = 9 THEN ${change.split(' AS ')[0]} ELSE ${changed} END AS ${changed}) FROM ${clean} LIMIT 30`,
    );
    const failure = await caught(score(place.options()));
    assert.equal(failure.code, 'BAD_ROW', failure.message);
    assert.deepEqual({ ...failure.place, column: '' }, { shard: 'a.parquet', rowGroup: 0, row: 9, column: '' });
    assert.match(failure.place.column!, column);
  });
}

test('sparse vectors and matrices are read as dense ones', () => {
  const sparse = { type: 0, size: 5, indices: [1, 4], values: [2.5, -1] };
  assert.deepEqual(vector.parse(sparse), [0, 2.5, 0, 0, -1]);
  const dense = { type: 1, numRows: 2, numCols: 3, colPtrs: null, rowIndices: null, isTransposed: false };
  const rows = [
    [1, 0, 5],
    [2, 3, 0],
  ];
  assert.deepEqual(matrix.parse({ ...dense, values: [1, 2, 0, 3, 5, 0] }), rows);
  assert.deepEqual(matrix.parse({ ...dense, values: [1, 0, 5, 2, 3, 0], isTransposed: true }), rows);
  const columns = { colPtrs: [0, 2, 3, 4], rowIndices: [0, 1, 1, 0], values: [1, 2, 3, 5] };
  assert.deepEqual(matrix.parse({ ...dense, ...columns, type: 0 }), rows);
  const byRow = { colPtrs: [0, 2, 4], rowIndices: [0, 2, 0, 1], values: [1, 5, 2, 3] };
  assert.deepEqual(matrix.parse({ ...dense, ...byRow, type: 0, isTransposed: true }), rows);
});

test('skip is a condition on the rows', () => {
  const { contract } = convertSparkMl(savedPath('4.3', 'tree-classifier', 'model'));
  assert.match(
    contract.where!,
    /^CAST\("city" AS VARCHAR\) IN \(.*'Val-d''Illiez', .*\) AND NOT isnan\(CAST\("amount" AS DOUBLE\)\) AND /,
  );
});
