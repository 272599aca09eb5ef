/** Pipelines that Spark fitted and saved (src/golden/make_spark_ml.py), scored by Tandem: the scores are Spark's. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath } from '../engines/duckdb/database.ts';
import { goldenPath } from '../golden/folders.ts';
import { readRows } from '../testing/shards.ts';
import { assertSameScores, convertInto, savedPath } from './spark-pipelines.ts';
import { Workplace, type Row } from './workplace.ts';

/** By version of Spark: the rows that it scored, with nulls, NaN and unseen categories, or without. */
const cases: Readonly<Record<string, Readonly<Record<string, 'rows' | 'clean'>>>> = {
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
  },
  '3.5': {
    'logistic-binary': 'rows',
    linear: 'rows',
    'gbt-classifier': 'rows',
    'forest-classifier': 'rows',
  },
};

for (const [version, names] of Object.entries(cases)) {
  for (const [name, rows] of Object.entries(names)) {
    test(`Spark ${version} and Tandem score alike: ${name}`, async (t) => {
      const place = new Workplace(t);
      const { contract } = convertInto(place, savedPath(version, name, 'model'), { rawPrediction: true });
      const source = `read_parquet(${quotePath(goldenPath(`spark-ml-${version}`, `${rows}.parquet`))})`;
      const { where = 'true', ...rest } = contract as typeof contract & { where?: string };
      place.writeContract(rest);
      place.shard('a.parquet', `SELECT * FROM ${source} WHERE ${where}`);
      await place.score({ keep: ['row'], batchSize: 50 });
      assertSameScores(place.rows('a.parquet'), readRows(savedPath(version, name, 'scores.parquet')));
    });
  }
}

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
