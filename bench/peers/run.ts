/**
 * The same work in Tandem and in what others would use: the benchmark's shards and models, id and score written as
 * Parquet. Answers are compared before anything is timed, and after every timed run; the peers take turns.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { counted } from '../../src/cli/format.ts';
import { renderChart } from '../chart.ts';
import {
  defaultFolder,
  ensureWorkloads,
  shardCount,
  workloadNames,
  type WorkloadName,
  type Workloads,
} from '../data.ts';
import { coreSeconds, environment, othersShare } from '../environment.ts';
import { peers } from './peers.ts';
import type { Peer } from './peer.ts';
import { pythonWith } from './python.ts';
import { Arena, runRounds, type Contestant, type Failure, type ReadyPeer, type Task } from './rounds.ts';
import { shardsWith } from './subset.ts';
import { chartOf, inOrder, renderConditions, renderStandings, standings } from './table.ts';
import { tandem } from './tandem.ts';

/** Of a shard, for the answers that are looked at before anything is timed. */
const answerRows = 50_000;
const root = fileURLToPath(new URL('../../../', import.meta.url));

async function readFlags() {
  const list = peers.map(({ name, describe }) => `  ${name.padEnd(15)} ${describe}`);
  return yargs(process.argv.slice(2))
    .scriptName('npm run bench:peers --')
    .usage(
      `$0 [flags]\n\nThe same shards and models in Tandem and in others, as their documentation recommends; needs python3 ` +
        `with venv and pip, which installs pinned versions into bench/data. Linux only.\n\nPeers:\n${list.join('\n')}` +
        `\n\nWorkloads: ${workloadNames.join(', ')}`,
    )
    .options({
      peers: { type: 'string', describe: 'Only these: polars-proc,ray (Tandem is always run)' },
      workloads: { type: 'string', describe: 'Only these: w1-network,w3-trees, or w1,w3' },
      rounds: { type: 'number', default: 3, describe: 'How often each peer has its turn' },
      rows: { type: 'number', default: 10_000_000, describe: 'Of all shards together; some peers get fewer' },
      seconds: { type: 'number', default: 900, describe: 'A run that takes longer is killed, and the peer is out' },
      out: { type: 'string', describe: 'Results file (otherwise: bench/results/<date>-peers-<CPU>.json)' },
    })
    .example('$0 --rows 200000 --rounds 1', 'A look at whether everything works, a few minutes')
    .example('$0 --peers polars-proc,pyarrow-proc --workloads w2', 'Two peers, one model')
    .strict()
    .wrap(110)
    .version(false)
    .locale('en')
    .check(({ rounds, rows, seconds, ...given }) => {
      if (!(Number.isInteger(rounds) && rounds >= 1)) throw new RangeError('Expected --rounds to be at least 1.');
      if (!(rows >= shardCount)) throw new RangeError(`Expected --rows to be at least ${shardCount}.`);
      if (!(seconds > 0)) throw new RangeError('Expected --seconds to be a number above 0.');
      chosen(
        '--peers',
        given.peers,
        peers.map(({ name }) => name),
      );
      chosen('--workloads', given.workloads, workloadNames);
      return true;
    })
    .parseAsync();
}

/** Names of a list, or what they begin with. @throws RangeError for what is none, or several */
function chosen<Name extends string>(flag: string, list: string | undefined, names: readonly Name[]): readonly Name[] {
  if (list === undefined) return names;
  return list.split(',').map((text) => {
    const found = names.find((name) => name === text) ?? names.filter((name) => name.startsWith(`${text}-`));
    if (typeof found === 'string') return found;
    if (found.length === 1) return found[0]!;
    throw new RangeError(`Expected ${flag} to be some of ${names.join(', ')}, got \`${text}\`.`);
  });
}

function prepare(wanted: readonly Peer[], failures: Failure[]): readonly ReadyPeer[] {
  return wanted.flatMap((peer) => {
    try {
      return [{ peer, python: peer.requirements === undefined ? '' : pythonWith(peer.requirements) }];
    } catch (error) {
      const reason = (error as Error).message;
      failures.push({ peer: peer.name, workload: undefined, reason });
      say(`${peer.name}: ${reason}`);
      return [];
    }
  });
}

/** A few rows first, then the rounds with those whose answers were right. */
async function compareOn(
  arena: Arena,
  workload: WorkloadName,
  ready: readonly ReadyPeer[],
  workloads: Workloads,
  flags: { readonly rows: number; readonly rounds: number },
): Promise<Awaited<ReturnType<typeof runRounds>>> {
  const taskOf = (rowsPerShard: number): Task => ({
    workload,
    modelFolder: workloads.models[workload],
    shards: shardsWith(workloads, rowsPerShard),
    rows: Math.min(rowsPerShard, workloads.rowsPerShard) * shardCount,
  });
  const rowsPerShard = Math.floor(flags.rows / shardCount);
  const runner = { peer: tandem, python: '' };
  const able = ready.filter(({ peer }) => peer.workloads.includes(workload));
  say(`${workload}: answers`);
  const few = taskOf(Math.min(answerRows, rowsPerShard));
  const onFew = able.map((one) => [one, few] as const);
  const answers = await runRounds(arena, runner, [few], onFew, { rounds: 1, say: () => {} });
  for (const { peer, reason } of answers.failures) say(`${workload}, ${peer}: ${reason}`);
  const right = able.filter(({ peer }) => !answers.failures.some((failure) => failure.peer === peer.name));
  const entries = right.map((one) => [one, taskOf(Math.min(one.peer.rowsMax, rowsPerShard))] as const);
  // All rows even where nobody else has them: Tandem's steady state is taken from there.
  const all = taskOf(rowsPerShard);
  const tasks = new Map([all, ...entries.map(([, task]) => task)].map((task) => [task.rows, task]));
  const { contestants, failures } = await runRounds(arena, runner, [...tasks.values()], entries, {
    rounds: flags.rounds,
    say,
  });
  return { contestants, failures: [...answers.failures, ...failures] };
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(): Promise<void> {
  const flags = await readFlags();
  const failures: Failure[] = [];
  const names = chosen(
    '--peers',
    flags.peers,
    peers.map(({ name }) => name),
  );
  const ready = prepare(
    peers.filter((peer) => peer !== tandem && names.includes(peer.name)),
    failures,
  );
  const workloads = ensureWorkloads();
  // Its own: another benchmark may be running.
  const runsFolder = join(defaultFolder, `peers-${process.pid}`);
  process.once('exit', () => rmSync(runsFolder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const arena = new Arena(runsFolder, flags.seconds);
  const conditions = environment();
  const [before, startedMs] = [coreSeconds(), performance.now()];
  const contestants: Contestant[] = [];
  for (const workload of chosen('--workloads', flags.workloads, workloadNames)) {
    const compared = await compareOn(arena, workload, ready, workloads, flags);
    contestants.push(...compared.contestants);
    failures.push(...compared.failures);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage();
  const own = (user + system) / 1e6 + arena.cpuSeconds;
  const others = othersShare(before, coreSeconds(), own);
  const lines = inOrder(standings(contestants));
  const shown = renderConditions(conditions, flags.rounds, others, seconds);
  console.log(`${shown}\n\n${renderStandings(lines, failures)}`);
  const { rounds, rows } = flags;
  const { versions } = arena;
  const results = { version: 1, environment: conditions, versions, rounds, rows, seconds, othersShare: others };
  const path = save(conditions.cpu, { ...results, standings: lines, failures, contestants }, flags.out);
  const chart = path.replace(/(\.json)?$/, '.svg');
  await renderChart(
    chartOf(lines, `${conditions.cores} cores, ${conditions.cpu}; medians of ${counted(rounds, 'round')}`),
    chart,
  );
  console.log(`\nruns and environment: ${path}\nchart: ${chart}`);
  if (failures.length > 0) process.exitCode = 1;
}

/** Path of the file. Where things lie on this machine is nobody's business. */
function save(cpu: string, results: object, out: string | undefined): string {
  const name = cpu
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  const path = out ?? join(root, 'bench', 'results', `${new Date().toISOString().slice(0, 10)}-peers-${name}.json`);
  mkdirSync(dirname(path), { recursive: true });
  const rounded = (_key: string, value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(5)) : value;
  const places = [defaultFolder, root, homedir()];
  const text = places.reduce((current, place) => current.replaceAll(place, '…/'), JSON.stringify(results, rounded, 1));
  writeFileSync(path, `${text}\n`);
  return path;
}

await main();
