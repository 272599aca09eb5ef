/** Why a job is as fast as it is, in a sentence or two. Pure. */

/** Rates of the values of one setting, ascending by value. */
export type Rates = readonly { readonly value: number; readonly rowsPerSecond: number }[];

export interface Evidence {
  readonly onGpu: boolean;
  readonly batchSizes: Rates;
  readonly batchSize: number;
  readonly threadCounts: Rates;
  readonly threads: number;
  /** On a CPU: of the threads' time, in the model. On a GPU: of the rate that the model alone reaches. */
  readonly modelShare: number | undefined;
}

/** A GPU that computes for this share of the time has no more to give. */
const busyShare = 0.9;
/** More threads that gain less are not what is missing. */
const gainMin = 1.03;

export function explain(evidence: Evidence): string {
  return [kneeOf(evidence), evidence.onGpu ? gpuLimit(evidence) : cpuLimit(evidence)]
    .filter((sentence) => sentence !== undefined)
    .join(' ');
}

function kneeOf({ batchSizes, batchSize }: Evidence): string | undefined {
  const at = batchSizes.findIndex(({ value }) => value === batchSize);
  if (at < 0 || batchSizes.length < 2) return undefined;
  const own = batchSizes[at]!.rowsPerSecond;
  const compared = (other: Rates[number] | undefined): string | undefined =>
    other === undefined ? undefined : `${rows(other.value)} ${gain(other.rowsPerSecond / own)}`;
  const parts = [compared(batchSizes[at + 1]), compared(batchSizes[at - 1])].filter((part) => part !== undefined);
  const isLargest = at === batchSizes.length - 1;
  return `Batches of ${rows(batchSize)} are ${isLargest ? 'the largest that were tried' : 'the knee'}: ${parts.join(', ')}.`;
}

function gain(ratio: number): string {
  const percent = Math.round((ratio - 1) * 100);
  if (percent === 0) return 'gain nothing';
  return percent > 0 ? `gain ${percent} %` : `lose ${-percent} %`;
}

function gpuLimit({ modelShare, threadCounts, threads }: Evidence): string {
  const most = threadCounts.at(-1);
  const before = threadCounts.at(-2);
  const grows = most !== undefined && before !== undefined && most.rowsPerSecond > gainMin * before.rowsPerSecond;
  const seen = threadsSeen(threadCounts);
  const busy = modelShare === undefined ? '' : ` (the GPU computes ${share(modelShare)} of the time)`;
  if (modelShare !== undefined && modelShare >= busyShare)
    return `The model is the limit${busy}: more threads gain nothing, a faster GPU would.`;
  if (grows || (threadCounts.length < 2 && modelShare !== undefined))
    return `The loader is the limit${busy}${seen}: a faster GPU gains nothing, more cores would.`;
  if (modelShare === undefined && threadCounts.length >= 2)
    return `The model, or the way to the GPU, is the limit${seen}: more threads gain nothing.`;
  if (modelShare === undefined) return 'What the limit is does not show: neither the GPU nor more threads were timed.';
  return `The way between threads and GPU, or storage, is the limit${busy}${seen}: more threads than ${threads} gain nothing.`;
}

function cpuLimit({ modelShare, threadCounts, threads }: Evidence): string {
  const most = threadCounts.at(-1)?.value ?? threads;
  const shared = threads < most ? ` More threads than ${threads} gain nothing: they share memory or storage.` : '';
  if (modelShare === undefined) return shared.trim();
  const took = `takes ${share(modelShare)} of the threads' time`;
  const limit =
    modelShare >= 0.5
      ? `The model is the limit: it ${took}.`
      : `The loader is the limit (reading, featurizing, writing): the model ${took}.`;
  return `${limit}${shared}`;
}

/** `, 8 threads score 1.9 times what 4 do` */
function threadsSeen(threadCounts: Rates): string {
  const [before, most] = threadCounts.slice(-2);
  if (before === undefined || most === undefined || before.rowsPerSecond === 0) return '';
  const ratio = (most.rowsPerSecond / before.rowsPerSecond).toFixed(2);
  return `, ${count(most.value, 'thread')} score ${ratio} times what ${before.value} ${before.value === 1 ? 'does' : 'do'}`;
}

function rows(value: number): string {
  return count(value, 'row');
}

function count(value: number, noun: string): string {
  return `${value.toLocaleString('en-US')} ${noun}${value === 1 ? '' : 's'}`;
}

function share(value: number): string {
  return `${Math.round(Math.min(1, value) * 100)} %`;
}
