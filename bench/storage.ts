/**
 * The same job with its shards in the page cache, on storage, and behind a read that gives 200 MB/s: what the ledger says
 * must change, and nothing else. Needs Linux and a C compiler for the last one.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatTable } from '../src/cli/format.ts';
import type { Ledger, ScoreResult } from '../src/index.ts';
import { compileLibrary, skipWithoutCompiler } from '../src/testing/compile.ts';
import { defaultFolder, ensureWorkloads } from './data.ts';

const throttledBytesPerSecond = 200e6;
const main = fileURLToPath(new URL('../src/main.js', import.meta.url));

interface Case {
  readonly name: string;
  readonly before: (shards: readonly string[]) => void;
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads every byte, or asks the system to forget them (posix_fadvise, by way of dd). */
function touch(shards: readonly string[], flags: readonly string[]): void {
  for (const shard of shards)
    execFileSync('dd', [`if=${shard}`, 'of=/dev/null', 'bs=4M', ...flags], { stdio: 'ignore' });
}

const cases: readonly Case[] = [
  { name: 'in the page cache', before: (shards) => touch(shards, []), environment: {} },
  { name: 'on storage', before: (shards) => touch(shards, ['iflag=nocache', 'count=0']), environment: {} },
  {
    name: `read at ${throttledBytesPerSecond / 1e6} MB/s`,
    before: (shards) => touch(shards, []),
    environment: {
      LD_PRELOAD: compileLibrary('slow-storage/pread.c', join(defaultFolder, 'slow-storage.so')),
      SLOW_STORAGE_BYTES: String(throttledBytesPerSecond),
    },
  },
];

function run({ before, environment }: Case, shards: readonly string[], model: string): ScoreResult {
  const output = join(defaultFolder, 'output-storage');
  before(shards);
  const flags = ['--model', model, '--output', output, '--overwrite', '--no-profile', '--progress', 'none', '--json'];
  const printed = execFileSync(process.execPath, [main, 'score', ...shards, ...flags], {
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(printed) as ScoreResult;
}

function shareOf(ledger: Ledger, part: string): string {
  const shares = ledger.scorers.map(({ parts }) => parts.find(({ name }) => name === part)!.share);
  return `${Math.round((100 * shares.reduce((sum, share) => sum + share, 0)) / shares.length)} %`;
}

const unusable = process.platform === 'linux' ? skipWithoutCompiler() : 'only Linux tells sleeping from computing';
if (unusable !== false) throw new Error(`Expected to be able to slow reading down: ${unusable}.`);
const { shards, models } = ensureWorkloads();
const verdicts: string[] = [];
const rows = cases.map((each) => {
  const { ledger, rowsPerSecond } = run(each, shards, models['w2-logistic']);
  const { storage, verdict } = ledger!;
  const rates = [storage.bytesPerSecond, storage.neededBytesPerSecond].map((bytes) => (bytes / 1e9).toFixed(2));
  const fromStorage = `${(storage.storageBytes / 1e9).toFixed(2)} of ${(storage.fetchedBytes / 1e9).toFixed(2)}`;
  const shares = [shareOf(ledger!, 'storage'), shareOf(ledger!, 'decode')];
  verdicts.push(`${each.name}: ${verdict.sentence}`);
  return [each.name, (rowsPerSecond / 1e6).toFixed(2), fromStorage, ...rates, ...shares];
});
const right = 'right' as const;
const titles = ['M rows/s', 'GB from storage', 'GB/s', 'needed', 'storage', 'decode'];
console.log(formatTable([{ title: 'shards' }, ...titles.map((title) => ({ title, align: right }))], rows));
console.log(`\n${verdicts.join('\n')}`);
