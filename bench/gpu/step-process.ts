/** The process of one step: it may crash or hang without harm to the others. Argument and lines are JSON. */
import { writeSync } from 'node:fs';
import { linesTo, SkippedStep, type RunStep, type StepInput, type StepLine } from './step.ts';

const runners: Readonly<Record<string, () => Promise<RunStep>>> = {
  prepare: async () => (await import('./prepare.ts')).prepare,
  provider: async () => (await import('./provider.ts')).provider,
  pinned: async () => (await import('./pinned.ts')).pinned,
  streams: async () => (await import('./streams.ts')).streams,
  ceiling: async () => (await import('./sweeps.ts')).ceiling,
  memory: async () => (await import('./sweeps.ts')).memory,
  'out-of-memory': async () => (await import('./out-of-memory.ts')).outOfMemory,
  'batch-size': async () => (await import('./batch-size.ts')).batchSize,
  jobs: async () => (await import('./jobs.ts')).jobs,
  counters: async () => (await import('./counters.ts')).counters,
  'flat-memory': async () => (await import('./flat-memory.ts')).flatMemory,
  variants: async () => (await import('./variants.ts')).variants,
  fuse: async () => (await import('./fuse.ts')).fuse,
  python: async () => (await import('./python.ts')).python,
};

/** Written at once, so that a crash loses nothing that was said before. */
function say(line: StepLine): void {
  writeSync(linesTo, `${JSON.stringify(line, plain)}\n`);
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(6)) : value;
}

const [name, json] = process.argv.slice(2) as [string, string];
const input = JSON.parse(json) as StepInput;
const startedMs = performance.now();
try {
  const run = await runners[name]!();
  await run({
    ...input,
    record: (figure, value) => say({ kind: 'figure', name: figure, value }),
    secondsLeft: () => input.seconds - (performance.now() - startedMs) / 1000,
  });
} catch (error) {
  if (error instanceof SkippedStep) say({ kind: 'skipped', reason: error.message });
  else say({ kind: 'failed', reason: (error as Error).stack ?? String(error) });
}
