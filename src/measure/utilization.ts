/** How well a GPU or the CPU was used, by measures that know nothing of each other. Pure. */
import type { Reported } from '../engines/nvml/reported-share.ts';
import { utilizationApartMax } from '../limits.ts';
import type { Utilization } from '../run-record.ts';

export interface GpuMeasures {
  /** `cuda:0` */
  readonly device: string;
  /** By the device's own events: the steady time, and how much of it the model ran. */
  readonly steadyMs: number;
  readonly busyMs: number;
  /** Over the steady time. */
  readonly rowsPerSecond: number;
  /** Of the same model at the same batch size, fed from device memory; undefined: nobody measured it. */
  readonly fedRowsPerSecond: number | undefined;
  /** Of the same steady time. */
  readonly reported: Reported;
}

/** @returns undefined where no time was steady: at most one batch ran */
export function utilizationOfGpu(measures: GpuMeasures): Utilization | undefined {
  const { device, steadyMs, busyMs, rowsPerSecond, fedRowsPerSecond } = measures;
  if (steadyMs <= 0) return undefined;
  const computeBusy = busyMs / steadyMs;
  const reported = 'share' in measures.reported ? measures.reported : undefined;
  const efficiency =
    fedRowsPerSecond === undefined || fedRowsPerSecond <= 0 ? undefined : rowsPerSecond / fedRowsPerSecond;
  const notes = 'problem' in measures.reported ? [`the driver reports nothing: ${measures.reported.problem}`] : [];
  if (efficiency === undefined) notes.push('no efficiency: the model was not timed fed from device memory');
  return {
    device,
    computeBusy,
    reported,
    efficiency,
    notes: [...notes, ...warnings(computeBusy, reported, efficiency)],
  };
}

export interface CpuMeasures {
  /** `cpu` */
  readonly device: string;
  /** Of all lanes together: the time from their first work to their last, and how much of it the model ran. */
  readonly steadyMs: number;
  readonly busyMs: number;
  /** User's and system's time of this process while `wallSeconds` passed. */
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  /** That this process may use. */
  readonly cores: number;
}

/**
 * Its two shares are of different things, lanes and cores, and may differ by any amount.
 * @returns undefined where no lane worked
 */
export function utilizationOfCpu(measures: CpuMeasures): Utilization | undefined {
  const { device, steadyMs, busyMs, cpuSeconds, wallSeconds, cores } = measures;
  if (steadyMs <= 0) return undefined;
  const share = wallSeconds * cores > 0 ? cpuSeconds / (wallSeconds * cores) : undefined;
  return {
    device,
    computeBusy: busyMs / steadyMs,
    reported: share === undefined ? undefined : { share, counts: "cores' time that this process had" },
    efficiency: undefined,
    notes: [...(share === undefined ? ['no share of the cores: no time passed'] : [])],
  };
}

/** One for each two measures that are too far apart, with what that means. */
function warnings(
  computeBusy: number,
  reported: Utilization['reported'],
  efficiency: Utilization['efficiency'],
): string[] {
  const busy = { share: computeBusy, name: 'the model ran' };
  const driver = reported && { share: reported.share, name: `the driver reports (${reported.counts})` };
  const rate = efficiency === undefined ? undefined : { share: efficiency, name: 'efficiency is' };
  return [
    warning(busy, driver, {
      firstIsMore: 'while it ran, parts of the GPU idled, or all of it between two kernels',
      secondIsMore: 'something else ran on this GPU, too',
    }),
    warning(busy, rate, {
      firstIsMore:
        'a row takes longer than when it comes from device memory: other batch sizes, copies, other processes',
      secondIsMore: 'the two rates were measured under other conditions: batch sizes, clocks, other processes',
    }),
    warning(driver, rate, {
      firstIsMore: 'the GPU was busy with more than these rows',
      secondIsMore: 'the model does not fill this GPU, or the two rates were measured under other conditions',
    }),
  ].filter((note) => note !== undefined);
}

interface Measure {
  readonly share: number;
  readonly name: string;
}

function warning(
  first: Measure | undefined,
  second: Measure | undefined,
  means: { readonly firstIsMore: string; readonly secondIsMore: string },
): string | undefined {
  if (first === undefined || second === undefined) return undefined;
  const apart = first.share - second.share;
  // Shares come from divisions: 0.8 - 0.7 is more than 0.1.
  if (Math.abs(apart) <= utilizationApartMax + 1e-9) return undefined;
  const measures = [first, second].map(({ share, name }) => `${name} ${Math.round(share * 100)} %`);
  const meaning = apart > 0 ? means.firstIsMore : means.secondIsMore;
  return `${measures.join(' and ')}, ${Math.round(Math.abs(apart) * 100)} points apart: ${meaning}`;
}
