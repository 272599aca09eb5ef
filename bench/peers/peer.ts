/** What a peer is: a program that does the benchmark's work, and what it is told and tells. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { WorkloadName } from '../data.ts';
import type { Line } from './process-tree.ts';

/** A column of the model's input. Without mean and std it is taken as it is; without lo and hi it is not clipped. */
export interface JobFeature {
  readonly column: string;
  readonly mean?: number;
  readonly std?: number;
  readonly lo?: number;
  readonly hi?: number;
}

/** job.json, whose path a peer's process gets. Paths are absolute. */
export interface JobFile {
  readonly shards: readonly string[];
  /** Path of model.onnx; tandem.json lies beside it. */
  readonly model: string;
  readonly features: readonly JobFeature[];
  readonly inputName: string;
  readonly outputName: string;
  /** An empty folder, for Parquet files with the columns id (BIGINT) and score (FLOAT), in any order of rows. */
  readonly output: string;
  /** Where the process writes its PeerResult, as JSON. */
  readonly result: string;
  /** Cores. */
  readonly workers: number;
}

/** What a peer says of itself; the rest is measured from outside. */
export interface PeerResult {
  readonly rows: number;
  /** Unix seconds: the session is made and the first batch has reached it. */
  readonly firstBatchAt: number;
  /** Unix seconds: the output is closed. */
  readonly closedAt: number;
  /** By the name of the library. */
  readonly versions: Readonly<Record<string, string>>;
}

export interface PeerCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Peer {
  readonly name: string;
  /** What it is, in a few words. */
  readonly describe: string;
  /** A requirements file beside the scripts; undefined: no Python. */
  readonly requirements: string | undefined;
  /** `jobPath`: where `job` lies. `python`: of the virtual environment, empty without requirements. */
  command(job: JobFile, python: string, jobPath: string): PeerCommand;
  /** Rows of a shard that it gets at most; slow ones run on a subset. Infinity: all. */
  readonly rowsMax: number;
  readonly workloads: readonly WorkloadName[];
  /** For a program that writes no result of its own: the result from what it printed. */
  resultOf?(lines: readonly Line[]): PeerResult;
}

interface Contract {
  readonly model: string;
  readonly inputs: Readonly<Record<string, readonly ContractFeature[]>>;
  readonly outputs: Readonly<Record<string, string>>;
}

interface ContractFeature {
  readonly column: string;
  readonly standardize?: { readonly mean: number; readonly std: number };
  readonly clip?: readonly [number, number];
}

/** The work of a model folder with one input and one output, for everybody alike. */
export function jobOf(modelFolder: string, shards: readonly string[], folder: string): JobFile {
  const contract = JSON.parse(readFileSync(join(modelFolder, 'tandem.json'), 'utf8')) as Contract;
  const [inputName, features] = Object.entries(contract.inputs)[0]!;
  return {
    shards,
    model: join(modelFolder, contract.model),
    features: features.map(({ column, standardize, clip }) => ({
      column,
      ...standardize,
      ...(clip && { lo: clip[0], hi: clip[1] }),
    })),
    inputName,
    outputName: Object.keys(contract.outputs)[0]!,
    output: join(folder, 'output'),
    result: join(folder, 'result.json'),
    workers: availableParallelism(),
  };
}
