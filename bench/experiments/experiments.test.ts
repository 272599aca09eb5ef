import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDir, withConnection } from '../../src/testing/shards.ts';
import { expectSame, largestDifference, positive, whole } from './experiment.ts';
import { workloadNames } from '../data.ts';
import { measureCurve, sizesUpTo } from './batch-size.ts';
import { batchesOf, checkWays, timeWays } from './model-lifetime.ts';
import { openWorkloadSlot } from './workload-slot.ts';
import { NoPython, pythonOfExperiments } from './python.ts';
import { numericCases, tableSql, textCase } from './paths.ts';
import { timeInRounds } from './rounds.ts';
import { names, normalColumn, scoreOf, waysOfJavaScript } from './standardize-ways.ts';
import { columnOf, countInColumn, countInRows, differingWords } from './tokens.ts';

test('the largest difference sees every value, NaN and infinity too', () => {
  assert.equal(largestDifference([1, 2, NaN, Infinity], [1, 2, NaN, Infinity]), 0);
  assert.equal(largestDifference([1, 2.5, 3], [1, 2, 3.25]), 0.5);
  assert.equal(largestDifference([1, 2], [3, 1.5]), 2);
  assert.equal(largestDifference([NaN, 1], [0, 1]), Infinity);
  assert.equal(largestDifference([0, 1], [NaN, 7]), Infinity);
  assert.equal(largestDifference([Infinity], [-Infinity]), Infinity);
  assert.throws(() => largestDifference([1], [1, 2]), /Expected 2 values, got 1\./);
  assert.throws(() => expectSame('numpy', 1e-9), /Expected the answers of numpy to differ by at most 0, got 1e-9\./);
  assert.throws(() => expectSame('numpy', NaN), /got NaN/);
  assert.equal(expectSame('numpy', 1e-9, 1e-8), 1e-9);
});

test('flags take whole numbers and numbers above 0', () => {
  assert.equal(whole('rows')(3), 3);
  for (const wrong of [0, -1, 1.5, NaN])
    assert.throws(() => whole('rows')(wrong), /Expected --rows to be a whole number/);
  assert.equal(positive('seconds')(0.1), 0.1);
  for (const wrong of [0, -1, NaN, Infinity]) assert.throws(() => positive('seconds')(wrong), /Expected --seconds/);
});

test('ways take turns, the first round is dropped, and a way runs until its time is over', async () => {
  const calls: string[] = [];
  const rates = await timeInRounds(
    {
      slow: () => ({ units: 10, seconds: calls.push('slow') === 1 ? 100 : 2 }),
      fast: () => Promise.resolve({ units: 10, seconds: calls.push('fast') > 0 ? 0.5 : 0 }),
    },
    2,
    1,
  );
  assert.deepEqual(rates, { slow: [5, 5], fast: [20, 20] });
  assert.deepEqual(calls, Array.from({ length: 3 }, () => ['slow', 'fast', 'fast']).flat());
});

test('every way of JavaScript gives the same bits, and the column is what it says', () => {
  const task = { mean: 4.5, std: 2.5, low: -1, high: 1 };
  const column = normalColumn(30_001, task);
  const expected = Float64Array.from(column, (x) => scoreOf(x, task));
  const ways = waysOfJavaScript(column, task);
  assert.deepEqual(Object.keys(ways), [names.objects, names.spread, names.arrays, names.kernel]);
  for (const [name, way] of Object.entries(ways)) assert.equal(largestDifference(way.answers(), expected), 0, name);
  const mean = column.reduce((sum, x) => sum + x, 0) / column.length;
  const clipped = expected.filter((z) => Math.abs(z) === 1).length / expected.length;
  assert.ok(Math.abs(mean - 4.5) < 0.05, String(mean));
  assert.ok(Math.abs(clipped - 0.3173) < 0.01, String(clipped));
});

test('every path of every case gives the same answers, and a table that has changed is noticed', () => {
  withConnection((connection) => {
    connection.execute(tableSql(5_000));
    const cases = [...numericCases(connection, 5_000), textCase(connection)];
    assert.deepEqual(
      cases.map(({ name }) => name),
      ['scale and add', 'standardize', 'clip', 'count words'],
    );
    for (const { check } of cases) check();
    connection.execute("UPDATE t SET x = x + 1e-9, text = text || ' more' WHERE id = 4321");
    for (const { name, check } of cases) {
      const x = connection.rows('SELECT x FROM t WHERE id = 4321')[0]![0] as number;
      // A clipped value may stay what it is.
      if (name === 'clip' && Math.abs(x) > 3) continue;
      assert.throws(
        check,
        new RegExp(`Expected the answers of .*${name === 'count words' ? 'words' : name}, DuckDB SQL`),
      );
    }
    connection.execute('DELETE FROM t WHERE id = 7');
    assert.throws(() => cases[0]!.check(), /Expected 5000 rows, got 4999\./);
  });
});

test('words are counted alike in rows and in bytes, whatever the blanks and however many words', () => {
  const texts = ['', '  ', 'One', ' one\tTWO  two\nTwo ', 'a\u000bb\u000cc\rd', '[@`{ZAza09'];
  const rows = texts.map((text) => ({ text }));
  const counts = countInRows(rows);
  assert.equal(counts.get('one'), 2);
  assert.equal(counts.get('two'), 3);
  assert.equal(counts.get('[@`{zaza09'), 1);
  assert.ok(!counts.has(''));
  assert.equal(differingWords(countInColumn(columnOf(texts)), counts), 0);
  // More words than the table starts with, each twice.
  const many = Array.from({ length: 20_000 }, (_, index) => `w${index % 10_000}`);
  const counted = countInColumn(columnOf(many));
  assert.equal(counted.size, 10_000);
  assert.equal(differingWords(counted, countInRows(many.map((text) => ({ text })))), 0);
  assert.throws(() => countInColumn(columnOf(['plain', 'naïve'])), /Expected ASCII, got byte 195 in text 1\./);
  assert.equal(
    differingWords(
      new Map([['a', 1]]),
      new Map([
        ['a', 2],
        ['b', 1],
      ]),
    ),
    2,
  );
});

test('without python3 the reason is told', (t) => {
  const { PATH } = process.env;
  t.after(() => (process.env['PATH'] = PATH));
  const folder = tempDir(t);
  process.env['PATH'] = folder;
  assert.throws(
    () => pythonOfExperiments(join(folder, 'python')),
    (error) => error instanceof NoPython && /Expected python3 with venv and pip .*, got: .*ENOENT/.test(error.message),
  );
});

test('batches are full but for the tails, and tails have many lengths', () => {
  const batches = batchesOf(1_024, 96, 12);
  assert.equal(batches.length, 96);
  const tails = batches.filter((_, index) => index % 12 === 11);
  assert.ok(batches.every((rows, index) => index % 12 === 11 || rows === 1_024));
  assert.ok(
    tails.every((rows) => rows >= 1 && rows < 1_024),
    String(tails),
  );
  assert.equal(new Set(tails).size, 8);
  assert.deepEqual(batchesOf(1, 3, 1), [1, 1, 1]);
});

test('every workload is scored alike in every batch size and by models that live long or short', async (t) => {
  const place = { folder: tempDir(t), rowsPerShard: 5_000 };
  const batches = batchesOf(64, 8, 4);
  for (const workload of workloadNames) {
    const curve = await measureCurve(workload, 3_000, 1, 1e-4, place);
    assert.deepEqual(Object.keys(curve.rowsPerSecond), sizesUpTo(3_000).map(String));
    assert.ok(curve.points.every(({ secondsPerCall }) => secondsPerCall > 0));
    const opened = await openWorkloadSlot(workload, 64, place);
    const differences = Object.values(checkWays(workload, opened, batches));
    assert.deepEqual(differences, [0, 0, 0, 0]);
    const [perBatch, perShape, bound, tandem] = Object.values(timeWays(opened, batches, 2));
    assert.equal(tandem!.length, 2);
    assert.ok(
      [perBatch, perShape, bound, tandem].every((rounds) => rounds!.every(({ load, score }) => load > 0 && score > 0)),
    );
    // Scores of another model.
    const other = workload === 'w3-trees' ? 'w1-network' : 'w3-trees';
    assert.throws(() => checkWays(other, opened, batches), /Expected the answers of .* to differ by at most/);
    opened.close();
  }
  await assert.rejects(
    openWorkloadSlot('w1-network', 5_001, place),
    /Expected the shard to have 5001 rows, got 5000\./,
  );
});

test('the command prints the table, and leaves figures and a chart', (t) => {
  const folder = tempDir(t);
  const run = (...flags: string[]): string =>
    execFileSync(
      process.execPath,
      [
        fileURLToPath(new URL('./run.js', import.meta.url)),
        ...flags,
        '--rounds',
        '1',
        '--seconds',
        '0.001',
        '--out',
        folder,
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
    );
  assert.match(
    run('handoff', '--columns', '8', '--model-rows-per-second', '1e8'),
    /equal at, a reader[^]*given +100,000,000/,
  );
  assert.match(run('paths', '--rows', '3000'), /count words[^]*Fastest: scale and add/);
  const files = readdirSync(folder).sort();
  assert.deepEqual(
    files.map((file) => file.slice('2026-01-01-'.length)),
    ['handoff.json', 'handoff.svg', 'paths.json', 'paths.svg'],
  );
  const results = JSON.parse(readFileSync(join(folder, files[2]!), 'utf8')) as {
    rowsPerSecond: Record<string, object>;
  };
  assert.deepEqual(Object.keys(results.rowsPerSecond), ['scale and add', 'standardize', 'clip', 'count words']);
  assert.match(readFileSync(join(folder, files[1]!), 'utf8'), /^<svg/);
});
