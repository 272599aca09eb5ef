/**
 * A profile: what a run, or `tandem tune`, has measured and later runs start with. One JSON file for each key in the
 * cache folder, so that nothing of another model, GPU, driver, engine or precision is ever taken for this one's.
 */
import { createHash, randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../engines/make-folder.ts';
import type { BatchSizeFinding } from '../messages.ts';
import type { Precision } from '../options.ts';
import type { ChosenScorer, RunPlan } from '../plan.ts';

/** What must be the same for a profile to say anything. */
export interface ProfileKey {
  readonly modelSha256: string;
  readonly contractSha256: string;
  /** Label of the GPU (`NVIDIA H200`), or model of the CPU and its cores. */
  readonly device: string;
  /** `580.65.06`; undefined on a CPU, and where nobody can tell. */
  readonly driverVersion?: string | undefined;
  readonly onnxRuntimeVersion: string;
  readonly precision: Precision;
  /** A kernel likes another batch size than ONNX Runtime. */
  readonly scorer: ChosenScorer['kind'];
}

/** Settings of the whole job. They depend on each other: slots without their threads say nothing. */
export interface TunedJob {
  readonly threads: number;
  /** GPUs that shared the work; 0: the threads scored in place. */
  readonly devices: number;
  /** Rows of a slot, and slots of each thread; on a CPU a slot holds one batch, and there is one. */
  readonly slotRows: number;
  readonly slotsPerThread: number;
  /** Of the job with these settings. */
  readonly rowsPerSecond: number;
}

export interface Profile {
  readonly version: 1;
  readonly key: ProfileKey;
  readonly batchSize: number;
  /** Of the model alone at this batch size on a GPU, which the next run compares; of the whole job on a CPU. */
  readonly rowsPerSecond: number;
  /** Of the GPU: bytes = fixed + perRow x rows. Without it the batch size is searched again. */
  readonly memory?: { readonly fixedBytes: number; readonly perRowBytes: number } | undefined;
  /** Only `tandem tune` finds these. */
  readonly job?: TunedJob | undefined;
  readonly writtenBy: 'run' | 'tune';
  /** ISO 8601 */
  readonly writtenAt: string;
}

/** A profile that was found, and what it decides in this run, in words: what the caller says comes first. */
export interface UsedProfile {
  readonly path: string;
  readonly profile: Profile;
  /** `batch size 4096`, `threads 8`; empty: the caller said all of it. */
  readonly sets: readonly string[];
}

/** Where the profile of a key lies. */
export function profilePath(folder: string, key: ProfileKey): string {
  const { modelSha256, contractSha256, device, driverVersion = null, onnxRuntimeVersion, precision, scorer } = key;
  const parts = [modelSha256, contractSha256, device, driverVersion, onnxRuntimeVersion, precision, scorer];
  return join(folder, `${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}.json`);
}

/**
 * Writes a profile in one step: whoever reads it at the same time sees the old one or the new one.
 * @returns its path
 * @throws what the file system says
 */
export function writeProfile(folder: string, profile: Profile): string {
  const path = profilePath(folder, profile.key);
  const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
  makeFolder(folder);
  try {
    writeFileSync(temporary, `${JSON.stringify(profile, null, 2)}\n`);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
  return path;
}

/**
 * Leaves what the searches of a run have found. A profile that has proved right stays as it is, and what `tune` found
 * about the rest of the job stays too.
 */
export function rememberFindings(
  { folder, keys, used }: RunPlan['profiles'],
  findings: readonly BatchSizeFinding[],
  writtenAt = new Date().toISOString(),
): void {
  if (folder === undefined) return;
  const done = new Set<string>();
  for (const { deviceIndex, chosen, provesProfile } of findings) {
    const key = keys[deviceIndex]!;
    const path = profilePath(folder, key);
    const before = used[deviceIndex]?.profile;
    if (chosen === undefined || provesProfile || done.has(path)) continue;
    done.add(path);
    const { rows: batchSize, rowsPerSecond, fixedBytes, perRowBytes } = chosen;
    const memory = { fixedBytes, perRowBytes };
    const job = before?.job;
    try {
      writeProfile(folder, { version: 1, key, batchSize, rowsPerSecond, memory, job, writtenBy: 'run', writtenAt });
    } catch {
      // A cache folder that cannot be written costs the next run its search, and nothing else.
    }
  }
}
