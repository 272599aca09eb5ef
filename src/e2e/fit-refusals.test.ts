/** What `fit` refuses, and what may happen meanwhile: the contract stays as it was. */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { corruptPage } from '../testing/shards.ts';
import { FitPlace } from './fit-place.ts';
import { assertFailure, caught, type Failure } from './workplace.ts';

const standardized = { column: 'v', standardize: 'fit' };
const refused: [name: string, feature: object, sql: string, failure: Failure][] = [
  [
    'infinite values',
    standardized,
    "SELECT unnest(['1', 'inf'])::DOUBLE AS v",
    {
      code: 'BAD_COLUMN',
      place: {},
      message: /Expected v to be finite for mean and sample .*, got infinite or too large values: 1\./,
      remedy: /clip/,
    },
  ],
  [
    'nothing but infinite values',
    { column: 'v', minMax: 'fit' },
    "SELECT 'inf'::DOUBLE AS v FROM range(3)",
    { code: 'BAD_COLUMN', place: {}, message: /to be finite for least .*, got infinite or too large values: 3\./ },
  ],
  [
    'finite values whose sum is not',
    { column: 'v', missing: 'mean' },
    'SELECT 1e308 AS v FROM range(30)',
    { code: 'BAD_COLUMN', place: {}, message: /to be finite for mean, got infinite or too large values: 30\./ },
  ],
  [
    'categories that float64 does not tell apart',
    { column: 'v', index: 'fit' },
    'SELECT 9007199254740992 + i AS v FROM range(3) rows(i)',
    {
      code: 'BAD_COLUMN',
      place: {},
      message: /Expected v to have whole numbers below 2\^53 in size, got 900719925474099[24]\./,
      remedy: /CAST\(\.\.\. AS VARCHAR\)/,
    },
  ],
  [
    'what stands for a null is of another type',
    { column: 'v', oneHot: 'fit', missing: 'none' },
    'SELECT nullif(i, 1) AS v FROM range(3) rows(i)',
    {
      code: 'BAD_CONTRACT',
      place: {},
      message: /Expected missing of v to be a number, as its values are, got the text "none"\./,
    },
  ],
  [
    'nothing but nulls',
    standardized,
    'SELECT NULL::DOUBLE AS v FROM range(3)',
    { code: 'BAD_COLUMN', place: {}, message: /have values for mean .* got none/ },
  ],
  [
    'quantiles of nothing',
    { column: 'v', bucketize: { quantiles: 2 } },
    "SELECT 'nan'::FLOAT AS v",
    { code: 'BAD_COLUMN', place: {}, message: /have values for 2 quantiles, got none/ },
  ],
  [
    'text as a number',
    standardized,
    "SELECT 'x' AS v",
    {
      code: 'BAD_COLUMN',
      place: { shard: 'a.parquet', column: 'v' },
      message: /Expected v to be a number, got VARCHAR/,
    },
  ],
  [
    'no such column',
    standardized,
    'SELECT 1 AS w',
    { code: 'BAD_COLUMN', place: { shard: 'a.parquet', column: 'v' }, message: /Expected column v in the shard/ },
  ],
  [
    'no rows',
    standardized,
    'SELECT 1 AS v LIMIT 0',
    { code: 'BAD_SHARD', place: {}, message: /Expected the shards to have rows to fit to, got none in 1\./ },
  ],
  [
    'categories that nobody takes',
    { column: 'v', index: { fit: { max: 2 } } },
    "SELECT unnest(['a', 'b', 'c']) AS v",
    {
      code: 'BAD_CONTRACT',
      place: {},
      message: /unknown of v to say what the 1 categories beyond max 2 become/,
      remedy: /"own" or "last"/,
    },
  ],
  [
    'an expression that fails in a row',
    { sql: 'CAST(v AS INTEGER)', standardize: 'fit' },
    "SELECT if(i = 2500, 'x', '1') AS v FROM range(3000) rows(i)",
    {
      code: 'BAD_ROW',
      place: { shard: 'a.parquet', rowGroup: 0, row: 2500, column: 'sql CAST(v AS INTEGER)' },
      message: /to give a value/,
    },
  ],
  [
    'steps that make nothing of a value',
    { column: 'v', log1p: true, minMax: 'fit' },
    'SELECT -3 AS v',
    { code: 'BAD_COLUMN', place: {}, message: /got none/ },
  ],
];

test('what no parameter can be made of leaves the contract as it was', async (t) => {
  for (const [name, feature, sql, failure] of refused) {
    await t.test(name, async (inner) => {
      const here = new FitPlace(inner, feature);
      here.shard('a.parquet', sql);
      await here.failsToFit(failure);
    });
  }
});

/** Quantiles of long numbers take several passes. */
const severalPasses = { column: 'v', bucketize: { quantiles: 3 } };
const rootsSql = 'SELECT sqrt(i) AS v FROM range(200000) rows(i)';

test('a fit that is stopped, before and between passes', async (t) => {
  const here = new FitPlace(t, severalPasses);
  here.shard('a.parquet', rootsSql);
  const stopped = { code: 'STOPPED', place: {}, message: /stopped/ } as const;
  const before = here.text;
  assert.equal((await caught(here.fit({ signal: AbortSignal.abort() }))).code, 'STOPPED');
  const stopping = new AbortController();
  const error = await caught(here.fit({ threads: 2, signal: stopping.signal, onProgress: () => stopping.abort() }));
  assert.match(error.message, stopped.message);
  assert.equal(error.code, stopped.code);
  assert.equal(here.text, before);
  assert.ok((await here.fit()).passes > 1);
});

test('a contract or a shard that changes meanwhile', async (t) => {
  const here = new FitPlace(t, severalPasses);
  const path = here.shard('a.parquet', rootsSql);
  const asked = here.text;
  const edited = `${asked}  `;
  const error = await caught(here.fit({ onProgress: () => writeFileSync(here.contractPath, edited) }));
  assertFailure(error, { code: 'TRANSIENT', place: {}, message: /to be as it was when the fit began/ });
  assert.equal(here.text, edited);
  await here.failsToFit(
    { code: 'TRANSIENT', place: { shard: 'a.parquet' }, message: /Expected the shard to stay as it was/ },
    { onProgress: () => utimesSync(path, 1, 1) },
  );
});

test('a damaged shard', async (t) => {
  const here = new FitPlace(t, standardized);
  const path = here.shard('a.parquet', rootsSql, { rowGroupRows: 20480 });
  corruptPage(path, 5, 'v');
  await here.failsToFit({
    code: 'BAD_SHARD',
    place: { shard: 'a.parquet' },
    message: /Expected the shard to be readable/,
  });
});

test('a condition that leaves no row is named', async (t) => {
  const here = new FitPlace(t, standardized);
  here.shard('a.parquet', 'SELECT i AS v FROM range(4) rows(i)');
  await here.failsToFit(
    {
      code: 'BAD_SHARD',
      place: {},
      message: /rows to fit to for which `v < 0`, got none in 1\./,
      remedy: /another condition/,
    },
    { where: 'v < 0' },
  );
});

test('a folder without a contract, and a link to one', async (t) => {
  const here = new FitPlace(t, standardized);
  here.shard('a.parquet', 'SELECT i AS v FROM range(4) rows(i)');
  const other = join(here.folder, 'other');
  mkdirSync(other);
  symlinkSync(here.contractPath, join(other, 'tandem.json'));
  await here.fit({ model: other });
  assert.match(here.text, /"mean":? 1\.5/);
  assert.ok(existsSync(join(other, 'tandem.json')));
  const none = join(here.folder, 'none');
  mkdirSync(none);
  appendFileSync(join(none, 'model.onnx'), '');
  assertFailure(await caught(here.fit({ model: none })), {
    code: 'BAD_CONTRACT',
    place: {},
    message: /to be a folder with a tandem\.json/,
  });
});
