/**
 * A module of drivers for whole jobs (see `DriverModule`): those of another module, timed. When a device closes, what its
 * streams did is written beside the job's other results. The job itself is the product's, as it is.
 */
import { writeFileSync } from 'node:fs';
import type { DevicePrecision, DriverModule, GpuDriver, UsableDevices } from '../../src/engines/cuda/driver.ts';
import { busyMs, busyShare, overlapMs, steadyWindow } from './intervals.ts';
import { TimedDriver, type TimedWork, type Work } from './timed-driver.ts';

/** JSON of {@link TimedSettings}. */
export const timedSettingsVariable = 'TANDEM_BENCH_TIMED';

export interface TimedSettings {
  /** Of the module whose devices are timed. */
  readonly module: string;
  /** JSON of {@link DeviceTimes}. */
  readonly file: string;
  /** Of each session on CUDA: below what the product would give it. */
  readonly arenaBytesMax?: number;
}

/** What the streams of a job's device did, by its own clock. */
export interface DeviceTimes {
  readonly runs: number;
  readonly rows: number;
  readonly batchRowsMax: number;
  /** From the first run's start to the last one's end. */
  readonly spanSeconds: number;
  readonly computeSeconds: number;
  readonly copyInSeconds: number;
  readonly copyOutSeconds: number;
  /** Of the steady part of the job: a tenth of the runs left out at either end. */
  readonly steadySeconds: number;
  readonly steadyRowsPerSecond: number;
  readonly computeBusyShareSteady: number;
  /** Share of the copies' time in which the device computed, too. */
  readonly copiesHiddenShare: number;
  readonly freeBytesMin: number;
  readonly outOfMemoryCount: number;
}

interface Opening {
  readonly options: unknown;
  readonly settings: TimedSettings;
}

/** At import: the module's functions are not asynchronous. */
const settings = JSON.parse(process.env[timedSettingsVariable] ?? '{}') as Partial<TimedSettings>;
const inner = settings.module === undefined ? undefined : ((await import(settings.module)) as DriverModule);

export function listDevices(ortDir: string | undefined, precision: DevicePrecision): UsableDevices {
  const { devices, onnxRuntimePath } = inner!.listDevices(ortDir, precision);
  const options = (each: unknown): Opening => ({ options: each, settings: settings as TimedSettings });
  return { onnxRuntimePath, devices: devices.map((device) => ({ ...device, options: options(device.options) })) };
}

export function openDriver(opening: unknown): GpuDriver {
  const { options, settings: own } = opening as Opening;
  const { arenaBytesMax } = own;
  return new WritingDriver(
    inner!.openDriver(
      changedOptions(options, arenaBytesMax === undefined ? {} : { others: arenaLimit(arenaBytesMax) }),
    ),
    own.file,
  );
}

/** As ONNX Runtime names it. */
export function arenaLimit(bytes: number): Readonly<Record<string, string>> {
  return { gpu_mem_limit: String(bytes) };
}

/** Options of a CUDA driver with other options of its provider; other drivers do not look at these. */
export function changedOptions(options: unknown, changes: Readonly<Record<string, unknown>>): unknown {
  const { providerOptions, ...others } = options as { readonly providerOptions?: object };
  return { ...others, providerOptions: { tf32: false, ...providerOptions, ...changes } };
}

class WritingDriver extends TimedDriver {
  readonly #file: string;
  readonly #times: TimedWork[] = [];

  constructor(driver: GpuDriver, file: string) {
    super(driver);
    this.#file = file;
  }

  override isDone(event: bigint): boolean {
    const isDone = super.isDone(event);
    if (isDone) this.#times.push(...this.takeTimes());
    return isDone;
  }

  override close(): void {
    try {
      this.#times.push(...this.takeTimes());
    } catch {
      // Of a lost device no event can be asked; what it did until then is written all the same.
    }
    writeFileSync(this.#file, JSON.stringify(this.#summary()));
    super.close();
  }

  #summary(): DeviceTimes {
    const times = this.#times;
    const of = (work: Work): TimedWork[] => times.filter((each) => each.work === work);
    const runs = of('run');
    const copies = [...of('copyIn'), ...of('copyOut')];
    const steady = steadyWindow(runs);
    const steadyRows = runs
      .filter(({ startMs, endMs }) => startMs >= steady.startMs && endMs <= steady.endMs)
      .reduce((sum, { amount }) => sum + amount, 0);
    return {
      runs: runs.length,
      rows: runs.reduce((sum, { amount }) => sum + amount, 0),
      batchRowsMax: runs.reduce((most, { amount }) => Math.max(most, amount), 0),
      spanSeconds: runs.length === 0 ? 0 : (runs.at(-1)!.endMs - runs[0]!.startMs) / 1000,
      computeSeconds: busyMs(runs) / 1000,
      copyInSeconds: busyMs(of('copyIn')) / 1000,
      copyOutSeconds: busyMs(of('copyOut')) / 1000,
      steadySeconds: (steady.endMs - steady.startMs) / 1000,
      steadyRowsPerSecond: steadyRows / ((steady.endMs - steady.startMs) / 1000),
      computeBusyShareSteady: busyShare(runs, steady),
      copiesHiddenShare: overlapMs(copies, runs) / busyMs(copies),
      freeBytesMin: this.freeBytesMin,
      outOfMemoryCount: this.outOfMemoryCount,
    };
  }
}
