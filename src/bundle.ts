/**
 * Puts what the command needs into few files, below dist/bundle: `npm run build` does it after the compiler. Node takes
 * half a millisecond for each module in each thread, a third of the start of a run.
 */
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** esbuild's `build`, as far as it is used; its own types would be needed to compile, and it is needed to bundle only. */
type Build = (options: {
  readonly entryPoints: readonly string[];
  readonly splitting: boolean;
  readonly outdir: string;
  readonly [option: string]: unknown;
}) => Promise<unknown>;

/**
 * Entries by the process or threads that load them. Those of a group share files, so that a class is the same one to all
 * of them; what nothing else is loaded beside becomes one file.
 */
const groups: readonly { readonly splitting: boolean; readonly entries: readonly string[] }[] = [
  { splitting: true, entries: ['main'] },
  {
    splitting: true,
    entries: [
      'threads/planner',
      'threads/gpu',
      'engines/cuda/cuda-devices',
      // By `loadNow`.
      'contract/schema',
      'planning/profile-form',
    ],
  },
  {
    splitting: false,
    entries: [
      'threads/prep',
      'threads/arrow-prep',
      'threads/parquetjs-prep',
      'threads/writer',
      'threads/stager',
      'threads/fit',
      'doctor/probe',
      'report/client',
    ],
  },
];

/** Replaces the bundle as a whole: nothing is left of the one before. */
export async function bundle(): Promise<void> {
  const { build } = (await import('esbuild' as string)) as { readonly build: Build };
  const dist = fileURLToPath(new URL('..', import.meta.url));
  const unfinished = mkdtempSync(join(dist, 'bundle-'));
  for (const { splitting, entries } of groups) {
    await build({
      entryPoints: entries.map((entry) => join(dist, 'src', `${entry}.js`)),
      splitting,
      bundle: true,
      outbase: join(dist, 'src'),
      outdir: unfinished,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      logLevel: 'warning',
    });
  }
  const place = join(dist, 'bundle');
  rmSync(place, { recursive: true, force: true });
  renameSync(unfinished, place);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
