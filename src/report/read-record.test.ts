import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { toJson } from '../json.ts';
import { TandemError } from '../errors.ts';
import { cpuRunRecord, gpuRunRecord } from '../testing/run-records.ts';
import { tempDir } from '../testing/shards.ts';
import { readRecords } from './read-record.ts';

test('an output folder, its file, and numbers that JSON does not have', (t) => {
  const folder = join(tempDir(t), 'scores');
  mkdirSync(folder);
  const record = gpuRunRecord();
  const endless = { ...record, result: { ...record.result, rowsPerSecond: Infinity } };
  writeFileSync(join(folder, '_report.json'), toJson(endless));
  for (const path of [folder, join(folder, '_report.json')]) {
    const [read] = readRecords(path);
    assert.equal(read.result.rowsPerSecond, Infinity);
    assert.deepEqual(read.result.ledger, record.result.ledger && JSON.parse(JSON.stringify(record.result.ledger)));
    assert.equal(read.profiles.length, record.profiles.length);
  }
});

test('what a later version adds stays', (t) => {
  const path = join(tempDir(t), 'run.json');
  writeFileSync(path, JSON.stringify({ ...cpuRunRecord(), later: { more: 1 } }));
  assert.deepEqual((readRecords(path)[0] as unknown as { later: unknown }).later, { more: 1 });
});

test('what is no record is refused by name, with what was expected', (t) => {
  const folder = tempDir(t);
  const record = cpuRunRecord();
  const cases: readonly (readonly [name: string, content: string, message: RegExp])[] = [
    ['scores.parquet', 'PAR1\u0015\u0004', /got a Parquet file\./],
    [
      'run.trace',
      '[\n{"pid":1,"ph":"M","name":"process_name","args":{"name":"tandem score"}}\n]',
      /got the trace of a run\./,
    ],
    ['prep-0.cpuprofile', '{"nodes":[]}', /got the CPU profile of a thread\./],
    ['text', 'score', /got no JSON: /],
    ['empty', '', /got no JSON: /],
    ['null', 'null', /got Invalid input/],
    ['page.html', '<!doctype html><p>', /got HTML without the record of a run/],
    ['later', JSON.stringify({ ...record, version: 2 }), /got version 2 of a record; this Tandem reads version 1/],
    ['result', JSON.stringify(record.result), /got command|got startedAt/],
    [
      'share',
      JSON.stringify(record).replace('"share":0.574', '"share":"much"'),
      /result\.ledger\.scorers\.0\.parts\.0\.share/,
    ],
    ['shards', JSON.stringify({ ...record, shards: [{ name: 7 }] }), /got shards\.0\.name/],
  ];
  for (const [name, content, message] of cases) {
    const path = join(folder, name);
    writeFileSync(path, content);
    assert.throws(
      () => readRecords(path),
      (error) => {
        assert.ok(error instanceof TandemError);
        assert.deepEqual([error.code, error.exitCode], ['BAD_OUTPUT', 65], name);
        assert.ok(error.message.startsWith(`Expected ${path} to hold the record of a run`), error.message);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

test('what is not there is wrong usage', (t) => {
  const folder = tempDir(t);
  const expected = /to be an output folder, its _report\.json, or a report that Tandem wrote, got /;
  assert.throws(() => readRecords(join(folder, 'none')), { code: 'USAGE', message: expected });
  assert.throws(() => readRecords(join(folder, 'none')), { message: /got no such file\./ });
  assert.throws(() => readRecords(folder), { message: /got a folder without _report\.json\./ });
});

test('a figure that was not written is none, and not 0', (t) => {
  const path = join(tempDir(t), 'run.json');
  const record = cpuRunRecord();
  const nothing = { ...record, result: { ...record.result, rowsPerSecond: NaN, wallSeconds: 0 } };
  for (const text of [toJson(nothing), JSON.stringify(nothing)]) {
    writeFileSync(path, text);
    const [{ result }] = readRecords(path);
    assert.deepEqual([result.rowsPerSecond, result.wallSeconds], [NaN, 0]);
  }
});
