/** Profiles of a run beside its output: `_profile-1/prep-0.cpuprofile`, `_profile-1/report.html`. */
import { mkdirSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { listFiles } from './files.ts';

/** Paths of such files under the output folder; earlier versions wrote a ledger. */
export const profileFilePattern = /^_profile-\d+\/(?:[\w.-]+\.cpuprofile|record\.json|report\.html|ledger\.json)$/;

/** Removes them, and nothing else that may lie there. */
export function removeProfiles(output: string): void {
  const ours = listFiles(output).filter((path) => profileFilePattern.test(path));
  for (const path of ours) rmSync(join(output, path), { force: true });
  for (const folder of new Set(ours.map((path) => path.split('/')[0]!))) {
    if (readdirSync(join(output, folder)).length === 0) rmdirSync(join(output, folder));
  }
}

/** Makes the first folder `_profile-<n>` that is free under the output folder. @throws what the file system says */
export function makeProfileFolder(output: string): string {
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
