/** Sleeping until another thread changes a number, under a name that CPU profiles show: samples do not tell it from work. */
import { nameInProfiles } from './native.ts';

/** As the `file` of {@link nameInProfiles}. */
export const sleepFile = 'sleep';

type Sleep = (numbers: Int32Array, index: number, value: number, milliseconds: number) => boolean;
let functions: { readonly sleep: Sleep } | undefined;

/**
 * Sleeps while the number is this value, until it is notified of, or so long.
 * @returns false: the time is over
 */
export function sleep(numbers: Int32Array, index: number, value: number, milliseconds: number): boolean {
  functions ??= nameInProfiles<{ readonly sleep: Sleep }>(sleepFile, {
    sleep: (...given) => Atomics.wait(...given) !== 'timed-out',
  });
  return functions.sleep(numbers, index, value, milliseconds);
}
