/**
 * The README's walk-through, from what a real one has left (`npm run walkthrough -- --keep`): models that Spark, LightGBM and
 * scikit-learn saved, and their scores of 2,000 rows. What only Python can make is kept too.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { quoteText } from '../../src/engines/duckdb/database.ts';
import { errorCodes } from '../../src/errors.ts';
import type { ScoreResult } from '../../src/options.ts';
import { tempDir, writeShard } from '../../src/testing/shards.ts';
import { readCommands, valueOf, type Command } from './commands.ts';
import { keptFolder } from './shards.ts';

const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const keptRows = 2_000;

interface Walk {
  readonly folder: string;
  tandem(command: Command, exitCode?: number): string;
}

function openWalk(t: { after(remove: () => void): void }): Walk {
  const folder = tempDir(t);
  for (const name of readdirSync(keptFolder)) take(name);
  return { folder, tandem };

  function take(name: string): void {
    cpSync(join(keptFolder, name), join(folder, name), { recursive: true });
  }

  function tandem({ args, line }: Command, exitCode = 0): string {
    const output = valueOf({ args, line, program: 'tandem' }, '--output');
    const needsPython = args.includes('--lightgbm') || args.includes('--sklearn');
    if (args[0] === 'init' && needsPython) {
      assert.ok(existsSync(join(keptFolder, output!, 'golden.parquet')), line);
      take(output!);
      return '';
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') },
    });
    assert.equal(status, exitCode, `${line}\n${stdout}${stderr}`);
    return stdout;
  }
}

/** The same check against scores that belong to the rows before. */
function withOthersScores(check: Command, folder: string): Command {
  const known = valueOf(check, '--against')!;
  const table = known.endsWith('.parquet') ? known : `${known}/*.parquet`;
  const sql = `SELECT * REPLACE (coalesce(lead(id) OVER (ORDER BY id), min(id) OVER ()) AS id)
    FROM read_parquet(${quoteText(join(folder, table))})`;
  writeShard(join(folder, 'others.parquet'), sql);
  return { ...check, args: check.args.map((arg) => (arg === known ? 'others.parquet' : arg)) };
}

const cases = readCommands();

test('the README walks in five steps each', () => {
  assert.deepEqual(
    cases.map((commands) => commands.map(({ program, args }) => (program === 'python' ? args[1] : args[0]))),
    cases.map(() => ['fit', 'init', 'score', 'check', 'score']),
  );
  assert.deepEqual(
    cases.map(([first]) => first!.args[0]),
    ['spark_flights.py', 'lightgbm_flights.py', 'sklearn_birdstrikes.py'],
  );
});

for (const commands of cases) {
  test(`the README's commands give known scores: ${commands[0]!.args[0]}`, (t) => {
    const { folder, tandem } = openWalk(t);
    for (const command of commands.filter(({ program }) => program === 'tandem')) {
      if (command.args[0] === 'check') {
        assert.match(tandem(command), /^passed: 2,000 rows by id, tolerance/);
        // Without this a comparison of nothing would pass too.
        assert.match(
          tandem(withOthersScores(command, folder), errorCodes.GOLDEN_DIFFERS.exitCode),
          /^FAILED: 2,000 rows/,
        );
      } else if (command.args[0] === 'score') {
        const { rowsOut } = JSON.parse(tandem({ ...command, args: [...command.args, '--json'] })) as ScoreResult;
        assert.equal(rowsOut, keptRows);
      } else {
        tandem(command);
      }
    }
  });
}
