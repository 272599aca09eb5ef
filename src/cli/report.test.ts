/** `report` as a command, and `score --report`: what is read, printed and written. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import { readRecords } from '../report/read-record.ts';
import type { RunRecord } from '../run-record.ts';
import { cpuRunRecord, gpuRunRecord } from '../testing/run-records.ts';
import { tempDir } from '../testing/shards.ts';
import type { Api } from './api.ts';
import { renderLedger } from './render-ledger.ts';
import { runCommandLine } from './run.ts';

async function run(args: readonly string[], api: Partial<Api> = {}) {
  const out = { stdout: '', stderr: '' };
  const io = {
    stdout: { write: (text: string) => (out.stdout += text) },
    stderr: { write: (text: string) => (out.stderr += text) },
    environment: {},
    nowMs: () => 0,
    onSignal: () => () => {},
    onProfileSignal: () => () => {},
    exitNow: () => {},
  };
  const exitCode = await runCommandLine(
    args,
    io,
    async () => ({ readRecords: async (path) => readRecords(path), ...api }) as Api,
  );
  return { ...out, exitCode };
}

/** A folder with runs in it, by name. */
function runs(t: { after(remove: () => void): void }, records: Readonly<Record<string, RunRecord>>): string {
  const folder = tempDir(t);
  for (const [name, record] of Object.entries(records)) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, '_report.json'), JSON.stringify(record));
  }
  return folder;
}

test('a ledger as lines: lanes are one column, small parts are summed', () => {
  assert.deepEqual(renderLedger(cpuRunRecord().result.ledger!).split('\n'), [
    '  of the time        4 threads',
    '  computing             56.8 %',
    '  decode                17.8 %',
    '  featurize              9.4 %',
    '  writer                 5.2 %',
    '  warm-up                7.1 %',
    '  batch-size search      0.8 %',
    '  hand-over              1.2 %',
    '  idle tail              1.3 %',
    '  other                  0.4 %',
  ]);
  const lines = renderLedger(gpuRunRecord().result.ledger!).split('\n');
  assert.match(lines[0]!, /^ {2}of the time +cuda:0 +cuda:1 +6 prep threads +writer$/);
  assert.ok(lines.includes('  decode               26.4 %  29.1 %          59.5 %'));
});

test('one run: figures, verdict, ledger, utilization', async (t) => {
  const folder = runs(t, { scores: gpuRunRecord() });
  const { exitCode, stdout, stderr } = await run(['report', join(folder, 'scores')]);
  assert.deepEqual([exitCode, stderr], [0, '']);
  const lines = stdout.split('\n');
  assert.equal(lines[0], `${join(folder, 'scores')}: 403,200,000 rows of 24 shards in 48 s: 8.37 M rows/s`);
  assert.match(
    lines[1]!,
    /^ {2}cuda:0,1, batch size 32,768, 6 threads, at most 1\.\d\d GiB of memory; 2026-11-21 15:04$/,
  );
  assert.match(lines[2]!, /^ {2}cuda:1 waited 38 % of the time, 29 points for decode/);
  assert.equal(lines[3], '  with 4 more prep threads: 12.90 M rows/s');
  assert.match(
    stdout,
    /\n {2}cuda:0: the model ran 59 % of the time, time in which at least one kernel ran .*: 74 %, efficiency 56 %/,
  );
  assert.match(
    stdout,
    /\n {4}the model ran 59 % and the driver reports .* 74 %, 15 points apart: something else ran on this GPU/,
  );
});

test('two runs: what changed and what it did; the same as JSON and as HTML', async (t) => {
  const folder = runs(t, { a: cpuRunRecord(), b: gpuRunRecord() });
  const [a, b, html] = ['a', 'b', 'both.html'].map((name) => join(folder, name)) as [string, string, string];
  const { stdout } = await run(['report', a, b]);
  assert.match(
    stdout,
    /^while working the second run is 1\.89 times as fast as the first; decode went from 19\.4 % to 29\.2 % of the/,
  );
  assert.match(stdout, /\nnote: They did not do the same work/);
  assert.match(stdout, /\nwhat changed\n(.*\n)* {2}device +cpu +cuda:0,1\n/);
  assert.match(
    stdout,
    /\nwhat it did\n(.*\n)* {2}rate while working +4\.65 M rows\/s +8\.80 M rows\/s +1\.89 times +better\n/,
  );
  assert.match(stdout, /\n {2}computing +\d\d\.\d % +\d\d\.\d % +-\d\.\d points\n/);

  const written = await run(['report', a, b, '--html', html, '--json']);
  assert.deepEqual([written.exitCode, written.stderr], [0, `report written to ${html}\n`]);
  const comparison = JSON.parse(written.stdout) as { changed: { what: string }[] };
  assert.ok(comparison.changed.some(({ what }) => what === 'device'));
  assert.deepEqual(
    readRecords(html).map(({ startedAt }) => startedAt),
    [cpuRunRecord().startedAt, gpuRunRecord().startedAt],
  );
  const again = await run(['report', html]);
  assert.match(again.stdout, /^while working the second run is 1\.89 times/);

  const three = await run(['report', a, b, a]);
  assert.equal(three.exitCode, 64);
  assert.match(three.stderr, /Expected tandem report to be given one run or two, got 3/);
  assert.equal((await run(['report', a, b, a, '--html', html])).exitCode, 0);
  assert.equal(readRecords(html).length, 3);
});

test('what is no run ends with its code and names the file', async (t) => {
  const folder = runs(t, {});
  const missing = await run(['report', join(folder, 'none')]);
  assert.equal(missing.exitCode, 64);
  assert.match(missing.stderr, /^USAGE: Expected \S+none to be an output folder/);
  writeFileSync(join(folder, 'text'), 'x');
  assert.equal((await run(['report', join(folder, 'text')])).exitCode, 65);
});

test('score --report: written after the run, also after one that failed', async (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'run.html');
  const line = ['score', 'a', '--model', 'm', '--output', join(folder, 'scores'), '--report', path];
  const record = cpuRunRecord();
  const good = await run(line, {
    score: async (options) => {
      assert.equal(existsSync(path), false);
      options.onRecord?.(record);
      return record.result;
    },
  });
  assert.deepEqual([good.exitCode, good.stderr], [0, `report: ${path}\n`]);
  assert.equal(readRecords(path)[0].ended, 'done');

  const bad = await run(line, {
    score: async (options) => {
      options.onRecord?.({ ...record, ended: 'TRANSIENT' });
      throw new TandemError('TRANSIENT', 'Expected a disk, got none.');
    },
  });
  assert.equal(bad.exitCode, 75);
  assert.match(bad.stderr, /^report: .*\nTRANSIENT: Expected a disk/);
  assert.ok(readFileSync(path, 'utf8').includes('This run ended with TRANSIENT'));

  const nowhere = await run([...line.slice(0, -1), join(folder, 'none', 'run.html')], {
    score: () => assert.fail('it must not start'),
  });
  assert.equal(nowhere.exitCode, 64);
});
