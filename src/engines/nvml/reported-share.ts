/**
 * How busy a GPU was over a stretch of time by the account of NVIDIA's driver, which has no part in how we measure it: its
 * performance counters (GPM) where the GPU has them, else its ring buffer of busy samples. Nothing is polled: counters are
 * read at the beginning and at the end, the buffer is emptied about once a second.
 */
import { uptime } from 'node:os';
import { TandemError } from '../../errors.ts';
import type { Pointer } from '../native.ts';
import { NvmlError, nvmlReturns } from './bindings.ts';
import { addSamples, clockOf, noBusyTime, type BusyTime, type ClockReadings } from './busy-time.ts';
import type { Gpm } from './gpm.ts';
import { openNvml, type Nvml, type NvmlDevice } from './nvml.ts';

/** How busy a device was, all processes' work counted, from 0 to 1, and what that counts; or why nobody can tell. */
export type Reported = { readonly share: number; readonly counts: string } | { readonly problem: string };

/** For the thread that drives the GPU. None of the calls throws for what the driver refuses, or waits. */
export interface ReportedShare {
  /** The window begins now; an earlier one is forgotten. */
  begin(): void;
  /** To be called about once a second while the window is open; looks at nothing when called sooner. */
  tick(): void;
  /** The window ends now. @returns what the device was in it */
  end(): Reported;
  /** Gives back what is held. Afterwards nothing is reported. */
  close(): void;
}

export interface ReportedShareOptions {
  /** Undefined: where the loader finds it. */
  readonly nvmlPath: string | undefined;
  /** `0000:1A:00.0` */
  readonly pciBusId: string;
  /** A MIG slice: NVML counts for the whole GPU, if at all. */
  readonly isSlice?: boolean;
  /** The first one counts steadily; all of them may be a driver's. */
  readonly clocks?: () => ClockReadings;
}

/** The buffer has 72 places (ctrl2080perf.h of NVIDIA's open driver), filled six times a second at most: twelve seconds. */
const tickUs = 1_000_000;
/** Counters are renewed every 100 ms (nvml.h), samples come every 1/6 s: at the edges of less than this it shows. */
const windowUsMin = 1_000_000;
/** Samples that tell about less of the window say little about the rest. */
const coveredShareMin = 0.8;

/** Since the machine started, without and with the time that it slept, and since 1970. */
function systemClocks(): ClockReadings {
  return [Number(process.hrtime.bigint() / 1000n), uptime() * 1e6, Date.now() * 1e3];
}

/** Opens nothing before the first window begins. */
export function openReportedShare(options: ReportedShareOptions): ReportedShare {
  const { nvmlPath, pciBusId, isSlice = false, clocks = systemClocks } = options;
  let nvml: Nvml | undefined;
  let isClosed = false;
  let open: DriverWindow | { readonly problem: string } | undefined;
  const forget = (): void => {
    if (open instanceof DriverWindow) open.close();
    open = undefined;
  };
  return {
    begin() {
      forget();
      if (isSlice) open = { problem: 'the device is a MIG slice, and the driver counts for whole GPUs' };
      if (isSlice || isClosed) return;
      const device = attempt(() => {
        nvml ??= openNvml(nvmlPath);
        return nvml.deviceByPciBusId(pciBusId);
      });
      open =
        'problem' in device
          ? { problem: `NVML does not find it: ${device.problem}` }
          : new DriverWindow(device.value, clocks);
    },
    tick() {
      if (open instanceof DriverWindow) open.tick();
    },
    end() {
      const ended = open;
      open = undefined;
      if (ended === undefined) return { problem: 'no stretch of steady work was looked at' };
      if (!(ended instanceof DriverWindow)) return ended;
      const reported = ended.end();
      ended.close();
      return reported;
    },
    close() {
      forget();
      isClosed = true;
      // What was opened was started: this fails with the driver alone, and then nothing is left to close.
      attempt(() => nvml?.close());
      nvml = undefined;
    },
  };
}

/** One window; both sources are followed, since the better one may fail at its end. */
class DriverWindow {
  readonly #device: NvmlDevice;
  readonly #clocks: () => ClockReadings;
  readonly #starts: ClockReadings;
  readonly #gpm: Attempt<{ readonly gpm: Gpm; readonly older: Pointer }>;
  #busy: BusyTime = noBusyTime;
  /** Index of the clock that the samples go by; undefined until one has come. */
  #clock: number | undefined;
  #bufferProblem: string | undefined;
  #lookedUs: number;

  constructor(device: NvmlDevice, clocks: () => ClockReadings) {
    this.#device = device;
    this.#clocks = clocks;
    this.#gpm = attempt(() => {
      const gpm = device.gpm();
      return { gpm, older: gpm.sample() };
    });
    this.#starts = clocks();
    this.#lookedUs = this.#starts[0]!;
    // What lies in the buffer is from before, and says where the first sample of the window begins.
    this.#tryBuffer(() => {
      const lastUs = this.#device.busySamples(0).at(-1)?.atUs;
      this.#busy = { ...noBusyTime, lastUs };
    });
  }

  tick(): void {
    if (this.#clocks()[0]! - this.#lookedUs >= tickUs) this.#look(this.#clocks(), undefined);
  }

  end(): Reported {
    const ends = this.#clocks();
    const lengthUs = ends[0]! - this.#starts[0]!;
    if (lengthUs < windowUsMin) {
      return { problem: `${seconds(lengthUs)} s are too short for the driver's counters` };
    }
    const counters = this.#endCounters();
    if ('share' in counters) return counters;
    this.#look(ends, ends);
    const buffer = this.#endBuffer(lengthUs);
    return 'share' in buffer ? buffer : { problem: `GPM: ${counters.problem}; NVML's samples: ${buffer.problem}` };
  }

  close(): void {
    if ('value' in this.#gpm) {
      const { gpm, older } = this.#gpm.value;
      attempt(() => gpm.free(older));
    }
  }

  #endCounters(): Reported {
    if ('problem' in this.#gpm) return this.#gpm;
    const { gpm, older } = this.#gpm.value;
    const read = attempt(() => {
      const newer = gpm.sample();
      try {
        return gpm.between(older, newer, ['smPercent']).smPercent;
      } finally {
        gpm.free(newer);
      }
    });
    if ('problem' in read) return read;
    const percent = read.value;
    if (typeof percent === 'string') return { problem: percent };
    if (!(percent >= 0 && percent <= 100)) return { problem: `it gave ${percent} %` };
    return { share: percent / 100, counts: 'SMs that were busy (GPM)' };
  }

  #endBuffer(lengthUs: number): Reported {
    const { busyUs, coveredUs } = this.#busy;
    if (this.#bufferProblem !== undefined) return { problem: this.#bufferProblem };
    if (coveredUs < coveredShareMin * lengthUs) {
      return { problem: `they tell about ${seconds(coveredUs)} of ${seconds(lengthUs)} s only` };
    }
    return { share: busyUs / coveredUs, counts: 'time in which some kernel ran (NVML)' };
  }

  #look(now: ClockReadings, ends: ClockReadings | undefined): void {
    this.#lookedUs = now[0]!;
    this.#tryBuffer(() => {
      const samples = this.#device.busySamples(this.#busy.lastUs ?? 0);
      const newest = samples.at(-1);
      if (newest === undefined) return;
      this.#clock ??= clockOf(newest.atUs, now);
      const window = { startUs: this.#starts[this.#clock]!, endUs: ends?.[this.#clock] ?? Infinity };
      this.#busy = addSamples(this.#busy, samples, window);
    });
  }

  /** A buffer that was refused once is left alone. */
  #tryBuffer(work: () => void): void {
    if (this.#bufferProblem !== undefined) return;
    const done = attempt(work);
    if ('problem' in done) this.#bufferProblem = done.problem;
  }
}

type Attempt<Value> = { readonly value: Value } | { readonly problem: string };

function attempt<Value>(work: () => Value): Attempt<Value> {
  try {
    return { value: work() };
  } catch (error) {
    if (error instanceof NvmlError) return { problem: meanings[error.code] ?? error.message };
    if (error instanceof TandemError) return { problem: error.message };
    throw error;
  }
}

/** By nvmlReturn_t. */
const meanings: Readonly<Record<number, string>> = {
  [nvmlReturns.notSupported]: 'this GPU or its driver does not have it',
  [nvmlReturns.noPermission]: "this user may not (the driver's setting RmProfilingAdminOnly)",
  [nvmlReturns.functionNotFound]: 'this driver is too old for it',
  [nvmlReturns.gpuIsLost]: 'the GPU is lost',
};

function seconds(microseconds: number): string {
  return (microseconds / 1e6).toFixed(1);
}
