import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { closeDatabase, Connection, DuckDbError, openDatabase, outOfMemory } from './database.ts';

test('the memory limit reaches DuckDB, whose refusal becomes MEMORY', () => {
  const database = openDatabase({ memoryLimitBytes: 64 * 2 ** 20 });
  const connection = new Connection(database);
  try {
    assert.deepEqual(connection.rows("SELECT current_setting('memory_limit')"), [['64.0 MiB']]);
    connection.execute("SET temp_directory = ''");
    assert.throws(
      () => connection.rows('SELECT len(list(i)) FROM range(50000000) rows(i)'),
      (error) => {
        assert.ok(error instanceof DuckDbError);
        assert.equal(outOfMemory(error, { shard: 'a' })?.code, 'MEMORY');
        return true;
      },
    );
  } finally {
    connection.close();
    closeDatabase(database);
  }
  assert.equal(outOfMemory(new DuckDbError('IO Error: gone'), {}), undefined);
});

test('an instant has the same hour on every machine', () => {
  const script = `
    const { Connection, openDatabase } = await import(${JSON.stringify(new URL('database.js', import.meta.url).href)});
    const connection = new Connection(openDatabase());
    console.log(String(connection.rows("SELECT hour(TIMESTAMPTZ '2026-01-01 12:00:00+00')")));`;
  const env = { ...process.env, TZ: 'America/New_York' };
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    env,
    encoding: 'utf8',
  });
  assert.equal(stdout.trim(), '12', stderr);
});
