/** What was aimed at, what came out, whether it was kept. Pure: from the steps' figures. */
import type { StepRecord } from './step.ts';

export interface TargetLine {
  readonly name: string;
  readonly target: string;
  readonly measured: string;
  /** Undefined: not measured. */
  readonly kept: boolean | undefined;
}

type Figures = Readonly<Record<string, unknown>>;

interface Aim {
  readonly step: string;
  readonly figure: string;
  readonly name: string;
  readonly target: string;
  /** Undefined where something is missing. */
  readonly judge: (figure: Figures, all: readonly StepRecord[]) => Verdict | undefined;
}

interface Verdict {
  readonly measured: string;
  readonly kept: boolean;
}

const computeBound = ['mlp2048', 'resnet50'];

const aims: readonly Aim[] = [
  {
    step: 'pinned',
    figure: 'SharedArrayBuffer',
    name: 'copies of slots / best pinned copy',
    target: '>= 0.9',
    judge: (figure, all) => atLeast(0.9, numberOf(figure, 'slotsInGbPerSecond') / linkRate(all)),
  },
  ...computeBound.flatMap((model): Aim[] => [
    {
      step: 'streams',
      figure: `${model}, 3 buffers`,
      name: `compute stream busy, ${model}`,
      target: '>= 0.95',
      judge: (figure) => atLeast(0.95, numberOf(figure, 'computeBusyShareSteady')),
    },
    {
      step: 'streams',
      figure: `${model}, 3 buffers`,
      name: `copies hidden by computing, ${model}`,
      target: 'more than with one buffer',
      judge: (figure, all) => {
        const [three, one] = [figure, figureOf(all, 'streams', `${model}, 1 buffers`) ?? {}].map((each) =>
          numberOf(each, 'copiesHiddenShare'),
        ) as [number, number];
        return Number.isNaN(three + one)
          ? undefined
          : { measured: `${three.toFixed(3)} against ${one.toFixed(3)}`, kept: three > one };
      },
    },
    {
      step: 'streams',
      figure: `${model}, 3 buffers`,
      name: `rate / fed from device memory, ${model}`,
      target: '>= 0.9',
      judge: (figure) => atLeast(0.9, numberOf(figure, 'rateShareOfDeviceFed')),
    },
  ]),
  {
    step: 'jobs',
    figure: 'w4-wide',
    name: 'compute stream busy in a job, mlp2048',
    target: '>= 0.95',
    judge: ({ device }) => atLeast(0.95, numberOf(device, 'computeBusyShareSteady')),
  },
  {
    step: 'jobs',
    figure: 'w4-wide',
    name: "a job's steady rate / fed from device memory, mlp2048",
    target: '>= 0.9',
    judge: ({ device }, all) => {
      const ceiling = numberOf(figureOf(all, 'ceiling', 'mlp2048'), 'rowsPerSecondBest');
      return atLeast(0.9, numberOf(device, 'steadyRowsPerSecond') / ceiling);
    },
  },
  ...['mlp', 'mlp2048', 'resnet50'].map((model): Aim => ({
    step: 'batch-size',
    figure: model,
    name: `chosen batch size / best of a sweep, ${model}`,
    target: '>= 0.95',
    judge: (figure) => atLeast(0.95, numberOf(figure, 'rateShareOfBest')),
  })),
  {
    step: 'jobs',
    figure: 'promised memory',
    name: 'device memory held, against what was promised',
    target: 'never more',
    judge: (figure) => {
      const [held, promised] = [numberOf(figure, 'heldBytesMax'), numberOf(figure, 'promisedBytes')];
      if (Number.isNaN(held + promised)) return undefined;
      return { measured: `${mebibytes(held)} of ${mebibytes(promised)}`, kept: held <= promised };
    },
  },
  ...['fixed batch size', 'chosen batch size'].map((how): Aim => ({
    step: 'out-of-memory',
    figure: `job, ${how}`,
    name: `out of memory, ${how}: rows in place`,
    target: 'all',
    judge: (figure) => {
      const [rows, rowsIn] = [numberOf(figure, 'rowsInPlace'), numberOf(figure, 'rowsIn')];
      const failures = numberOf(figure['device'], 'outOfMemoryCount');
      // A job that did not run out of memory proves nothing.
      if (Number.isNaN(rows + rowsIn) || !(failures > 0)) return undefined;
      return { measured: `${rows} of ${rowsIn}, after ${failures} failures`, kept: rows === rowsIn };
    },
  })),
];

export function judgeTargets(steps: readonly StepRecord[]): TargetLine[] {
  return aims.map(({ step, figure, name, target, judge }) => {
    const figures = figureOf(steps, step, figure);
    const verdict = figures === undefined ? undefined : judge(figures, steps);
    return { name, target, measured: verdict?.measured ?? 'not measured', kept: verdict?.kept };
  });
}

/** The figure of this name; of several that start with it, the last. */
function figureOf(steps: readonly StepRecord[], step: string, name: string): Figures | undefined {
  const figures = steps.find((record) => record.name === step)?.figures ?? {};
  const found =
    Object.keys(figures).findLast((key) => key === name) ??
    Object.keys(figures).findLast((key) => key.startsWith(name));
  return found === undefined ? undefined : (figures[found] as Figures);
}

function numberOf(figures: unknown, name: string): number {
  const value = (figures as Figures | undefined)?.[name];
  return typeof value === 'number' ? value : NaN;
}

function atLeast(bound: number, share: number): Verdict | undefined {
  return Number.isNaN(share) ? undefined : { measured: share.toFixed(3), kept: share >= bound };
}

/** Gigabytes per second of the best large copy from pinned memory: the link as it can be measured from here. */
function linkRate(steps: readonly StepRecord[]): number {
  const figures = Object.values(steps.find(({ name }) => name === 'pinned')?.figures ?? {});
  return Math.max(...figures.map((each) => numberOf(each, 'pinnedInGbPerSecond')).filter((rate) => rate > 0));
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
