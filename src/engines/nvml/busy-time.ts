/** Samples of the driver's ring buffer added up over a window of time. Pure. */
import type { BusySample } from './nvml.ts';

/** The longest period that a sample stands for (nvml.h: "between 1 second and 1/6 second, depending on the product"). */
export const samplePeriodUsMax = 1_000_000;

/** By the clock of the samples. */
export interface Window {
  readonly startUs: number;
  /** Infinity while it is open. */
  readonly endUs: number;
}

export interface BusyTime {
  /** Of the window: in which a kernel ran, by the samples. */
  readonly busyUs: number;
  /** Of the window: that samples tell about. */
  readonly coveredUs: number;
  /** The newest sample, in the window or before; undefined: there was none yet. */
  readonly lastUs: number | undefined;
}

export const noBusyTime: BusyTime = { busyUs: 0, coveredUs: 0, lastUs: undefined };

/**
 * Each sample tells about the time since the one before, as far as that lies in the window. What is missing stays
 * uncovered, and counts neither as busy nor as idle: the first sample of all, the rest of a gap longer than a period,
 * where the buffer was overwritten or the GPU idled, and values that are no percentage.
 * @param samples ascending; those that are not newer than `before.lastUs` are passed over
 */
export function addSamples(before: BusyTime, samples: readonly BusySample[], window: Window): BusyTime {
  let { busyUs, coveredUs, lastUs } = before;
  for (const { atUs, percent } of samples) {
    if (lastUs !== undefined && atUs <= lastUs) continue;
    if (lastUs !== undefined && percent >= 0 && percent <= 100) {
      const fromUs = Math.max(lastUs, atUs - samplePeriodUsMax, window.startUs);
      const lengthUs = Math.max(0, Math.min(atUs, window.endUs) - fromUs);
      coveredUs += lengthUs;
      busyUs += (lengthUs * percent) / 100;
    }
    lastUs = atUs;
  }
  return { busyUs, coveredUs, lastUs };
}

/** Microseconds by clocks that a driver may stamp its samples with. */
export type ClockReadings = readonly number[];

/**
 * Which clock the driver uses: nvml.h says "CPU timestamp" and no more. Drivers were seen with the time since 1970
 * (NVIDIA/go-nvml issue 51) and, lately, since the machine started (polarsignals/gpu-metrics-agent pull request 36). A
 * sample that was just taken is nearest to its own clock.
 * @returns its index
 */
export function clockOf(sampleUs: number, readings: ClockReadings): number {
  const distances = readings.map((readingUs) => Math.abs(readingUs - sampleUs));
  return distances.indexOf(Math.min(...distances));
}
