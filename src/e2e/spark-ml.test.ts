/** Pipelines that Spark fitted and saved (src/golden/make_spark_ml.py), scored by Tandem: the scores are Spark's. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { quotePath } from '../engines/duckdb/database.ts';
import { goldenPath } from '../golden/folders.ts';
import { init } from '../init/init.ts';
import type { ConvertedPipeline, ConvertOptions } from '../init/spark-ml/convert.ts';
import { readRows } from '../testing/shards.ts';
import { assertSameScores, convertInto, savedPath } from './spark-pipelines.ts';
import { Workplace, type Row } from './workplace.ts';

/** By version of Spark: the rows that it scored, with nulls, NaN and unseen categories, or without. */
const cases: Readonly<Record<string, Readonly<Record<string, 'rows' | 'clean' | 'odd'>>>> = {
  '4.3': {
    'logistic-binary': 'rows',
    'logistic-multinomial': 'clean',
    linear: 'rows',
    vectors: 'rows',
    search: 'clean',
    'gbt-classifier': 'rows',
    'gbt-regressor': 'rows',
    'forest-classifier': 'rows',
    'forest-regressor': 'clean',
    'tree-classifier': 'rows',
    'tree-regressor': 'clean',
    scalers: 'rows',
    'glm-binomial': 'rows',
    'glm-gamma': 'clean',
    'bayes-gaussian': 'rows',
    'bayes-multinomial': 'rows',
    'bayes-complement': 'rows',
    'bayes-bernoulli': 'rows',
    perceptron: 'rows',
    'machine-classifier': 'rows',
    'machine-regressor': 'rows',
    'one-vs-rest': 'rows',
    survival: 'rows',
    clusters: 'rows',
    'clusters-cosine': 'rows',
    'odd-values': 'odd',
    'odd-rows': 'odd',
  },
  '3.5': {
    'logistic-binary': 'rows',
    linear: 'rows',
    'gbt-classifier': 'rows',
    'forest-classifier': 'rows',
  },
};

async function scoresAlike(
  test: TestContext,
  version: string,
  name: string,
  options: ConvertOptions,
): Promise<ConvertedPipeline> {
  const place = new Workplace(test);
  const converted = convertInto(place, savedPath(version, name, 'model'), { ...options, rawPrediction: true });
  const shards = goldenPath(`spark-ml-${version}`, `${cases[version]![name]}.parquet`);
  await place.score({ shards, keep: ['row'], batchSize: 50 });
  assertSameScores(place.rows(basename(shards)), readRows(savedPath(version, name, 'scores.parquet')));
  return converted;
}

for (const [version, names] of Object.entries(cases)) {
  for (const name of Object.keys(names)) {
    test(`Spark ${version} and Tandem score alike: ${name}`, async (t) => {
      await scoresAlike(t, version, name, {});
    });
  }
}

test('where the types of the columns are known the contract is plainer', async (t) => {
  const columnTypes = new Map(
    Object.entries({
      ...{ city: 'VARCHAR', plan: 'VARCHAR', amount: 'DOUBLE', gap: 'FLOAT', age: 'INTEGER', clicks: 'BIGINT' },
      ...{ rank: 'INTEGER', flat: 'DOUBLE' },
    }),
  );
  const { contract, notes } = await scoresAlike(t, '4.3', 'logistic-binary', { columnTypes });
  assert.deepEqual(
    contract.inputs['features']!.map(({ column, sql, missing }) => [
      column ?? sql,
      typeof missing === 'number' ? Number(missing.toFixed(5)) : missing,
    ]),
    [
      ['city', '(null)'],
      [`CASE WHEN NOT isnan(CAST("amount" AS DOUBLE)) THEN "amount" END`, -0.33274],
      [`CASE WHEN NOT isnan(CAST("gap" AS DOUBLE)) THEN "gap" END`, 5.01326],
      ['age', 47],
      ['clicks', undefined],
      ['plan', '(null)'],
      ['rank', undefined],
    ],
  );
  assert.deepEqual(notes, []);
  await scoresAlike(t, '4.3', 'linear', { columnTypes });
});

test('init makes the model folder, with and without shards', async (t) => {
  const place = new Workplace(t);
  const source = { kind: 'spark-ml', path: savedPath('4.3', 'gbt-classifier', 'model') } as const;
  const shards = goldenPath('spark-ml-4.3', 'rows.parquet');
  const report = await init({ source, output: place.model });
  assert.deepEqual([report.files, report.problems, report.decisions], [['model.onnx', 'tandem.json'], [], []]);
  await assert.rejects(init({ source, output: place.model }), { code: 'BAD_OUTPUT' });
  const again = await init({ source, shards, output: place.model, overwrite: true, rawPrediction: true });
  assert.deepEqual(again.problems, []);
  assert.deepEqual(Object.keys(again.outputs), ['prediction', 'probability', 'rawPrediction']);
  await place.score({ shards, keep: ['row'] });
  assertSameScores(place.rows('rows.parquet'), readRows(savedPath('4.3', 'gbt-classifier', 'scores.parquet')));
  await assert.rejects(init({ source: { ...source, path: place.data }, output: place.output }), { code: 'BAD_MODEL' });
});

test('a model saved alone reads lists, and its trees send what no set of categories holds where Spark sends it', async (t) => {
  const place = new Workplace(t);
  const stages = savedPath('4.3', 'gbt-classifier', 'model', 'stages');
  const name = readdirSync(stages).find((each) => each.includes('GBTClassifier'));
  convertInto(place, join(stages, name!));
  const path = savedPath('4.3', 'gbt-classifier', 'beyond.parquet');
  place.shard('a.parquet', `SELECT row, features FROM read_parquet(${quotePath(path)})`);
  await place.score({ keep: ['row'] });
  const expected = readRows(path).map(({ row, prediction, probability }) => ({ row, prediction, probability }) as Row);
  assertSameScores(place.rows('a.parquet'), expected);
});
