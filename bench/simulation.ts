/**
 * Tandem on a larger machine, as numbers: stage rates measured on one kind of core, a GPU out of data sheets, and the
 * schedule of the product's own state machine. What it shows is who waits for whom, not how fast a GPU is.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deviceBuffersDefault } from '../src/limits.ts';
import { deviceSlots } from '../src/planning/devices.ts';
import { runVirtually, type VirtualRun } from '../src/testing/virtual-device.ts';
import type { CopyEngine, VirtualGpuOptions } from '../src/testing/virtual-gpu.ts';
import { median } from './measure.ts';

/** 32 float32 features, one float32 score. */
const inputBytesPerRow = 128;
const outputBytesPerRow = 4;
/** Pinned, each way and GPU. Source: nvbandwidth's published sample for PCIe 5 x16 says 55.6; 5 % less is assumed. */
export const copyBytesPerSecond = 53e9;
/** Assumed: what a copy takes before its first byte. */
export const copyLatencySeconds = 10e-6;
/** Assumed: one run of the model through ONNX Runtime and its kernels' launches. */
export const launchSeconds = 10e-6;
/** MLP 32-256-64-1: two operations for each weight. */
export const flopPerRow = 2 * (32 * 256 + 256 * 64 + 64 * 1);
/** H200's data sheet: float32 without tensor cores. */
export const peakFlopPerSecond = 67e12;
/** Assumed: layers of this size, one kernel after the other. */
export const peakShare = 0.5;
/**
 * Assumed: models of so many times the MLP's operations, with features of the same size. The second keeps one GPU
 * about as busy as 16 cores, the third lets all cores wait.
 */
export const modelFactors = [1, 16, 200];
/** Assumed: what the search for a batch size finds. */
export const batchRows = 65_536;
/** Assumed: of one machine with 1 to 8 GPUs; each has the rate that was measured with two cores busy. */
export const coresOfMachine = 16;
/** Assumed: 4 shards for each core, of a million rows. */
const shardsPerCore = 4;
export const shardRows = 1_000_000;

/** Rows per second and core with all cores busy. */
export interface CoreRates {
  readonly decode: number;
  readonly featurize: number;
  readonly write: number;
  /** File that they come from. */
  readonly source: string;
}

interface ResultsFile {
  readonly jobs: readonly {
    readonly workload: string;
    readonly stages: Readonly<Record<'decode' | 'featurize' | 'write', readonly number[]>>;
  }[];
}

/** Medians of the newest benchmark in `bench/results`: the date in its name, then the file's own. */
export function newestRates(): CoreRates {
  const folder = fileURLToPath(new URL('../../bench/results', import.meta.url));
  const date = (name: string): string => name.slice(0, '2026-01-01'.length);
  const savedMs = (name: string): number => statSync(join(folder, name)).mtimeMs;
  const [source] = readdirSync(folder)
    .filter((name) => /^[\d-]{11}\d+-cores.*\.json$/.test(name))
    .sort((a, b) => date(b).localeCompare(date(a)) || savedMs(b) - savedMs(a));
  if (source === undefined) throw new Error(`Expected a benchmark's results in ${folder}: run "npm run bench" first.`);
  const { jobs } = JSON.parse(readFileSync(join(folder, source), 'utf8')) as ResultsFile;
  const { decode, featurize, write } = jobs.find(({ workload }) => workload === 'w1-network')!.stages;
  return { decode: median(decode), featurize: median(featurize), write: median(write), source };
}

export interface Setup {
  readonly rates: CoreRates;
  readonly cores: number;
  readonly gpus: number;
  readonly buffers?: number;
  /** 1: the MLP. */
  readonly modelFactor: number;
  readonly rowsPerShard?: number;
}

export function secondsPerRow(modelFactor: number): number {
  return (modelFactor * flopPerRow) / (peakFlopPerSecond * peakShare);
}

/** Rows per second that no schedule can exceed, by what bounds them. */
export function boundsOf({ rates, cores, gpus, modelFactor }: Setup): Record<'cores' | 'copies' | 'compute', number> {
  const { decode, featurize, write } = rates;
  return {
    cores: cores / (1 / decode + 1 / featurize + 1 / write),
    copies: (gpus * copyBytesPerSecond) / inputBytesPerRow,
    compute: gpus / secondsPerRow(modelFactor),
  };
}

function copyEngine(bytesPerRow: number): CopyEngine {
  return { bytesPerSecond: copyBytesPerSecond, bytesPerRow, latencySeconds: copyLatencySeconds };
}

function virtualGpus({ gpus, buffers = deviceBuffersDefault, modelFactor }: Setup): VirtualGpuOptions[] {
  return Array.from({ length: gpus }, () => ({
    buffers,
    bufferRows: batchRows,
    batchSize: batchRows,
    copyIn: copyEngine(inputBytesPerRow),
    copyOut: copyEngine(outputBytesPerRow),
    computeSeconds: (rows: number) => launchSeconds + rows * secondsPerRow(modelFactor),
  }));
}

export interface Simulated {
  readonly run: VirtualRun;
  /** Of host memory that holds rows for the GPUs. */
  readonly slotBytes: number;
}

function rowsOf({ rowsPerShard = shardRows }: Setup): number[] {
  const shards = Math.ceil((coresOfMachine * shardsPerCore * shardRows) / rowsPerShard);
  return Array.from({ length: shards }, () => rowsPerShard);
}

/** Prepares, scores and writes side by side, with the slots that the product would plan. */
export function simulate(setup: Setup): Simulated {
  const { rates, cores } = setup;
  const gpus = virtualGpus(setup);
  const bytesPerRow = inputBytesPerRow + outputBytesPerRow;
  const { slotRows, slots: slotsPerThread } = deviceSlots(gpus, bytesPerRow, cores);
  const prep = {
    threads: cores,
    slotsPerThread,
    slotRows,
    fillSecondsPerRow: 1 / rates.decode + 1 / rates.featurize,
    writeSecondsPerRow: 1 / rates.write,
    spanRows: rowsOf(setup),
  };
  return {
    run: runVirtually({ prep, gpus, handOver: 'fewestRows' }),
    slotBytes: cores * slotsPerThread * slotRows * bytesPerRow,
  };
}

export interface Sequence {
  readonly prepareSeconds: number;
  /** Scoring and writing of what lies in memory. */
  readonly scoring: VirtualRun;
  readonly slotBytes: number;
}

/** Prepares everything, with all cores and without a wait; then scores and writes it. */
export function simulateSequence(setup: Setup): Sequence {
  const { rates, cores } = setup;
  const rowCount = rowsOf(setup).reduce((sum, rows) => sum + rows, 0);
  const slotRows = batchRows;
  const threadRows = Math.ceil(rowCount / cores);
  const slotsPerThread = Math.ceil(threadRows / slotRows);
  const spanRows = Array.from({ length: cores }, (_, core) => Math.min(threadRows, rowCount - core * threadRows));
  const prep = { threads: cores, slotsPerThread, slotRows, fillSecondsPerRow: 0 };
  return {
    prepareSeconds: (rowCount * (1 / rates.decode + 1 / rates.featurize)) / cores,
    scoring: runVirtually({
      prep: { ...prep, writeSecondsPerRow: 1 / rates.write, spanRows },
      gpus: virtualGpus(setup),
    }),
    slotBytes: rowCount * (inputBytesPerRow + outputBytesPerRow),
  };
}
