/**
 * A profile: what a run, or `tandem tune`, has measured and later runs start with. One JSON file for each key in the
 * cache folder, so that nothing of another model, GPU, driver, engine or precision is ever taken for this one's.
 */
import { createHash, randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../engines/make-folder.ts';
import type { BatchSizeFinding } from '../messages.ts';
import type { Profile, ProfileKey, RunPlan } from '../plan.ts';

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
