/**
 * The benchmark: every stage against its own limit on one core, then whole jobs against what the stages allow when all
 * cores are busy. Answers are checked before anything is timed. Files are in the page cache.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planScore, type RunPlan, type ScoreOptions } from '../src/index.ts';
import { defaultFolder, ensureWorkloads, workloadNames, type WorkloadName } from './data.ts';
import { coreSeconds, environment, othersShare, type Environment } from './environment.ts';
import { checkOutput, runJob, type JobRun } from './job.ts';
import { takesNoArguments } from './help.ts';
import { median, StageThread, timeInTurn, timeTogether, type JobStage, type StageName } from './measure.ts';
import { batchSizes } from './score.ts';
import { batchSizeLine, jobLines, ledgerLine, renderLines, stageLine, type Line } from './table.ts';

const rounds = 3;
/** Of one contestant in one round. */
const secondsAlone = 0.3;
const secondsTogether = 0.5;

const stageNames: readonly JobStage[] = ['decode', 'featurize', 'score', 'write'];

/** What was measured of one workload's whole job, one entry for each round. */
export interface JobRounds {
  readonly workload: WorkloadName;
  readonly plan: RunPlan;
  /** Rows per second and core with all cores busy. */
  readonly stages: Readonly<Record<JobStage, readonly number[]>>;
  /** The same of the score stage by batch size; only for the workload in which it matters. */
  readonly sizes: Readonly<Record<string, readonly number[]>>;
  readonly runs: readonly JobRun[];
  /** Of the cores' time during each run. */
  readonly othersShares: readonly number[];
}

const output = join(defaultFolder, 'output');

/** W3 takes the first shard only, which all threads then share. */
function shardsOf(workload: WorkloadName, shards: readonly string[]): readonly string[] {
  return workload === 'w3-trees' ? shards.slice(0, 1) : shards;
}

async function timeStagesAlone(plans: ReadonlyMap<WorkloadName, RunPlan>): Promise<Line[]> {
  const lines: Line[] = [];
  const cases: readonly (readonly [StageName, WorkloadName])[] = [
    ['decode', 'w1-network'],
    ['featurize', 'w1-network'],
    ['score', 'w1-network'],
    ['score', 'w2-logistic'],
    ['score', 'w3-trees'],
    ['write', 'w1-network'],
    ['ledger', 'w2-logistic'],
  ];
  for (const [stage, workload] of cases) {
    say(`${stage}, one core (${workload})`);
    const thread = await StageThread.open({ stage, workload, plan: plans.get(workload)!, threadIndex: 0 });
    const contestants = thread.contestants.filter((name) => !name.startsWith('size'));
    const rates = await timeInTurn(thread, contestants, rounds, secondsAlone);
    lines.push(stage === 'ledger' ? ledgerLine(rates) : stageLine(stage, workload, rates, thread.batchSize));
    await thread.close();
  }
  return lines;
}

async function openThreads(stage: StageName, workload: WorkloadName, plan: RunPlan): Promise<StageThread[]> {
  const threads: StageThread[] = [];
  for (let threadIndex = 0; threadIndex < availableParallelism(); threadIndex++) {
    threads.push(await StageThread.open({ stage, workload, plan, threadIndex }));
  }
  return threads;
}

/** Stages and job in turn, so that a slow minute of the machine slows both. */
async function timeJob(workload: WorkloadName, plan: RunPlan, options: ScoreOptions): Promise<JobRounds> {
  say(`whole job (${workload})`);
  const threads = new Map<JobStage, readonly StageThread[]>();
  for (const stage of stageNames) threads.set(stage, await openThreads(stage, workload, plan));
  const stages: Record<JobStage, number[]> = { decode: [], featurize: [], score: [], write: [] };
  const sizes: Record<string, number[]> = {};
  const runs: JobRun[] = [];
  const othersShares: number[] = [];
  await runJob(options);
  checkOutput(plan, workload);
  for (let round = 0; round < rounds; round++) {
    for (const stage of stageNames) {
      stages[stage].push(await timeTogether(threads.get(stage)!, 'ours', secondsTogether));
    }
    for (const size of workload === 'w1-network' ? batchSizes : []) {
      (sizes[size] ??= []).push(await timeTogether(threads.get('score')!, `size ${size}`, secondsTogether));
    }
    const before = coreSeconds();
    const run = await runJob(options);
    othersShares.push(othersShare(before, coreSeconds(), run.cpuSeconds));
    runs.push(run);
  }
  for (const group of threads.values()) await Promise.all(group.map((thread) => thread.close()));
  return { workload, plan, stages, sizes, runs, othersShares };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(): Promise<void> {
  const { shards, models } = ensureWorkloads();
  rmSync(output, { recursive: true, force: true });
  const conditions = environment();
  const [before, startedMs] = [coreSeconds(), performance.now()];
  const plans = new Map<WorkloadName, RunPlan>();
  const optionsOf = (workload: WorkloadName) => ({
    shards: shardsOf(workload, shards),
    model: models[workload],
    output: join(output, workload),
    overwrite: true,
    useProfile: false,
  });
  for (const workload of workloadNames) plans.set(workload, await planScore(optionsOf(workload)));
  const lines = await timeStagesAlone(plans);
  const jobs: JobRounds[] = [];
  for (const workload of workloadNames) {
    const job = await timeJob(workload, plans.get(workload)!, optionsOf(workload));
    jobs.push(job);
    lines.push(...jobLines(job));
    if (Object.keys(job.sizes).length > 0) lines.push(batchSizeLine(job));
  }
  rmSync(output, { recursive: true, force: true });
  const { user, system } = process.cpuUsage();
  // Each job also ran once to be checked; its cost is about that of the others.
  const jobSeconds = jobs.map(({ runs }) => median(runs.map((run) => run.cpuSeconds)) * (runs.length + 1));
  const own = (user + system) / 1e6 + jobSeconds.reduce((sum, seconds) => sum + seconds, 0);
  const others = othersShare(before, coreSeconds(), own);
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(renderLines(lines, conditions, others, seconds));
  const results = { environment: conditions, othersShare: others, seconds, lines, jobs: jobs.map(plain) };
  const path = save({ version: 1, ...results });
  console.log(`\nrounds and environment: ${path}`);
}

/** A job without its plan. */
function plain({ plan: _plan, ...rounds }: JobRounds): Omit<JobRounds, 'plan'> {
  return rounds;
}

interface Results {
  readonly version: 1;
  readonly environment: Environment;
  /** Of the cores' time, over the whole benchmark. */
  readonly othersShare: number;
  readonly seconds: number;
  readonly lines: readonly Line[];
  readonly jobs: readonly Omit<JobRounds, 'plan'>[];
}

function save(results: Results): string {
  const folder = fileURLToPath(new URL('../../bench/results', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${new Date().toISOString().slice(0, 10)}-${results.environment.cores}-cores.json`);
  // Where the outputs lay on this machine is nobody's business.
  const rounded = (key: string, value: unknown): unknown =>
    key === 'output' ? undefined : typeof value === 'number' ? Number(value.toPrecision(4)) : value;
  writeFileSync(path, `${JSON.stringify(results, rounded, 1)}\n`);
  return path;
}

takesNoArguments(
  'npm run bench\n\nTimes every stage on one core and whole jobs on all of them, after their answers have been checked: some minutes, ' +
    'and 1.3 GB of shards in bench/data the first time. Prints a table and leaves it in bench/results.',
);
await main();
