import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import { tempDir } from '../testing/shards.ts';
import type { TrackSpan } from './timeline.ts';
import { TraceFile } from './trace-file.ts';

interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly ts?: number;
}

const spans: readonly TrackSpan[] = Array.from({ length: 100 }, (_, index) => ({
  track: 0,
  activity: 'decode',
  startMs: index,
  durationMs: 0.5,
  shardIndex: 0,
  firstRow: index,
  rowCount: 1,
}));

test('times in microseconds, shards by name, whole JSON under its name alone', async (t) => {
  const folder = tempDir(t);
  const trace = await TraceFile.open(join(folder, 'run.json'), () => assert.fail('nothing to say'));
  trace.name(['prep 0']);
  trace.spans(spans.slice(3, 4), ['a"b</script>.parquet']);
  assert.equal(readdirSync(folder).includes('run.json'), false);
  await trace.close(0);
  assert.deepEqual(readdirSync(folder), ['run.json']);
  const [, name, , span] = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as unknown[];
  assert.deepEqual(name, { pid: 1, ph: 'M', name: 'thread_name', tid: 1, args: { name: 'prep 0' } });
  const args = { shard: 'a"b</script>.parquet', firstRow: 3, rows: 1 };
  assert.deepEqual(span, { pid: 1, ph: 'X', name: 'decode', tid: 1, ts: 3000, dur: 500, args });
});

test('a trace that is full ends there and says so, once; what is lost is counted', async (t) => {
  const path = join(tempDir(t), 'run.json');
  const said: string[] = [];
  const trace = await TraceFile.open(path, (text) => said.push(text), 2_000);
  trace.name(['prep 0']);
  trace.spans(spans, ['a.parquet']);
  trace.spans(spans, ['a.parquet']);
  await trace.close(12);
  const text = readFileSync(path, 'utf8');
  const events = JSON.parse(text) as TraceEvent[];
  const kept = events.filter(({ ph }) => ph === 'X');
  assert.ok(kept.length > 5 && kept.length < 20, `${kept.length}`);
  assert.equal(said.length, 2);
  assert.match(said[0]!, /^The trace ends 0\.0 s after the run's start: it holds 0 MiB\.$/);
  assert.match(said[1]!, /^The trace lacks 12 events/);
  assert.deepEqual(
    events.filter(({ ph }) => ph === 'i').map(({ name }) => name),
    said,
  );
  assert.ok(text.length < 2_000 + 500);
});

test('a place that cannot be written is wrong usage; nothing to trace leaves nothing', async (t) => {
  const folder = tempDir(t);
  const open = TraceFile.open(join(folder, 'no such folder', 'run.json'), () => {});
  await assert.rejects(open, (error: unknown) => error instanceof TandemError && error.exitCode === 64);
  await (await TraceFile.open(join(folder, 'run.json'), () => {})).discard();
  assert.deepEqual(readdirSync(folder), []);
});
