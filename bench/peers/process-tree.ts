/** Runs a program and measures it and everything that it starts, from outside. Linux only: it reads /proc. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { coreSeconds, othersShare } from '../environment.ts';
import { CpuLedger, parseStat, type ProcessSample } from './cpu-ledger.ts';

export interface Line {
  readonly stream: 'stdout' | 'stderr';
  /** Unix seconds of its arrival. */
  readonly at: number;
  readonly text: string;
}

export interface TreeCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Then all of it is killed. */
  readonly secondsMax: number;
  /** Told of all processes of the tree, ten times a second. */
  readonly onSample?: (members: readonly ProcessSample[]) => void;
}

export interface TreeRun {
  /** Null: it was killed. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  /** From the start of the program to its end. */
  readonly wallSeconds: number;
  /** User and system, of all processes. */
  readonly cpuSeconds: number;
  /** Largest sum over the processes at one moment; pages that several share count in each. */
  readonly peakRssBytes: number;
  /** The same with shared pages divided among those who share; NaN where the system does not tell. */
  readonly peakPssBytes: number;
  readonly processesMax: number;
  /** Of the cores' time, meanwhile, without this process. */
  readonly othersShare: number;
  readonly lines: readonly Line[];
}

const interrupts = ['SIGINT', 'SIGTERM'] as const;
const sampleIntervalMs = 100;
/** The kernel walks all pages for it, so it is asked less often. */
const samplesPerPss = 3;
/** What a program prints is kept up to here. */
const linesMax = 10_000;
/** Unit of /proc/<pid>/stat on every Linux. */
const ticksPerSecond = 100;

/** @throws Error when the program cannot be started */
export async function runTree(command: TreeCommand): Promise<TreeRun> {
  const pageBytes = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'latin1' }));
  const foreign = new Set(pids());
  const [before, ownBefore] = [coreSeconds(), ownSeconds()];
  const waitedBefore = waitedTicks();
  const startedMs = performance.now();
  const child = await start(command);
  const sampler = new Sampler(child.pid!, foreign, pageBytes, command.onSample);
  const lines: Line[] = [];
  collect(child.stdout!, 'stdout', lines);
  collect(child.stderr!, 'stderr', lines);
  const closed = new Promise((resolve) => child.once('close', resolve));
  let timedOut = false;
  const limit = setTimeout(() => {
    timedOut = true;
    sampler.kill();
  }, command.secondsMax * 1000);
  // Its group is not the terminal's, so that an interrupt reaches only this process.
  const killAtExit = (): void => sampler.kill();
  const exit = (): never => process.exit(130);
  process.once('exit', killAtExit);
  interrupts.forEach((signal) => process.once(signal, exit));
  const timer = setInterval(() => sampler.sample(), sampleIntervalMs);
  const exitCode = await new Promise<number | null>((resolve) => child.once('exit', resolve));
  const wallSeconds = (performance.now() - startedMs) / 1000;
  clearInterval(timer);
  clearTimeout(limit);
  sampler.sample();
  const cpuSeconds = sampler.cpuTicks(waitedTicks() - waitedBefore) / ticksPerSecond;
  const others = othersShare(before, coreSeconds(), cpuSeconds + ownSeconds() - ownBefore);
  // What outlives its parent would keep the pipes open, and the cores busy in the next run.
  sampler.kill();
  process.off('exit', killAtExit);
  interrupts.forEach((signal) => process.off(signal, exit));
  await closed;
  const { peakRssBytes, peakPssBytes, processesMax } = sampler;
  const measured = { wallSeconds, cpuSeconds, peakRssBytes, peakPssBytes, processesMax, othersShare: others };
  return { exitCode, timedOut, ...measured, lines };
}

async function start({ file, args, env }: TreeCommand): Promise<ChildProcess> {
  const child = spawn(file, args, {
    detached: true,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  return child;
}

function collect(from: Readable, stream: Line['stream'], lines: Line[]): void {
  createInterface({ input: from }).on('line', (text) => {
    if (lines.length < linesMax) lines.push({ stream, at: Date.now() / 1000, text });
  });
}

function ownSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Of children of this process that ended. */
function waitedTicks(): number {
  return parseStat(readFileSync('/proc/self/stat', 'latin1')).waitedTicks;
}

class Sampler {
  readonly #rootPid: number;
  readonly #ledger: CpuLedger;
  /** Pids that were there before: a look at each of them, each time, would cost more than the tree itself. */
  readonly #foreign: ReadonlySet<string>;
  readonly #pageBytes: number;
  readonly #onSample: TreeCommand['onSample'];
  #members: readonly ProcessSample[] = [];
  #count = 0;
  peakRssBytes = 0;
  peakPssBytes = NaN;
  processesMax = 0;

  constructor(rootPid: number, foreign: ReadonlySet<string>, pageBytes: number, onSample: TreeCommand['onSample']) {
    this.#rootPid = rootPid;
    this.#ledger = new CpuLedger(rootPid);
    this.#foreign = foreign;
    this.#pageBytes = pageBytes;
    this.#onSample = onSample;
    this.sample();
  }

  sample(): void {
    const samples = pids()
      .filter((pid) => !this.#foreign.has(pid))
      .flatMap((pid) => {
        const text = readIfThere(`/proc/${pid}/stat`);
        return text === undefined ? [] : [parseStat(text)];
      });
    this.#members = this.#ledger.take(samples);
    this.#onSample?.(this.#members);
    this.processesMax = Math.max(this.processesMax, this.#members.length);
    const pages = this.#members.reduce((sum, { residentPages }) => sum + residentPages, 0);
    this.peakRssBytes = Math.max(this.peakRssBytes, pages * this.#pageBytes);
    if (this.#count++ % samplesPerPss === samplesPerPss - 1) this.#samplePss();
  }

  cpuTicks(rootWaitedTicks: number): number {
    return this.#ledger.totalTicks(rootWaitedTicks);
  }

  /** The root's group, and whoever of the tree has left it. */
  kill(): void {
    this.sample();
    for (const target of [-this.#rootPid, ...this.#members.map(({ pid }) => pid)]) {
      try {
        process.kill(target, 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  #samplePss(): void {
    const sizes = this.#members.map(({ pid }) =>
      Number(/^Pss:\s+(\d+) kB/m.exec(readIfThere(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? NaN),
    );
    const sum = sizes.filter((size) => !Number.isNaN(size)).reduce((total, size) => total + size * 1024, 0);
    if (sum > 0) this.peakPssBytes = Math.max(Number.isNaN(this.peakPssBytes) ? 0 : this.peakPssBytes, sum);
  }
}

function pids(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

/** Undefined: the process has ended. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
