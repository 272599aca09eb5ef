/** One way, twice: undisturbed for its times and memory, then with its stacks sampled for where the CPU time went. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pythonFrames, sparkJvmFrames, synapseJvmFrames } from './frame-costs.ts';
import { drawFlameGraph, type AsyncProfiler } from './spark-jars.ts';
import { jvmStacksName, planName, pythonStacksName, runTrial, type Trial, type TrialSettings } from './spark-trial.ts';
import { costNames, formatCollapsed, parseCollapsed, shortenStacks, sumCosts } from './stacks.ts';
import type { CostName, Costs, FramePattern, Stack } from './stacks.ts';

export interface Dissection {
  /** Undisturbed. */
  readonly trial: Trial;
  /** The operators of the physical plan, outermost first. */
  readonly plan?: readonly string[];
  readonly jvm?: Costs;
  readonly workers?: Costs;
  /** Of the CPU time of JVM and workers together, which the undisturbed run says; of each what its samples say. */
  readonly shares?: Readonly<Record<CostName, number>>;
}

/** Samples a second: walking native stacks of several processes takes py-spy longer than more would allow. */
const pythonRate = 20;

/** Without a profiler: times, plan and memory alone. */
export async function dissect(settings: TrialSettings, profiler: AsyncProfiler | undefined): Promise<Dissection> {
  const trial = await runTrial(settings);
  if (settings.contestant === 'tandem') return { trial };
  const plan = planOf(readIfThere(join(settings.folder, planName)) ?? '');
  if (trial.outcome !== 'done' || profiler === undefined) return { trial, plan };
  const profiled = await runTrial({ ...settings, profiler: { library: profiler.library, pythonRate } });
  if (profiled.outcome !== 'done') return { trial: { ...trial, reason: `sampled: ${profiled.reason}` }, plan };
  const keep = (name: string): readonly Stack[] => {
    const path = join(settings.folder, name);
    const stacks = shortenStacks(parseCollapsed(readIfThere(path) ?? ''));
    writeFileSync(path, formatCollapsed(stacks));
    if (stacks.length > 0) drawFlameGraph(profiler, path, path.replace('.collapsed', '.html'));
    return stacks;
  };
  const ofJvm: readonly FramePattern[] = settings.contestant === 'synapse' ? synapseJvmFrames : sparkJvmFrames;
  const jvm = sumCosts(keep(jvmStacksName), ofJvm);
  const workers = sumCosts(keep(pythonStacksName).filter(isWorker), pythonFrames);
  // Shares of nothing would look like shares.
  if (jvm.samples === 0) return { trial: { ...trial, reason: 'sampled: the JVM left no stacks' }, plan };
  return { trial, plan, jvm, workers, shares: sharesOf(trial.cpuSecondsByKind, jvm, workers) };
}

/** py-spy puts the processes, from the root on, before the frames of each. */
function isWorker({ frames }: Stack): boolean {
  return frames.some((frame) => frame.startsWith('process ') && frame.includes('pyspark.daemon'));
}

/** The tree above the first blank line. */
export function planOf(explained: string): string[] {
  const lines = explained.split('\n');
  const start = lines.findIndex((line) => line.startsWith('== Physical Plan'));
  const end = lines.findIndex((line, index) => index > start && line.trim() === '');
  return start < 0 ? [] : lines.slice(start + 1, end < 0 ? undefined : end).map((line) => line.trimEnd());
}

/** Sum to 1: each process's samples, weighted with the CPU seconds of its kind. */
export function sharesOf(
  cpuSeconds: { readonly jvm: number; readonly worker: number },
  jvm: Costs,
  workers: Costs,
): Record<CostName, number> {
  const of = (costs: Costs, name: CostName): number => (costs.samples > 0 ? costs.byCost[name] / costs.samples : 0);
  const jvmSeconds = jvm.samples > 0 ? cpuSeconds.jvm : 0;
  const workerSeconds = workers.samples > 0 ? cpuSeconds.worker : 0;
  const all = jvmSeconds + workerSeconds;
  const share = (name: CostName): number =>
    all > 0 ? (of(jvm, name) * jvmSeconds + of(workers, name) * workerSeconds) / all : 0;
  return Object.fromEntries(costNames.map((name) => [name, share(name)])) as Record<CostName, number>;
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}
