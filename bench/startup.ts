/**
 * A whole `tandem score` of 200,000 rows, from the process's start to its end, by what the time went to. Outputs are
 * checked first. Seen from outside: first line of progress, ledger of the run, end of the process.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatTable } from '../src/cli/format.ts';
import type { ScoreResult } from '../src/options.ts';
import { planScore } from '../src/pipeline.ts';
import { ensureWorkloads, workloadNames, type WorkloadName } from './data.ts';
import { coreSeconds, environment, othersShare } from './environment.ts';
import { checkOutput } from './job.ts';
import { median } from './measure.ts';
import { shardsWith } from './peers/subset.ts';

const rounds = Number(process.argv[2] ?? 15);
const rowsPerShard = 100_000;
/** Of the whole process on two quiet cores. */
const targetMs = 500;

const folder = mkdtempSync(join(tmpdir(), 'tandem-startup-'));
const output = join(folder, 'output');
const command = fileURLToPath(new URL('../bundle/main.js', import.meta.url));

/** Milliseconds, in order; they add up to the whole. */
interface Phases {
  /** Node, the command's modules, the command line. */
  readonly start: number;
  /** Planning, libraries, model, threads: until a prep thread takes its first shard, on average. */
  readonly warmUp: number;
  /** From then on, thread by thread, on average: what belongs to no row counts as `between`. */
  readonly read: number;
  readonly featurize: number;
  readonly score: number;
  readonly write: number;
  readonly between: number;
  /** Closing, printing, the process's end. */
  readonly end: number;
}

interface Run {
  readonly phases: Phases;
  readonly totalMs: number;
  readonly cpuMs: number;
}

/** Node reads these certificates at each start, in 50 ms; no run needs one. */
const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;

/** Runs a Node process. `onStderr` is told of the first output there. */
function run(
  args: readonly string[],
  onStderr: () => void = () => {},
): Promise<{ readonly stdout: string; readonly endMs: number }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text) => (stdout += String(text)));
    child.stderr.once('data', onStderr).on('data', (text) => (stderr += String(text)));
    child.once('exit', (exitCode) => {
      const endMs = performance.now();
      child.once('close', () => (exitCode === 0 ? resolve({ stdout, endMs }) : reject(new Error(stderr))));
    });
  });
}

async function scoreOnce(shards: readonly string[], model: string): Promise<Run> {
  rmSync(output, { recursive: true, force: true });
  const cpuBefore = endedChildrenMs();
  const startMs = performance.now();
  let begunMs = NaN;
  const flags = ['--model', model, '--output', output, '--no-profile', '--progress', 'json', '--json'];
  const { stdout, endMs } = await run([command, 'score', ...shards, ...flags], () => (begunMs = performance.now()));
  const { ledger } = JSON.parse(stdout) as ScoreResult;
  const { scorers, wallSeconds } = ledger!;
  const spent = (...names: readonly string[]): number => {
    const seconds = scorers.flatMap(({ parts }) =>
      parts.filter(({ name }) => names.includes(name)).map((part) => part.seconds),
    );
    return (seconds.reduce((sum, each) => sum + each, 0) / scorers.length) * 1000;
  };
  const phases = {
    start: begunMs - startMs,
    warmUp: spent('warmUp'),
    read: spent('decode', 'storage'),
    featurize: spent('featurize'),
    score: spent('computing', 'search', 'newShapes'),
    write: spent('writer'),
    between: spent('handOver', 'idleTail'),
    end: endMs - begunMs - wallSeconds * 1000,
  };
  return { phases, totalMs: endMs - startMs, cpuMs: endedChildrenMs() - cpuBefore };
}

/** User's and system's time of children that have ended; NaN where the system does not tell. */
function endedChildrenMs(): number {
  if (process.platform !== 'linux') return NaN;
  // cutime and cstime, the 16th and 17th field, in hundredths of a second; the name before them may hold spaces: proc(5)
  const fields = readFileSync('/proc/self/stat', 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

/** Node that does nothing: what no program on it can be below. */
async function nodeAlone(): Promise<number> {
  const startMs = performance.now();
  return (await run(['--eval', '0'])).endMs - startMs;
}

async function main(): Promise<void> {
  const all = ensureWorkloads();
  const { models } = all;
  const shards = shardsWith(all, rowsPerShard);
  const workloads: readonly WorkloadName[] = workloadNames;
  for (const workload of workloads) {
    await scoreOnce(shards, models[workload]);
    checkOutput(
      await planScore({ shards, model: models[workload], output, useProfile: false }),
      workload,
      all.rowsPerShard,
    );
  }
  const [before, startedMs] = [coreSeconds(), performance.now()];
  const bare: number[] = [];
  const runs = new Map(workloads.map((workload) => [workload, [] as Run[]]));
  for (let round = 0; round < rounds; round++) {
    bare.push(await nodeAlone());
    for (const workload of workloads) runs.get(workload)!.push(await scoreOnce(shards, models[workload]));
  }
  const own = [...runs.values()].flat().reduce((sum, { cpuMs }) => sum + cpuMs / 1000, 0);
  const others = othersShare(before, coreSeconds(), own);
  const rows = workloads.map((workload) => rowOf(workload, runs.get(workload)!));
  console.log(formatTable(columns, rows));
  const { cpu, cores, node } = environment();
  console.log(
    `\n  ms, medians of ${rounds} rounds; ${shards.length} x ${rowsPerShard} rows; Node alone: ${median(bare).toFixed(0)}; ` +
      `wanted of the whole: ${targetMs}\n  ${cpu}, ${cores} cores, Node ${node}; ` +
      `others had ${(others * 100).toFixed(0)} % of the cores in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`,
  );
}

const phaseNames: readonly (keyof Phases)[] = [
  'start',
  'warmUp',
  'read',
  'featurize',
  'score',
  'write',
  'between',
  'end',
];
const columns = ['', ...phaseNames, 'whole', 'fastest', 'CPU time'].map((title, index) => ({
  title,
  align: index === 0 ? ('left' as const) : ('right' as const),
}));

function rowOf(workload: WorkloadName, runs: readonly Run[]): string[] {
  const middle = (value: (run: Run) => number): string => median(runs.map(value)).toFixed(0);
  const phases = phaseNames.map((name) => middle(({ phases }) => phases[name]));
  const fastest = Math.min(...runs.map(({ totalMs }) => totalMs)).toFixed(0);
  return [workload, ...phases, middle(({ totalMs }) => totalMs), fastest, middle(({ cpuMs }) => cpuMs)];
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
