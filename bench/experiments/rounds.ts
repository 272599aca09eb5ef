/** Ways of doing the same, in turn: what slows the machine down for a while slows all of them. */
import type { Rounds } from '../measure.ts';

export interface Timed {
  /** Rows, values, calls. */
  readonly units: number;
  readonly seconds: number;
}

/** Does the work once and says how long it took. */
export type Contestant = () => Timed | Promise<Timed>;

/** Times work of this process. */
export function timed(units: number, work: () => void): Contestant {
  return () => {
    const startedMs = performance.now();
    work();
    return { units, seconds: (performance.now() - startedMs) / 1000 };
  };
}

/** Units per second of each way and round. The first round warms up and is dropped. */
export async function timeInRounds(
  contestants: Readonly<Record<string, Contestant>>,
  rounds: number,
  secondsMin: number,
): Promise<Rounds> {
  const rates: Record<string, number[]> = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, work] of Object.entries(contestants)) {
      let units = 0;
      let seconds = 0;
      while (seconds < secondsMin) {
        const once = await work();
        units += once.units;
        seconds += once.seconds;
      }
      if (round > 0) rates[name]!.push(units / seconds);
    }
  }
  return rates;
}
