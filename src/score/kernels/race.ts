/** Which of two ways to score is faster, by running both for a moment on the same rows. */
import { raceLost, racePatience, raceRoundsMin, raceRoundsWanted } from '../../limits.ts';

/** A way to score, at the sizes of batch that it may like. */
export interface Contender {
  /** Rows of a run, each of at least 1. */
  readonly sizes: readonly number[];
  /** It is as fast from the start: code of WebAssembly becomes faster while it runs. */
  readonly isReady: boolean;
  /** The least seconds a row that it has taken already, at one of its sizes; undefined: it has not run. */
  readonly known?: number | undefined;
  run(rowCount: number): void;
}

/**
 * The least seconds a row that each contender took, at the size that it liked best. They take turns, so that whatever
 * else the machine does hits all of them. One that has clearly lost runs no more, one whose time is known only where that might
 * win, and the last one need not run alone.
 * @param seconds that it takes where nothing comes in between
 * @param now seconds, from a monotonic clock
 */
export function race(contenders: readonly Contender[], seconds: number, now: () => number): number[] {
  const best = contenders.map(({ known }) => known ?? Infinity);
  const start = now();
  const runs = contenders.map(({ known }) => known === undefined);
  const goesOn = (round: number): boolean => {
    const spent = now() - start;
    const left = runs.filter((still) => still).length;
    if (round >= raceRoundsMin && left === 1 && contenders.length > 1) return false;
    return round < raceRoundsMin || spent < seconds || (round < raceRoundsWanted && spent < racePatience * seconds);
  };
  for (let round = 0; goesOn(round); round++) {
    contenders.forEach(({ sizes, run }, index) => {
      if (!runs[index]) return;
      for (const rowCount of sizes) {
        const started = now();
        run(rowCount);
        best[index] = Math.min(best[index]!, (now() - started) / rowCount);
      }
    });
    if (round + 1 < raceRoundsMin) continue;
    const least = Math.min(...best);
    contenders.forEach(({ isReady }, index) => {
      if (isReady) runs[index] = best[index]! <= raceLost * least;
    });
  }
  return best;
}

/**
 * A short race, and where the first contender, ONNX Runtime, wins it, a long one: the code of the others is slow until V8
 * has compiled it well, which takes longer on a machine that does other work.
 * @param seconds of the short one and of the long one
 */
export function raceTwice(
  contenders: readonly Contender[],
  [short, long]: readonly [number, number],
  now: () => number,
): number[] {
  const times = race(contenders, short, now);
  const [first = 0, ...others] = times;
  return Math.min(...others) < first ? times : race(contenders, long, now);
}
