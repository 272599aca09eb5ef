/** Where the scripts of the peers are: beside the sources, not beside what is compiled from them. */
import { fileURLToPath } from 'node:url';

export function scriptPath(name: string): string {
  return fileURLToPath(new URL(`../../../bench/peers/${name}`, import.meta.url));
}
