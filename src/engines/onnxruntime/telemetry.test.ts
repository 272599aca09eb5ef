import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../testing/shards.ts';

test('ONNX Runtime leaves no telemetry files in the home or temporary folder', (t) => {
  const home = tempDir(t);
  const script = `
    const { selfTestOnnxRuntime } = await import(${JSON.stringify(new URL('../selftest.js', import.meta.url).href)});
    const failed = selfTestOnnxRuntime().filter((line) => !line.ok);
    if (failed.length > 0) throw new Error(JSON.stringify(failed));
    console.log(process.pid);`;
  const pid = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: { PATH: process.env['PATH'], HOME: home, XDG_CACHE_HOME: join(home, 'cache') },
    encoding: 'utf8',
  }).trim();
  assert.deepEqual(readdirSync(home), []);
  assert.equal(existsSync(join(tmpdir(), `mat-debug-${pid}.log`)), false);
});
