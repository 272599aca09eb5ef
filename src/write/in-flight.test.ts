import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../testing/shards.ts';
import { InFlight, readInFlight } from './in-flight.ts';

test('each thread has its own line, the last batch counts, an ended thread has none', (t) => {
  const path = join(tempDir(t), '_inflight');
  const threads = [0, 1, 70].map((index) => new InFlight(path, index));
  threads.forEach((thread, shardIndex) => thread.enter({ shardIndex, firstRow: 5, rowCount: 6 }));
  threads[2]!.enter({ shardIndex: 2, firstRow: 1_000_000_000_000, rowCount: 7 });
  assert.deepEqual(readInFlight(path), [
    { shardIndex: 0, firstRow: 5, rowCount: 6 },
    { shardIndex: 1, firstRow: 5, rowCount: 6 },
    { shardIndex: 2, firstRow: 1_000_000_000_000, rowCount: 7 },
  ]);
  threads[0]!.close();
  assert.equal(readInFlight(path).length, 2);
  threads[1]!.close();
  threads[2]!.close();
  assert.deepEqual(readInFlight(path), []);
});

test('no file: nothing was in flight', (t) => {
  assert.deepEqual(readInFlight(join(tempDir(t), '_inflight')), []);
});

test('a process that dies leaves what it was scoring', (t) => {
  const path = join(tempDir(t), '_inflight');
  const script = `
    const { InFlight } = await import(${JSON.stringify(new URL('./in-flight.js', import.meta.url).href)});
    new InFlight(${JSON.stringify(path)}, 3).enter({ shardIndex: 4, firstRow: 8192, rowCount: 2048 });
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => setInterval(() => {}, 1000));`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', script]);
  assert.equal(signal, 'SIGKILL');
  assert.ok(existsSync(path));
  assert.deepEqual(readInFlight(path), [{ shardIndex: 4, firstRow: 8192, rowCount: 2048 }]);
});
