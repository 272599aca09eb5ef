/** Runs that end before their time, and the same command again: what is whole stays, the rest is made, nothing twice. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { ScoreOptions } from '../options.ts';
import { score } from '../pipeline.ts';
import { readRecords } from '../report/read-record.ts';
import { identityModel, integerDivisionModel } from '../testing/models.ts';
import { assertFailure, assertOnlyWholeShards, caught, columnOf, countTo, listFiles, Workplace } from './workplace.ts';

const shardCount = 8;
const rowCount = 6000;

function names(): string[] {
  return countTo(shardCount).map((index) => `${index}.parquet`);
}

/** Shards of equal size, scored one row at a time: about a second's work. */
function place(t: { after(remove: () => void): void }): Workplace {
  const made = new Workplace(t);
  made.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  names().forEach((name, index) =>
    made.shard(name, `SELECT (i + ${index})::FLOAT AS x FROM range(${rowCount}) rows(i)`),
  );
  return made;
}

/** When and as what each whole shard was written. */
function stamps(here: Workplace, shards: readonly string[]): unknown[] {
  return shards
    .flatMap((name) => [`_manifests/${name}.json`, name])
    .map((path) => {
      const { mtimeMs, ino } = statSync(join(here.output, path));
      return [path, mtimeMs, ino];
    });
}

/** The rest of a run into whose output these shards are whole. */
async function finish(
  here: Workplace,
  whole: readonly string[],
  changes: Partial<ScoreOptions> = {},
): Promise<string[]> {
  const before = stamps(here, whole);
  const warnings: string[] = [];
  const result = await here.score({ ...changes, onWarning: (text) => warnings.push(text) });
  const left = shardCount - whole.length;
  assert.deepEqual([result.shardsSkipped, result.shards, result.rowsOut], [whole.length, left, left * rowCount]);
  assert.deepEqual(stamps(here, whole), before);
  assert.deepEqual(assertOnlyWholeShards(here.output), names());
  names().forEach((name, index) =>
    assert.deepEqual(
      columnOf(here.rows(name), 'y'),
      countTo(rowCount).map((row) => row + index),
    ),
  );
  return warnings;
}

const stopped = { code: 'STOPPED', place: {}, message: /^The run was stopped/, remedy: /same command again/ } as const;

for (const threads of [1, 2]) {
  test(`stopped in the middle with ${threads} threads, then finished`, async (t) => {
    const here = place(t);
    const controller = new AbortController();
    let abortedMs = 0;
    const run = here.options({
      threads,
      batchSize: 1,
      signal: controller.signal,
      onProgress: ({ shardsDone }) => {
        if (shardsDone < 2 || abortedMs > 0) return;
        abortedMs = performance.now();
        controller.abort();
      },
    });
    assertFailure(await caught(score(run)), stopped);
    assert.ok(performance.now() - abortedMs < 2000);
    const whole = assertOnlyWholeShards(here.output);
    assert.ok(whole.length >= 2 && whole.length < shardCount, `${whole.length}`);
    assert.equal(existsSync(join(here.output, '_SUCCESS')), false);
    assert.deepEqual(await finish(here, whole, { threads }), []);
    // Once more: nothing is left to do.
    const all = stamps(here, names());
    assert.equal((await here.score()).shardsSkipped, shardCount);
    assert.deepEqual(stamps(here, names()), all);
    // Each part has left its account; a run with nothing to do has none.
    const accounts = listFiles(here.output).filter((name) => name.startsWith('_report'));
    assert.deepEqual(accounts.sort(), ['_report-1.json', '_report.json']);
    const [first] = readRecords(join(here.output, '_report-1.json'));
    const [last] = readRecords(here.output);
    assert.deepEqual([first.ended, last.ended, last.result.shardsSkipped], ['STOPPED', 'done', first.result.shards]);
    assert.equal(first.result.shards + last.result.shards, shardCount);
    await here.score({ overwrite: true });
    assert.deepEqual(
      listFiles(here.output).filter((name) => name.startsWith('_report')),
      ['_report.json'],
    );
  });
}

test('a shard that threads share, stopped in the middle, then finished', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  here.shard('a.parquet', 'SELECT i::FLOAT AS x FROM range(530000) rows(i)');
  const controller = new AbortController();
  let abortedMs = 0;
  assertFailure(
    await caught(
      score(
        here.options({
          threads: 2,
          batchSize: 4,
          signal: controller.signal,
          onProgress: ({ rowsDone }) => {
            if (rowsDone === 0 || abortedMs > 0) return;
            abortedMs = performance.now();
            controller.abort();
          },
        }),
      ),
    ),
    stopped,
  );
  assert.ok(performance.now() - abortedMs < 2000);
  assert.deepEqual(assertOnlyWholeShards(here.output), []);
  assert.equal((await here.score({ threads: 2 })).rowsOut, 530_000);
});

test('stopped before it began', async (t) => {
  const here = place(t);
  await here.refuses(stopped, { signal: AbortSignal.abort() });
});

for (const delayMs of [0, 20, 100, 200]) {
  test(`stopped ${delayMs} ms after the start`, async (t) => {
    const here = place(t);
    const startedMs = performance.now();
    await here.fails(stopped, { signal: AbortSignal.timeout(delayMs), batchSize: 1 });
    assert.ok(performance.now() - startedMs - delayMs < 10_000);
  });
}

/** A run in a process of its own. */
interface ProcessRun {
  readonly child: ReturnType<typeof spawn>;
  /** Exit code and signal. */
  readonly ended: Promise<readonly [number | null, string | null]>;
}

function spawnRun(options: ScoreOptions): ProcessRun {
  const entry = new URL('./run-score.js', import.meta.url).pathname;
  const child = spawn(process.execPath, [entry, JSON.stringify(options)], { stdio: 'ignore' });
  return { child, ended: once(child, 'exit') as Promise<[number | null, string | null]> };
}

test('killed in the middle, then finished', async (t) => {
  const here = place(t);
  const { child, ended } = spawnRun(here.options({ threads: 2, batchSize: 1 }));
  while (child.exitCode === null && !existsSync(join(here.output, '_manifests/2.parquet.json'))) await sleep(5);
  child.kill('SIGKILL');
  assert.deepEqual(await ended, [null, 'SIGKILL']);
  const left = listFiles(here.output);
  const whole = names().filter((name) => left.includes(`_manifests/${name}.json`));
  assert.ok(whole.length > 0 && whole.length < shardCount, `${whole.length}`);
  const warnings = await finish(here, whole, { threads: 2 });
  assert.equal(warnings.length > 0, true);
  warnings.forEach((text) => assert.match(text, /died while it scored rows \d+ to \d+ of shard \d\.parquet/));
  assert.equal(existsSync(join(here.output, '_inflight')), false);
});

test("killed between a shard's rename and its manifest, or in the middle of a manifest", async (t) => {
  const here = place(t);
  await here.score();
  for (const leave of [
    () => writeFileSync(join(here.output, '3.parquet.tmp-0123456789ab'), 'PAR1'),
    () => writeFileSync(join(here.output, '_manifests/3.parquet.json.tmp-0123456789ab'), '{"ver'),
    () => writeFileSync(join(here.output, '_plan.json.tmp-0123456789ab'), '{"ver'),
  ]) {
    leave();
    assert.equal((await here.score()).shardsSkipped, shardCount);
  }
});

const divisionContract = { inputs: { x: [{ column: 'x' }], divisor: [{ column: 'divisor' }] }, keep: [] };

test('a model that kills the process: whole shards stay, the next run names the rows', async (t) => {
  const here = new Workplace(t);
  here.writeModel(integerDivisionModel(), divisionContract);
  here.shard('good.parquet', 'SELECT i AS x, 2 AS divisor FROM range(9000) rows(i)');
  const bad = (divisor: string): string =>
    `SELECT CASE WHEN i = 7777 THEN (-9223372036854775807 - 1)::BIGINT ELSE i END AS x, ${divisor} AS divisor FROM range(8000) rows(i)`;
  here.shard('sub/bad.parquet', bad('-1'));
  const options = here.options({ batchSize: 100 });
  const [exitCode, signal] = await spawnRun(options).ended;
  assert.deepEqual([exitCode, signal], [null, 'SIGFPE']);
  const left = listFiles(here.output).filter((name) => name.endsWith('.parquet'));
  assert.deepEqual(left, ['good.parquet']);
  const before = stamps(here, ['good.parquet']);
  const warnings: string[] = [];
  const controller = new AbortController();
  // Going on would kill this process: it is stopped at the warning.
  assertFailure(
    await caught(
      score({
        ...options,
        signal: controller.signal,
        onWarning: (text) => {
          warnings.push(text);
          controller.abort();
        },
      }),
    ),
    stopped,
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /died while it scored rows 7700 to 7799 of shard sub\/bad\.parquet/);
  assert.deepEqual(assertOnlyWholeShards(here.output), ['good.parquet']);
  assert.deepEqual(stamps(here, ['good.parquet']), before);
  here.shard('sub/bad.parquet', bad('1'));
  assert.equal((await here.score({ batchSize: 100 })).shardsSkipped, 1);
});

test('an output folder among the shards is not read as input', async (t) => {
  const here = place(t);
  const options = here.options({ shards: here.data, output: join(here.data, 'scores') });
  const first = await score(options);
  const again = await score(options);
  assert.deepEqual([first.shards, again.shards, again.shardsSkipped], [shardCount, 0, shardCount]);
});

test('a callback that throws ends the run with its words, and nothing half-written stays', async (t) => {
  const here = place(t);
  const onProgress = ({ phase }: { readonly phase: string }): void => {
    if (phase !== 'planning') throw new Error('no screen');
  };
  const error = await caught(score(here.options({ onProgress })));
  assert.match(String(error), /no screen/);
  assertOnlyWholeShards(here.output);
});
