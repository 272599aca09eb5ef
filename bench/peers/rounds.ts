/** One run of a peer, its answer checked; and all peers of a workload in turn, round after round. */
import { existsSync, mkdirSync, openSync, readFileSync, readSync, closeSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkloadName } from '../data.ts';
import { compareOutputs, countRows } from './compare.ts';
import { jobOf, type JobFile, type Peer, type PeerResult } from './peer.ts';
import { runTree, type TreeRun } from './process-tree.ts';

/** What was measured of one run. */
export interface PeerRun extends Omit<TreeRun, 'exitCode' | 'timedOut' | 'lines'> {
  /** From the first batch that reached the scorer until the output was closed. */
  readonly steadySeconds: number;
  /** Largest distance from Tandem's scores; 0 for Tandem. */
  readonly differenceMax: number;
}

/** A peer with the rows that it gets; its runs, one for each round. */
export interface Contestant {
  readonly workload: WorkloadName;
  readonly peer: string;
  /** Of all shards together. */
  readonly rows: number;
  readonly runs: readonly PeerRun[];
}

export interface Failure {
  readonly peer: string;
  /** Undefined: it could not be set up at all. */
  readonly workload: WorkloadName | undefined;
  readonly reason: string;
}

/** A peer that is ready to run. */
export interface ReadyPeer {
  readonly peer: Peer;
  /** Of its virtual environment; empty without Python. */
  readonly python: string;
}

export interface Task {
  readonly workload: WorkloadName;
  readonly modelFolder: string;
  readonly shards: readonly string[];
  readonly rows: number;
}

/** ONNX Runtime would write reports for its maker into the home folder; Tandem's does not. */
const quietEnvironment = { ORT_DISABLE_TELEMETRY: '1' };
/** Last lines of a program that failed. */
const linesShown = 8;

/** Where peers run, one after the other. */
export class Arena {
  readonly #folder: string;
  readonly #secondsMax: number;
  /** Of all runs so far. */
  cpuSeconds = 0;
  /** By peer. */
  readonly versions: Record<string, PeerResult['versions']> = {};

  /** `folder`: for jobs and outputs, this arena's own. `secondsMax`: of one run. */
  constructor(folder: string, secondsMax: number) {
    this.#folder = folder;
    this.#secondsMax = secondsMax;
  }

  /**
   * Runs a peer in an empty folder, which is left for comparing. `reference`: the name of the run whose output holds
   * Tandem's scores of the same rows; undefined: this is it.
   * @throws Error when the program fails, takes too long, or what it wrote is not what Tandem wrote
   */
  async run({ peer, python }: ReadyPeer, task: Task, reference: string | undefined): Promise<PeerRun> {
    const name = reference === undefined ? `${peer.name}-${task.rows}` : peer.name;
    const job = emptyJob(task, join(this.#folder, name));
    const jobPath = join(this.#folder, name, 'job.json');
    writeFileSync(jobPath, JSON.stringify(job));
    const { file, args, env } = peer.command(job, python, jobPath);
    const tree = await runTree({ file, args, env: { ...quietEnvironment, ...env }, secondsMax: this.#secondsMax });
    const { exitCode, timedOut, lines, ...measured } = tree;
    this.cpuSeconds += measured.cpuSeconds;
    if (timedOut) throw new Error(`Expected an end within ${this.#secondsMax} s, got none.`);
    if (exitCode !== 0) {
      const said = lines.slice(-linesShown).map(({ text }) => text);
      throw new Error(`Expected exit code 0, got ${exitCode}: ${said.join(' | ')}`);
    }
    const result = resultOf(peer, job, tree);
    this.versions[peer.name] = result.versions;
    const rows = countRows(job.output);
    if (rows !== task.rows || result.rows !== task.rows) {
      throw new Error(`Expected ${task.rows} rows, got ${rows} in the output, ${result.rows} by its own count.`);
    }
    const differenceMax =
      reference === undefined ? 0 : compareOutputs(join(this.#folder, reference, 'output'), job.output).differenceMax;
    return { ...measured, steadySeconds: result.closedAt - result.firstBatchAt, differenceMax };
  }
}

function emptyJob(task: Task, folder: string): JobFile {
  rmSync(folder, { recursive: true, force: true });
  const job = jobOf(task.modelFolder, task.shards, folder);
  mkdirSync(job.output, { recursive: true });
  return job;
}

function resultOf(peer: Peer, job: JobFile, { lines }: TreeRun): PeerResult {
  if (peer.resultOf !== undefined) return peer.resultOf(lines);
  if (!existsSync(job.result)) throw new Error('Expected a result file, got none.');
  return JSON.parse(readFileSync(job.result, 'utf8')) as PeerResult;
}

/** A peer with its task, and what became of it so far. */
interface Place {
  readonly ready: ReadyPeer;
  readonly task: Task;
  readonly runs: PeerRun[];
  failed: boolean;
}

export interface RoundsOptions {
  readonly rounds: number;
  readonly say: (text: string) => void;
}

/**
 * The peers in turn, as often as there are rounds, so that a slow minute of the machine slows all of them. Tandem runs
 * first in each round, and its scores are what the others' are compared with. A peer that fails once is out, with its
 * reason. `tandemTasks`: one for each number of rows that somebody has.
 */
export async function runRounds(
  arena: Arena,
  tandem: ReadyPeer,
  tandemTasks: readonly Task[],
  others: readonly (readonly [ReadyPeer, Task])[],
  { rounds, say }: RoundsOptions,
): Promise<{ readonly contestants: readonly Contestant[]; readonly failures: readonly Failure[] }> {
  const place = (ready: ReadyPeer, task: Task): Place => ({ ready, task, runs: [], failed: false });
  const places = [
    ...tandemTasks.map((task) => place(tandem, task)),
    ...others.map(([ready, task]) => place(ready, task)),
  ];
  const failures: Failure[] = [];
  for (const task of tandemTasks) task.shards.forEach(warm);
  for (let round = 0; round < rounds; round++) {
    for (const entry of places.filter(({ failed }) => !failed)) {
      const { ready, task, runs } = entry;
      const { name } = ready.peer;
      try {
        const reference = ready === tandem ? undefined : `${tandem.peer.name}-${task.rows}`;
        const run = await arena.run(ready, task, reference);
        runs.push(run);
        say(`${task.workload}, round ${round + 1}, ${name}: ${run.wallSeconds.toFixed(1)} s for ${task.rows} rows`);
      } catch (error) {
        // Without Tandem's scores there is nothing to compare with.
        if (ready === tandem) throw error;
        entry.failed = true;
        failures.push({ peer: name, workload: task.workload, reason: (error as Error).message });
        say(`${task.workload}, ${name}: ${(error as Error).message}`);
      }
    }
  }
  const finished = places.filter(({ failed }) => !failed);
  const contestants = finished.map(({ ready, task, runs }) => {
    return { workload: task.workload, peer: ready.peer.name, rows: task.rows, runs };
  });
  return { contestants, failures };
}

/** Reads a file once, so that nobody's first round is read from storage. */
function warm(path: string): void {
  const buffer = Buffer.alloc(2 ** 22);
  const file = openSync(path, 'r');
  while (readSync(file, buffer) > 0);
  closeSync(file);
}
