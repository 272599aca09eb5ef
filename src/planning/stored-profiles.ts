/** Reads profiles back, and says what they decide in a run. */
import { readFileSync } from 'node:fs';
import type { UsableDevice } from '../engines/cuda/driver.ts';
import { profileFolder } from '../engines/cuda/libraries.ts';
import { onnxRuntimeVersion } from '../engines/onnxruntime/bindings.ts';
import { coreBound, cpuLabel } from '../machine.ts';
import type { PlainScoreOptions } from '../messages.ts';
import type { ChosenScorer, ModelPlan, Profile, ProfileKey, RunPlan, UsedProfile } from '../plan.ts';
import { loadNow } from '../place.ts';
import { profilePath } from './profile.ts';

/** The profile of a key; undefined: there is none. What is there and is none goes to `warn`. */
export function readProfile(folder: string, key: ProfileKey, warn: (text: string) => void): Profile | undefined {
  const path = profilePath(folder, key);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') warn(ignored(path, (error as Error).message));
    return undefined;
  }
  // Not imported above: few runs find one, and the form comes with zod, which takes long to load.
  const { parseProfile } = loadNow('./planning/profile-form.js') as typeof import('./profile-form.ts');
  const read = parseProfile(text);
  if ('problem' in read) {
    warn(ignored(path, read.problem));
    return undefined;
  }
  if (profilePath(folder, read.profile.key) === path) return read.profile;
  warn(ignored(path, `one of ${read.profile.key.device} under another key`));
  return undefined;
}

function ignored(path: string, got: string): string {
  return `Expected ${path} to be a profile, got ${got}; it is not used. The next run that finds one replaces it.`;
}

/** What profiles say about a run; each is undefined where they say nothing, or the caller has said it. */
export interface RecalledSettings {
  readonly threads: number | undefined;
  /** On a CPU; a GPU starts its search there, see `PlannedDevice.profile`. */
  readonly batchSize: number | undefined;
  readonly slots: { readonly slotRows: number; readonly slots: number } | undefined;
}

export interface Recalled {
  readonly profiles: RunPlan['profiles'];
  readonly settings: RecalledSettings;
  readonly warnings: readonly string[];
}

/** Looks for the profiles of a run. @param found its GPUs; empty: the CPU scores. @param scorer what scores there */
export function recallProfiles(
  options: PlainScoreOptions,
  model: Pick<ModelPlan, 'sha256' | 'contractSha256' | 'fixedBatchRows'>,
  found: readonly UsableDevice[],
  scorer: ChosenScorer['kind'],
): Recalled {
  const shared = {
    modelSha256: model.sha256,
    contractSha256: model.contractSha256,
    onnxRuntimeVersion,
    precision: options.precision ?? 'float32',
    scorer,
  };
  const cpu = { label: cpuLabel(), driverVersion: undefined };
  const keys = (found.length === 0 ? [cpu] : found).map(({ label, driverVersion }): ProfileKey => ({
    ...shared,
    device: label,
    driverVersion,
  }));
  // The slow reader is a reference: nothing that was measured with the other one fits it.
  const wanted = options.useProfile !== false && options.reader !== 'parquetjs';
  const folder = wanted ? profileFolder(process.env) : undefined;
  const warnings: string[] = [];
  const read = keys.map((key) =>
    folder === undefined ? undefined : readProfile(folder, key, (text) => warnings.push(text)),
  );
  const batchIsOpen = options.batchSize === undefined && model.fixedBatchRows === undefined;
  const settings = settingsOf(read[0], options, batchIsOpen, found.length);
  const used = keys.map((key, index): UsedProfile | undefined => {
    const profile = read[index];
    if (folder === undefined || profile === undefined) return undefined;
    const startsAt = batchIsOpen && found.length > 0 && profile.memory !== undefined ? profile.batchSize : undefined;
    return { path: profilePath(folder, key), profile, sets: wordsOf(settings, startsAt) };
  });
  return { profiles: { folder, keys, used }, settings, warnings: [...new Set(warnings)] };
}

function settingsOf(
  profile: Profile | undefined,
  options: PlainScoreOptions,
  batchIsOpen: boolean,
  devices: number,
): RecalledSettings {
  const job = profile?.job?.devices === devices ? profile.job : undefined;
  const threadsAreOpen = options.threads === undefined;
  const slotsAreOpen = devices > 0 && threadsAreOpen && batchIsOpen && options.slotsPerThread === undefined;
  return {
    threads: threadsAreOpen && job !== undefined ? Math.min(job.threads, coreBound().value) : undefined,
    batchSize: batchIsOpen && devices === 0 ? profile?.batchSize : undefined,
    slots: slotsAreOpen && job !== undefined ? { slotRows: job.slotRows, slots: job.slotsPerThread } : undefined,
  };
}

function wordsOf({ threads, batchSize, slots }: RecalledSettings, startsAt: number | undefined): string[] {
  return [
    ...(batchSize === undefined ? [] : [`batch size ${batchSize}`]),
    ...(startsAt === undefined ? [] : [`batch size ${startsAt} to start with`]),
    ...(threads === undefined ? [] : [`threads ${threads}`]),
    ...(slots === undefined ? [] : [`slots ${slots.slots} of ${slots.slotRows} rows for each thread`]),
  ];
}
