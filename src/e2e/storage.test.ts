import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Ledger, ScoreResult } from '../index.ts';
import { identityModel } from '../testing/models.ts';
import { compileLibrary, skipWithoutCompiler } from '../testing/compile.ts';
import { Workplace } from './workplace.ts';

const main = fileURLToPath(new URL('../main.js', import.meta.url));

/** A run of the command on shards of incompressible numbers. */
async function ledgerOf(place: Workplace, environment: Readonly<Record<string, string>>): Promise<Ledger> {
  const flags = ['--model', place.model, '--output', place.output, '--overwrite', '--keep', 'none', '--json'];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [main, 'score', place.data, ...flags, '--threads', '2'],
    {
      env: { ...process.env, ...environment },
    },
  );
  return (JSON.parse(stdout) as ScoreResult).ledger!;
}

const skip = process.platform === 'linux' ? skipWithoutCompiler() : 'only Linux tells sleeping from computing';

describe('storage is told from decoding by measurement', { skip }, () => {
  test('the same shards, fast and at 4 MB/s', async (t) => {
    const place = new Workplace(t);
    for (const seed of [1, 2]) {
      const sql = 'SELECT random()::DOUBLE AS x FROM range(1500000)';
      place.shard(`s${seed}.parquet`, sql, { before: `SELECT setseed(0.${seed})` });
    }
    place.writeModel(identityModel('float32'));
    const bytesPerSecond = 4e6;
    const slow = await ledgerOf(place, {
      LD_PRELOAD: compileLibrary('slow-storage/pread.c', join(place.folder, 'slow.so')),
      SLOW_STORAGE_BYTES: String(bytesPerSecond),
    });
    assert.equal(slow.verdict.bottleneck, 'storage', slow.verdict.sentence);
    assert.match(
      slow.verdict.sentence,
      /^storage: 0\.00\d+ of the [\d.]+ GB\/s needed; the threads slept \d+ % of the time/,
    );
    const { storage } = slow;
    assert.ok(storage.bytesPerSecond > 0.5 * bytesPerSecond && storage.bytesPerSecond < 1.1 * bytesPerSecond);
    assert.ok(storage.neededBytesPerSecond > 2 * storage.bytesPerSecond, 'it needs more than it got');
    const fast = await ledgerOf(place, {});
    assert.notEqual(fast.verdict.bottleneck, 'storage', fast.verdict.sentence);
    assert.ok(Math.abs(fast.storage.fetchedBytes / storage.fetchedBytes - 1) < 0.1, 'both read the same');
  });
});
