/** What scikit-learn, NumPy, pandas and Spark fit to the rows of two shards (`make_fit.py`), `fit` finds too. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fit } from '../fit/fit.ts';
import { tempDir } from '../testing/shards.ts';

interface Scale {
  readonly mean: number;
  readonly std: number;
}

/** By the names of those who found them. */
interface Expected {
  readonly 'sklearn.StandardScaler': Readonly<Record<string, Scale>>;
  readonly 'sklearn.log1p': Scale;
  readonly 'sklearn.SimpleImputer(mean)': Scale;
  readonly 'sklearn.SimpleImputer(median)': Scale;
  readonly 'sklearn.mean': number;
  readonly 'sklearn.median': number;
  readonly 'sklearn.MinMaxScaler': Readonly<Record<string, readonly [number, number]>>;
  readonly 'sklearn.OneHotEncoder': readonly string[];
  readonly 'pandas.std': Readonly<Record<string, number>>;
  readonly 'numpy.quantile': Readonly<Record<string, readonly number[]>>;
  readonly 'spark.StandardScaler': Readonly<Record<string, Scale>>;
  readonly 'spark.MinMaxScaler': Readonly<Record<string, readonly [number, number]>>;
  readonly 'spark.StringIndexer(frequencyDesc)': readonly string[];
  readonly 'spark.StringIndexer(alphabetAsc)': readonly string[];
}

// Compiled tests run from dist/src/golden; the files lie beside the sources.
const folder = fileURLToPath(new URL('../../../src/golden/fit/', import.meta.url));
const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;

/** What is found for each of these features, their parameters one after another. */
async function found(model: string, features: readonly object[]): Promise<unknown[]> {
  writeFileSync(join(model, 'tandem.json'), JSON.stringify({ model: 'm.onnx', inputs: { x: features } }));
  const report = await fit({ shards: folder, model, threads: 2 });
  return report.parameters.map(({ value }) => value);
}

function near(actual: unknown, wanted: Scale, label: string): void {
  const { mean, std } = actual as Scale;
  assert.ok(Math.abs(mean - wanted.mean) <= 1e-12 * Math.max(Math.abs(wanted.mean), wanted.std), `${label}: ${mean}`);
  assert.ok(Math.abs(std / wanted.std - 1) <= 1e-12, `${label}: ${std} instead of ${wanted.std}`);
}

test('StandardScaler: scikit-learn has n, Spark and pandas n - 1; a constant has 1', async (t) => {
  const model = tempDir(t);
  const population = Object.entries(expected['sklearn.StandardScaler']);
  const byPopulation = await found(
    model,
    population.map(([column]) => ({ column, standardize: { fit: 'population' } })),
  );
  population.forEach(([column, scale], i) => near(byPopulation[i], scale, column));
  const sample = Object.entries(expected['spark.StandardScaler']);
  const bySample = await found(
    model,
    sample.map(([column]) => ({ column, standardize: 'fit' })),
  );
  sample.forEach(([column, scale], i) => near(bySample[i], scale, column));
  const pandas = Object.entries(expected['pandas.std']);
  const byPandas = await found(
    model,
    pandas.map(([column]) => ({ column, standardize: 'fit' })),
  );
  pandas.forEach(([column, std], i) => near(byPandas[i], { mean: (byPandas[i] as Scale).mean, std }, column));
});

test('imputers and log1p before a scaler', async (t) => {
  const standardize = { fit: 'population' };
  const values = await found(tempDir(t), [
    { column: 'amount', log1p: true, standardize },
    { column: 'gap', missing: 'mean', standardize },
    { column: 'gap', missing: 'median', standardize },
    { column: 'gap', missing: 'mean', clip: [0, 1] },
  ]);
  near(values[0], expected['sklearn.log1p'], 'log1p');
  near(values[1], expected['sklearn.SimpleImputer(mean)'], 'mean');
  assert.equal(values[2], expected['sklearn.median']);
  near(values[3], expected['sklearn.SimpleImputer(median)'], 'median');
  assert.ok(Math.abs((values[4] as number) / expected['sklearn.mean'] - 1) <= 1e-12);
});

test('ranges and quantiles, to the bit', async (t) => {
  const model = tempDir(t);
  for (const ranges of [expected['sklearn.MinMaxScaler'], expected['spark.MinMaxScaler']]) {
    const features = Object.keys(ranges).map((column) => ({ column, minMax: 'fit' }));
    assert.deepEqual(await found(model, features), Object.values(ranges));
  }
  const features = Object.keys(expected['numpy.quantile']).map((column) => ({ column, bucketize: { quantiles: 10 } }));
  // Equal boundaries are one.
  const deciles = Object.values(expected['numpy.quantile']).map((all) => [...new Set(all)]);
  assert.deepEqual(await found(model, features), deciles);
});

test('categories in the orders of StringIndexer and OneHotEncoder', async (t) => {
  const values = await found(tempDir(t), [
    { column: 'city', index: 'fit' },
    { column: 'city', index: { fit: { order: 'alphabet' } } },
    { column: 'city', oneHot: { fit: { order: 'alphabet' } } },
  ]);
  assert.deepEqual(values, [
    expected['spark.StringIndexer(frequencyDesc)'],
    expected['spark.StringIndexer(alphabetAsc)'],
    expected['sklearn.OneHotEncoder'],
  ]);
});
