/** What a command is, and what its handler is given. */
import type { KernelChoice, KernelOptions, Precision, RunOptions } from '../options.ts';
import { parseDevice } from '../engines/cuda/device-names.ts';
import { threadsMax } from '../limits.ts';
import type { LoadApi } from './api.ts';
import type { Arguments, CommandSpec, Flag } from './flags.ts';
import { toJson } from '../json.ts';
import type { Io } from './io.ts';
import { parseSize } from './size.ts';

export interface Command {
  readonly spec: CommandSpec;
  /** Gives the exit code. @throws TandemError */
  run(given: Arguments, io: Io, loadApi: LoadApi): Promise<number>;
}

/** Flags that mean the same in several commands. */
export const jsonFlag: Flag = { name: 'json', describe: 'End standard output with one JSON object and nothing else' };
export const threadsFlag: Flag = {
  name: 'threads',
  value: 'count',
  describe: 'Threads that read, featurize, score and write',
  otherwise: 'the cores this process may use',
};
export const batchSizeFlag: Flag = {
  name: 'batch-size',
  value: 'rows',
  describe: 'Rows of one model run',
  otherwise: 'measured at the start of the run',
};
export const memoryFlag: Flag = {
  name: 'memory',
  value: 'size',
  otherwise: 'what is free, less a tenth',
  describe: 'Memory that the process may use: 2GiB, 500MB or 60%',
};
export const keepFlag: Flag = {
  name: 'keep',
  value: 'columns',
  repeatable: true,
  otherwise: "the model's list, or all",
  describe: 'Columns to copy from the shards: a,b or none or all; a comma in a name is written \\,',
};
export const deviceFlag: Flag = {
  name: 'device',
  value: 'name',
  describe:
    "What scores: cpu, cuda (all GPUs), cuda:0,2, cuda:GPU-1f4c (a UUID's start), or auto (GPUs where there are any)",
  otherwise: 'cpu',
};
export const precisionFlag: Flag = {
  name: 'precision',
  value: 'name',
  choices: ['float32', 'tf32'],
  describe: 'Of float32 products on a GPU; tf32 is faster and gives other scores',
  otherwise: 'float32',
};
export const ortDirFlag: Flag = {
  name: 'ort-dir',
  value: 'folder',
  describe: "Folder with ONNX Runtime's CUDA provider",
  otherwise: 'where `tandem setup cuda` or pip put it',
};
export const gpuMemoryFlag: Flag = {
  name: 'gpu-memory',
  value: 'size',
  describe: 'Memory of each GPU that the run may hold, all included: 40GiB or 60%',
  otherwise: '90 % of what is free',
};
export const allowCpuNodesFlag: Flag = {
  name: 'allow-cpu-nodes',
  describe:
    'Score on a GPU although the model has nodes that only the CPU can run: each copies the batch there and back',
};
export const kernelsFlag: Flag = {
  name: 'kernels',
  value: 'name',
  choices: ['auto', 'kernel', 'onnxruntime'],
  describe:
    'What scores boosted trees and linear models on the CPU: a kernel of Tandem where it agrees (kernel) and is through sooner (auto), or ONNX Runtime',
  otherwise: 'auto',
};
export const treesFlag: Flag = {
  name: 'trees',
  value: 'name',
  choices: ['auto', 'onnxruntime'],
  describe: 'The same for boosted trees alone',
  otherwise: 'auto',
};
export const noProfileFlag: Flag = {
  name: 'no-profile',
  describe: 'Start with no profile that `tandem tune` or an earlier run has left, and leave none',
};
export const readerFlag: Flag = {
  name: 'reader',
  value: 'name',
  choices: ['duckdb', 'parquetjs'],
  otherwise: 'duckdb',
  describe: 'What reads Parquet; parquetjs is slow and needs no native library',
};

/** Rows of the longest batch that can be asked for; ONNX Runtime's kernels count in 32 bits. */
const batchSizeMax = 2 ** 31 - 1;

type CommonOptions = Pick<
  RunOptions,
  'threads' | 'batchSize' | 'device' | 'precision' | 'ortDir' | 'gpuMemory' | 'allowCpuNodes' | 'kernels' | 'trees'
>;

/** The flags `kernels` and `trees`. */
export function kernelOptions(given: Arguments): KernelOptions {
  const kernels = given.text('kernels') as KernelChoice | undefined;
  const trees = given.text('trees') as KernelOptions['trees'];
  return { ...(kernels === undefined ? {} : { kernels }), ...(trees === undefined ? {} : { trees }) };
}

/** What several commands take and hand to a run. @throws USAGE */
export function runOptions(given: Arguments): CommonOptions {
  const threads = given.count('threads', threadsMax);
  const batchSize = given.count('batch-size', batchSizeMax);
  const device = given.text('device');
  // A name that means nothing is found out before any file is opened.
  if (device !== undefined) parseDevice(device);
  const precision = given.text('precision') as Precision | undefined;
  const ortDir = given.text('ort-dir');
  const gpuMemory = given.text('gpu-memory');
  return {
    ...(threads === undefined ? {} : { threads }),
    ...(batchSize === undefined ? {} : { batchSize }),
    ...(device === undefined ? {} : { device }),
    ...(precision === undefined ? {} : { precision }),
    ...(ortDir === undefined ? {} : { ortDir }),
    ...(gpuMemory === undefined ? {} : { gpuMemory: parseSize('--gpu-memory', gpuMemory) }),
    ...(given.isOn('allow-cpu-nodes') ? { allowCpuNodes: true } : {}),
    ...kernelOptions(given),
  };
}

/** Writes a result: as people read it, or as JSON. */
export function printResult<T>(io: Io, given: Arguments, result: T, render: (result: T) => string): void {
  io.stdout.write(`${given.isOn('json') ? toJson(result, 2) : render(result)}\n`);
}

/** Says each warning once, whether it comes during the run or with its result. */
export function warner(say: (line: string) => void): (text: string) => void {
  const said = new Set<string>();
  return (text) => {
    if (said.has(text)) return;
    said.add(text);
    say(`warning: ${text}`);
  };
}
