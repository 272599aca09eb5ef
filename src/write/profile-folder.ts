/** Profiles of a run beside its output: `_profile-1/prep-0.cpuprofile`, `_profile-1/ledger.json`. */
import { mkdirSync, readdirSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles } from './files.ts';
import type { RunProfile, ThreadProfile } from '../run-record.ts';

/** Paths of such files under the output folder. */
export const profileFilePattern = /^_profile-\d+\/(?:[\w.-]+\.cpuprofile|ledger\.json)$/;

/**
 * Writes a profile into the first folder `_profile-<n>` that is free under the output folder.
 * @returns the folder
 * @throws what the file system says
 */
export function leaveProfile(output: string, profile: RunProfile): string {
  const folder = makeNumberedFolder(output);
  writeCpuProfiles(folder, profile.profiles);
  const { profiles: _, ...ledger } = profile;
  writeFileSync(join(folder, 'ledger.json'), `${JSON.stringify(ledger, null, 2)}\n`);
  return folder;
}

/** One file for each thread, as Chrome's DevTools and speedscope read it. @returns their names */
export function writeCpuProfiles(folder: string, profiles: readonly ThreadProfile[]): string[] {
  return profiles.map(({ thread, profile }) => {
    const name = `${thread.replace(/[^\w.-]+/g, '-')}.cpuprofile`;
    writeFileSync(join(folder, name), JSON.stringify(profile));
    return name;
  });
}

/** Removes them, and nothing else that may lie there. */
export function removeProfiles(output: string): void {
  const ours = listFiles(output).filter((path) => profileFilePattern.test(path));
  for (const path of ours) rmSync(join(output, path), { force: true });
  for (const folder of new Set(ours.map((path) => path.split('/')[0]!))) {
    if (readdirSync(join(output, folder)).length === 0) rmdirSync(join(output, folder));
  }
}

function makeNumberedFolder(output: string): string {
  for (let number = 1; ; number++) {
    const folder = join(output, `_profile-${number}`);
    try {
      mkdirSync(folder);
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
