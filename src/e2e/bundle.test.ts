/** The command as it is installed: from the bundle, which shares no file with what the other tests run. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bundle } from '../bundle.ts';
import type { DoctorReport } from '../doctor/report.ts';
import type { ScoreResult } from '../options.ts';
import { identityModel } from '../testing/models.ts';
import { columnOf, countTo, Workplace } from './workplace.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string;
  readonly bin: { readonly tandem: string };
};

function tandem(...args: readonly string[]) {
  return spawnSync(process.execPath, [join(root, manifest.bin.tandem), ...args], { encoding: 'utf8' });
}

function hasBundler(): boolean {
  try {
    createRequire(import.meta.url).resolve('esbuild');
    return true;
  } catch {
    return false;
  }
}

test('the bundle', { skip: !hasBundler() && 'esbuild is not installed' }, async (t) => {
  await bundle();
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  here.shard('a.parquet', 'SELECT i::FLOAT AS x FROM range(5000) rows(i)');
  const { shards, model, output } = here.options();
  const flags = ['--model', model, '--output', output, '--no-profile', '--json'];
  const score = (...more: readonly string[]) => tandem('score', ...[shards].flat(), ...flags, ...more);

  await t.test('scores with each reader', () => {
    for (const reader of ['duckdb', 'parquetjs']) {
      const { stdout, stderr, status } = score('--reader', reader, '--overwrite');
      assert.equal(status, 0, stderr);
      assert.equal((JSON.parse(stdout) as ScoreResult).rowsOut, 5000);
      assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), countTo(5000));
    }
  });

  await t.test('splits a shard among threads, one of which writes', () => {
    here.shard('a.parquet', 'SELECT i::FLOAT AS x FROM range(530000) rows(i)');
    const { stdout, stderr, status } = score('--threads', '2', '--overwrite');
    assert.equal(status, 0, stderr);
    assert.equal((JSON.parse(stdout) as ScoreResult).ledger?.writer?.rowCount, 530000);
  });

  await t.test('finds what it loads late: the words of a wrong contract, GPUs, help, version', () => {
    here.writeModel(identityModel('float32'), { inputs: { x: [{ colum: 'x' }] } });
    const wrong = score('--overwrite');
    assert.equal(wrong.status, 65);
    assert.match(wrong.stderr, /Did you mean `column`\?/);
    const { items } = JSON.parse(tandem('doctor', '--device', 'cpu', '--json').stdout) as DoctorReport;
    assert.ok(items.length > 3);
    const none = score('--device', 'cuda:99', '--overwrite');
    assert.ok([64, 65, 78].includes(none.status!), none.stderr);
    assert.doesNotMatch(none.stderr, /Cannot find|This is a bug/);
    assert.match(tandem('score', '--help').stdout, /--model <folder>/);
    assert.equal(tandem('--version').stdout, `${manifest.version}\n`);
  });

  await t.test('wrong usage ends with 64 while the planner gets ready', () => {
    for (let round = 0; round < 5; round++) assert.equal(tandem('score').status, 64);
  });
});
