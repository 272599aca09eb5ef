/** Model folders made by scikit-learn, LightGBM, XGBoost, CatBoost, NumPy and Spark: the scores in golden.parquet are theirs. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertFailure, columnOf, Workplace } from '../e2e/workplace.ts';
import { TandemError } from '../errors.ts';
import { check, score } from '../index.ts';
import { readRows } from '../testing/shards.ts';
import { goldenPath, modelFolders, readJson } from './folders.ts';

interface ContractForm {
  readonly inputs: Record<string, Record<string, unknown>[]>;
  readonly outputs: Record<string, unknown>;
}

const folders = modelFolders();

/** Where arithmetic differs by design, how much; all others are as near as float32 sums are, or equal. */
const tolerances: Readonly<Record<string, number>> = {
  'numpy-exact-float32': 0,
  'numpy-exact-float64': 0,
  'numpy-near-float32': 1.2e-7,
  'numpy-near-float64': 4e-16,
  'spark-exact': 0,
  'spark-near': 4e-16,
};

test('every folder is here', () => {
  assert.deepEqual(folders, [
    'init-lightgbm-categories',
    'init-lightgbm-forest',
    'init-lightgbm-nulls',
    'init-sklearn-folded',
    'init-sklearn-forest',
    'init-sklearn-imputed',
    'init-sklearn-lightgbm',
    'init-sklearn-names',
    'init-sklearn-ordinal',
    'init-sklearn-people',
    'init-sklearn-selected',
    'init-sklearn-union',
    'init-sklearn-xgboost',
    'init-xgboost-categories',
    'lightgbm',
    'numpy-exact-float32',
    'numpy-exact-float64',
    'numpy-near-float32',
    'numpy-near-float64',
    'sklearn-last-step',
    'sklearn-pipeline',
    'sklearn-text-labels',
    'sklearn-zipmap',
    'spark-exact',
    'spark-near',
    'trees-catboost',
    'trees-catboost-label',
    'trees-lightgbm-categories',
    'trees-lightgbm-classes',
    'trees-sklearn-boosted',
    'trees-sklearn-boosted-classes',
    'trees-sklearn-forest',
    'trees-sklearn-histogram',
    'trees-sklearn-histogram-classes',
    'trees-sklearn-pipeline',
    'trees-xgboost-2',
    'trees-xgboost-3',
    'trees-xgboost-poisson',
  ]);
});

for (const folder of folders) {
  test(`the scores of ${folder}`, async () => {
    const report = await check({ model: goldenPath(folder), threads: 2, batchSize: 7 });
    const bad = report.columns.filter((column) => column.rowsBeyond > 0).map(({ name, worst }) => [name, worst[0]]);
    assert.deepEqual(bad, []);
    assert.ok(report.rowCount >= 100 && report.columns.length >= 1);
    assert.equal(report.tolerance, tolerances[folder] ?? 1e-5);
    if (report.tolerance === 0) assert.equal(Math.max(...report.columns.map((column) => column.differenceMax)), 0);
  });
}

test('golden rows notice another step', async (t) => {
  const place = new Workplace(t);
  cpSync(goldenPath('numpy-exact-float64'), place.model, { recursive: true });
  const contract = readJson<ContractForm>('numpy-exact-float64', 'tandem.json');
  const clip = contract.inputs['x']!.find((feature) => String(feature['clip']) === '-100,3.5');
  clip!['clip'] = [-100, 3.4999999999999996];
  place.writeContract(contract);
  const report = await check({ model: place.model });
  assert.equal(report.passed, false);
  assert.deepEqual(
    report.columns.filter((column) => column.rowsBeyond > 0).map((column) => column.name),
    ['clip'],
  );
});

test('the last step alone scores as the whole pipeline does', async (t) => {
  const place = new Workplace(t);
  const shard = goldenPath('sklearn-pipeline', 'golden.parquet');
  const scored = [];
  for (const folder of ['sklearn-pipeline', 'sklearn-last-step']) {
    const output = join(place.folder, folder);
    await score({ shards: shard, model: goldenPath(folder), output, keep: [], threads: 1 });
    scored.push(readRows(join(output, 'golden.parquet')));
  }
  const [whole, last] = scored;
  assert.deepEqual(columnOf(whole!, 'label'), columnOf(last!, 'label'));
  whole!.forEach(({ probabilities }, row) => {
    const [a, b] = [probabilities, last![row]!['probabilities']].map((list) => JSON.parse(String(list)) as number[]);
    a!.forEach((value, at) => assert.ok(Math.abs(value - b![at]!) < 1e-6, `row ${row}: ${a} and ${b}`));
  });
});

test('a ZipMap that is not left out is an error with the way out', async (t) => {
  const place = new Workplace(t);
  cpSync(goldenPath('sklearn-zipmap'), place.model, { recursive: true });
  const { inputs } = readJson<ContractForm>('sklearn-zipmap', 'tandem.json');
  place.writeContract({ inputs });
  const error: unknown = await check({ model: place.model }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof TandemError, String(error));
  assertFailure(error, {
    code: 'BAD_MODEL',
    place: { field: 'outputs.output_probability' },
    message: /^Expected output output_probability to be a tensor, got a sequence\.$/,
    remedy: /zipmap.*output_label/,
  });
});

interface Refused {
  readonly labels: readonly string[];
  readonly cases: readonly {
    readonly what: string;
    readonly city: string | null;
    readonly rank: number;
    readonly indexFails: boolean;
    /** With handleInvalid=skip the row is gone; Tandem has a row for each row, so it is bad. */
    readonly indexSkips: boolean;
    readonly oneHotFails: boolean;
  }[];
}

const refused = readJson<Refused>('spark-exact', 'refused.json');

test('Spark refuses some rows and takes others', () => {
  const found = refused.cases.map((each) => [each.what, each.indexFails, each.indexSkips, each.oneHotFails]);
  assert.deepEqual(found, [
    ['seen', false, false, false],
    ['unseen city', true, true, false],
    ['null city', true, true, false],
    ['rank beyond', false, false, true],
  ]);
});

for (const { what, city, rank, indexFails, oneHotFails } of refused.cases) {
  test(`what Spark refuses is a bad row: ${what}`, async (t) => {
    const place = new Workplace(t);
    cpSync(goldenPath('spark-exact', 'model.onnx'), join(place.model, 'model.onnx'));
    const ranks = Array.from({ length: columnCount('spark-exact') - 1 }, (_, at) => at);
    place.writeContract({
      inputs: {
        x: [
          { column: 'city', index: refused.labels },
          { column: 'rank', oneHot: ranks },
        ],
      },
      outputs: { y: { columns: ['index', ...ranks.map((at) => `rank_${at}`)] } },
    });
    place.shard('a.parquet', `SELECT ${city === null ? 'NULL::VARCHAR' : `'${city}'`} AS city, ${rank} AS rank`);
    if (!indexFails && !oneHotFails) {
      await place.score({ keep: [] });
      assert.equal(place.rows('a.parquet')[0]!['index'], refused.labels.indexOf(city!));
      return;
    }
    const column = indexFails ? 'city' : 'rank';
    const at = { shard: 'a.parquet', rowGroup: 0, row: 0, column };
    await place.fails({ code: 'BAD_ROW', place: at, message: /^Expected / });
  });
}

/** Values in a row of a folder's identity model. */
function columnCount(folder: string): number {
  return (readJson<ContractForm>(folder, 'tandem.json').outputs['y'] as { columns: string[] }).columns.length;
}
