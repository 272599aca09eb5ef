import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../testing/shards.ts';

test('where not all of the text can be written, the old one stays', (t) => {
  const path = join(tempDir(t), 'tandem.json');
  writeFileSync(path, 'old');
  const module = new URL('./rewrite.js', import.meta.url).href;
  // Files of this process end after a kilobyte or two, as they do on a disk without room: the write that reaches it is cut.
  const code = `process.on('SIGXFSZ', () => {});
    const { replaceContract } = await import(${JSON.stringify(module)});
    try {
      replaceContract(${JSON.stringify(path)}, 'old', 'n'.repeat(10_000));
    } catch (error) {
      process.stdout.write(error.code);
    }`;
  const run = spawnSync('sh', ['-c', 'ulimit -f 2; exec "$0" --input-type=module -e "$1"', process.execPath, code]);
  assert.equal(String(run.stdout), 'BAD_OUTPUT', String(run.stderr));
  assert.equal(readFileSync(path, 'utf8'), 'old');
});
