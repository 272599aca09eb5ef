/**
 * Where compiled files lie: in the same order below dist/src, as the compiler leaves them, and below dist/bundle, where
 * esbuild puts what a command needs into few files, since Node takes half a millisecond for each.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Of this file, or of the one that it has become a part of. */
const root = /^.*\/(?:src|bundle)\//.exec(import.meta.url)![0];

/** @param path below dist/src, for example `./threads/prep.js`; `../../package.json` is the package's */
export function placeOf(path: string): URL {
  return new URL(path, root);
}

/** Loads a module at once, where most runs need none and nobody can wait. */
export function loadNow(path: string): unknown {
  return createRequire(import.meta.url)(fileURLToPath(placeOf(path)));
}
