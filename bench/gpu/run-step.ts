/** Runs one step in a process of its own, for no longer than it may take. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { linesTo, type StepInput, type StepLine, type StepRecord, type StepSpec } from './step.ts';

/** The step's share of its limit; the rest is for starting, and for what takes longer than expected. */
const workShare = 0.75;
/** Enough to do everything once. */
const tinySeconds = 1.5;
/** Characters of what a step that died had to say. */
const lastWordsMax = 2_000;

const entryDefault = fileURLToPath(new URL('./step-process.js', import.meta.url));

/**
 * Never throws: what goes wrong is in the record. What the step started goes with it.
 * @param onFigure told each figure as it comes
 */
export async function runStep(
  spec: StepSpec,
  input: Omit<StepInput, 'seconds' | 'secondsMax'>,
  secondsMax: number,
  onFigure: (record: StepRecord) => void,
  entry = entryDefault,
): Promise<StepRecord> {
  const { number, name, question } = spec;
  const started = performance.now();
  const figures: Record<string, unknown> = {};
  let end: { status: StepRecord['status']; reason: string } | undefined;
  const record = (status: StepRecord['status'], reason?: string): StepRecord => {
    const seconds = Number(((performance.now() - started) / 1000).toFixed(2));
    return {
      number,
      name,
      question,
      status,
      ...(reason === undefined ? {} : { reason }),
      seconds,
      secondsMax,
      figures,
    };
  };
  mkdirSync(input.work, { recursive: true });
  const seconds = Math.min(secondsMax * workShare, input.tiny ? tinySeconds : Infinity);
  const full: StepInput = { ...input, seconds, secondsMax };
  // A group of its own, so that its children can be ended with it.
  const child = spawn(process.execPath, [entry, name, JSON.stringify(full)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const { kill, release } = endWithUs(child);
  const timer = setTimeout(() => {
    end = { status: 'timedOut', reason: `ended after ${secondsMax.toFixed(1)} s` };
    kill();
  }, secondsMax * 1000);
  let lastWords = '';
  const listen = (text: Buffer): void => void (lastWords = (lastWords + text.toString()).slice(-lastWordsMax));
  child.stdout!.on('data', listen);
  child.stderr!.on('data', listen);
  createInterface({ input: child.stdio[linesTo] as Readable }).on('line', (text) => {
    const line = parseLine(text);
    if (line?.kind === 'figure') {
      figures[line.name] = line.value;
      onFigure(record('done'));
    } else if (line !== undefined) end ??= { status: line.kind, reason: line.reason };
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.once('error', (error) => (lastWords += error.message));
    child.once('close', (...how) => resolve(how));
  });
  clearTimeout(timer);
  release();
  rmSync(input.work, { recursive: true, force: true });
  if (end === undefined && code !== 0) {
    return record('crashed', `ended with ${signal ?? code}: ${lastWords.trim()}`);
  }
  return record(end?.status ?? 'done', end?.reason);
}

/** `kill` ends the child and all that it has started; it happens by itself when this process is told to end. */
function endWithUs({ pid }: ChildProcess): { readonly kill: () => void; readonly release: () => void } {
  const kill = (): void => {
    try {
      process.kill(-pid!, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  };
  const onInterrupt = (): never => {
    kill();
    process.exit(130);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  signals.forEach((signal) => process.once(signal, onInterrupt));
  const release = (): void => {
    signals.forEach((signal) => process.off(signal, onInterrupt));
    kill();
  };
  return { kill, release };
}

/** The last line of a process that was ended may be half of one. */
function parseLine(text: string): StepLine | undefined {
  try {
    return JSON.parse(text) as StepLine;
  } catch {
    return undefined;
  }
}
