/** Collapsed stacks of a JVM and of Python, and what each sample was busy with by a table of frames. Pure. */

/** Frames from the outermost to the innermost, and how often they were seen so. */
export interface Stack {
  readonly frames: readonly string[];
  readonly samples: number;
}

/** What CPU time goes to. `start`: imports, class loading, compiling, planning; `collect`: both garbage collectors. */
export const costNames = [
  'decode',
  'rows',
  'pickle',
  'ipc',
  'jni',
  'featurize',
  'predict',
  'write',
  'collect',
  'start',
  'other',
] as const;
export type CostName = (typeof costNames)[number];

export interface FramePattern {
  readonly cost: CostName;
  readonly frame: RegExp;
  /**
   * True: whatever is done inside such a frame is for it (an import, a compiler's thread). Otherwise the frame says what
   * the frames inside it are for, unless one of them matches too.
   */
  readonly outright?: boolean;
}

/** `a;b;c 12` on each line, as async-profiler's `collapsed` and py-spy's `raw` write it. */
export function parseCollapsed(text: string): Stack[] {
  return text.split('\n').flatMap((line) => {
    const at = line.lastIndexOf(' ');
    const samples = Number(line.slice(at + 1));
    return at < 1 || !(samples > 0) ? [] : [{ frames: line.slice(0, at).split(';'), samples }];
  });
}

/** What a frame says outright; else the innermost frame that a pattern knows decides. Of several patterns the first. */
export function costOf(frames: readonly string[], patterns: readonly FramePattern[]): CostName {
  const outright = patterns.find((pattern) => pattern.outright && frames.some((frame) => pattern.frame.test(frame)));
  if (outright !== undefined) return outright.cost;
  for (let index = frames.length - 1; index >= 0; index--) {
    const found = patterns.find(({ frame }) => frame.test(frames[index]!));
    if (found !== undefined) return found.cost;
  }
  return 'other';
}

export interface Costs {
  readonly samples: number;
  readonly byCost: Readonly<Record<CostName, number>>;
  /** Innermost frames of what no pattern knows, most frequent first: so that the table can be checked. */
  readonly unknown: readonly { readonly frames: string; readonly samples: number }[];
}

/** Enough to recognize what is missing. */
const unknownShown = 12;
const unknownFrames = 3;

export function sumCosts(stacks: readonly Stack[], patterns: readonly FramePattern[]): Costs {
  const byCost = Object.fromEntries(costNames.map((name) => [name, 0])) as Record<CostName, number>;
  const unknown = new Map<string, number>();
  let samples = 0;
  for (const stack of stacks) {
    const cost = costOf(stack.frames, patterns);
    byCost[cost] += stack.samples;
    samples += stack.samples;
    if (cost !== 'other') continue;
    const end = stack.frames.slice(-unknownFrames).reverse().join(' < ');
    unknown.set(end, (unknown.get(end) ?? 0) + stack.samples);
  }
  const sorted = [...unknown].sort(([, one], [, other]) => other - one).slice(0, unknownShown);
  return { samples, byCost, unknown: sorted.map(([frames, count]) => ({ frames, samples: count })) };
}

/** The same stacks with what differs from run to run (addresses, numbers of threads and lambdas) left out, joined. */
export function shortenStacks(stacks: readonly Stack[]): Stack[] {
  const joined = new Map<string, number>();
  for (const { frames, samples } of stacks) {
    const key = frames.map(withoutAddresses).join(';');
    joined.set(key, (joined.get(key) ?? 0) + samples);
  }
  return [...joined].map(([key, samples]) => ({ frames: key.split(';'), samples }));
}

function withoutAddresses(frame: string): string {
  return frame
    .replace(/^process \d+:/, 'process ')
    .replace(/\$\$Lambda\W*\d*[./]0x[0-9a-f]+/g, '$$$$Lambda')
    .replace(/^0x[0-9a-f]+ /, '')
    .replace(/^\[(.*?)( for task .*)?[-#\s\d]* tid=\d+\]$/, '[$1]');
}

export function formatCollapsed(stacks: readonly Stack[]): string {
  return stacks.map(({ frames, samples }) => `${frames.join(';')} ${samples}\n`).join('');
}
