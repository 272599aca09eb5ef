/** The golden files, which lie beside the sources. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../../src/golden');

export function goldenPath(...names: readonly string[]): string {
  return join(root, ...names);
}

/** Names of all model folders here. */
export function modelFolders(): string[] {
  return readdirSync(root)
    .filter((name) => existsSync(join(root, name, 'tandem.json')))
    .sort();
}

/** A JSON file, whose form is the script's that made it. */
export function readJson<Form>(...names: readonly string[]): Form {
  return JSON.parse(readFileSync(goldenPath(...names), 'utf8')) as Form;
}
