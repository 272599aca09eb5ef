/** What a profile leaves in its folder. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toJson } from '../json.ts';
import type { RunProfile } from '../run-record.ts';
import { makeProfileFolder } from '../write/profile-folder.ts';

/**
 * One CPU profile for each thread, as Chrome's DevTools and speedscope read it, the record of that time, and its report.
 * @returns names of the files
 * @throws what the file system says
 */
export async function writeProfileFiles(
  folder: string,
  { profiles, record }: Pick<RunProfile, 'profiles' | 'record'>,
): Promise<string[]> {
  const names = profiles.map(({ thread, profile }) => {
    const name = `${thread.replace(/[^\w.-]+/g, '-')}.cpuprofile`;
    writeFileSync(join(folder, name), JSON.stringify(profile));
    return name;
  });
  writeFileSync(join(folder, 'record.json'), `${toJson(record)}\n`);
  // Loads what draws charts: nobody else has to wait for it.
  const { writeReport } = await import('../report/write-report.ts');
  writeReport(join(folder, 'report.html'), [record]);
  return [...names, 'record.json', 'report.html'];
}

/**
 * Writes a profile into the first folder `_profile-<n>` that is free under the output folder.
 * @returns the folder
 * @throws what the file system says
 */
export async function leaveProfile(output: string, profile: RunProfile): Promise<string> {
  const folder = makeProfileFolder(output);
  await writeProfileFiles(folder, profile);
  return folder;
}
