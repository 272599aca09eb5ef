/** From sums of votes to scores and labels, as ONNX Runtime's operators have them, in the precision that they have. */
import type { Aggregate, NumberType, PostTransform } from './forest.ts';
import { refuse } from './refusal.ts';

/** How a forest's sums become scores. */
export interface ScoreRule {
  readonly targetCount: number;
  readonly aggregate: Aggregate;
  readonly treeCount: number;
  readonly type: NumberType;
  readonly postTransform: PostTransform;
  /** Added to the sums; as many as there are, or none. */
  readonly baseValues: readonly number[];
  readonly classifier: ClassifierRule | undefined;
}

/** What a classifier's label, the place of one in the list of labels, depends on. */
export type ClassifierRule =
  /** Two labels, votes for one target. Above the limit it is the second one. */
  | { readonly kind: 'binary'; readonly target: 0 | 1; readonly areAllPositive: boolean }
  /** Two labels, votes for both: 1 where the second sum is above 0, and 0, whatever the labels are. */
  | { readonly kind: 'pair' }
  /** The largest, the first of equal ones; of those that any leaf votes for. */
  | { readonly kind: 'largest'; readonly scored: readonly boolean[] };

/** Scores of one row from its sums, in place; returns the label's place (0 for a regressor). */
export type Finish = (values: Float64Array) => number;

/** @returns changes a row's sums into its scores; `values` has room for all targets */
export function finishRow(rule: ScoreRule): Finish {
  const round: Round = rule.type === 'float32' ? Math.fround : (value) => value;
  if (rule.classifier?.kind === 'binary') return finishBinary(rule, rule.classifier, round);
  const transform = transformOf(rule, round);
  const choose = rule.classifier === undefined ? undefined : chooseLabel(rule.classifier);
  return (values) => {
    for (let target = 0; target < rule.targetCount; target++) {
      const mean = rule.aggregate === 'AVERAGE' ? round(values[target]! / rule.treeCount) : values[target]!;
      values[target] = rule.baseValues.length === 0 ? mean : round(mean + rule.baseValues[target]!);
    }
    const label = choose?.(values) ?? 0;
    transform(values);
    return label;
  };
}

type Round = (value: number) => number;

function chooseLabel(classifier: ClassifierRule): (values: Float64Array) => number {
  if (classifier.kind === 'pair') return (values) => (values[1]! > 0 ? 1 : 0);
  if (classifier.kind === 'binary') throw new RangeError('A binary label has its own rule. This is a bug.');
  const candidates = [...classifier.scored.keys()].filter((target) => classifier.scored[target]);
  return (values) => {
    let best = candidates[0]!;
    for (const candidate of candidates) if (values[candidate]! > values[best]!) best = candidate;
    return best;
  };
}

/** One sum, of which the other class's score is made. */
function finishBinary(rule: ScoreRule, { areAllPositive }: { areAllPositive: boolean }, round: Round): Finish {
  const base = rule.baseValues[0] ?? 0;
  const isLogistic = rule.postTransform === 'LOGISTIC';
  return (values) => {
    const score = round(values[0]! + base);
    const isSecond = score > (areAllPositive ? 0.5 : 0);
    if (isLogistic) {
      values[1] = logistic(score);
      values[0] = logistic(-score);
    } else {
      values[1] = score;
      values[0] = areAllPositive ? round(1 - score) : -score;
    }
    return isSecond ? 1 : 0;
  };
}

function transformOf({ postTransform, targetCount }: ScoreRule, round: Round): (values: Float64Array) => void {
  const each = (change: Round) => (values: Float64Array) => {
    for (let target = 0; target < targetCount; target++) values[target] = change(values[target]!);
  };
  // ONNX Runtime leaves a single score as it is.
  if (targetCount === 1) return () => {};
  switch (postTransform) {
    case 'NONE':
      return () => {};
    case 'LOGISTIC':
      return each(logistic);
    case 'SOFTMAX':
      return (values) => softmax(values, targetCount);
    case 'SOFTMAX_ZERO':
      return (values) => softmaxZero(values, targetCount, round);
    case 'PROBIT':
      throw new RangeError('PROBIT is refused. This is a bug.');
  }
}

/** ComputeLogistic of ONNX Runtime's ml_common.h: in float32, also of float64 sums. */
export function logistic(value: number): number {
  const share = Math.fround(1 / Math.fround(1 + Math.fround(Math.exp(-Math.abs(Math.fround(value))))));
  return value < 0 ? Math.fround(1 - share) : share;
}

/** ComputeSoftmax of ml_common.h: in float32, also of float64 sums. */
function softmax(values: Float64Array, count: number): void {
  const largest = largestOf(values, count);
  let sum = 0;
  for (let index = 0; index < count; index++) {
    values[index] = Math.fround(Math.exp(Math.fround(Math.fround(values[index]!) - largest)));
    sum = Math.fround(sum + values[index]!);
  }
  for (let index = 0; index < count; index++) values[index] = Math.fround(values[index]! / sum);
}

/** As float32. */
function largestOf(values: Float64Array, count: number): number {
  let largest = -Infinity;
  for (let index = 0; index < count; index++) largest = Math.max(largest, Math.fround(values[index]!));
  return largest;
}

/** ComputeSoftmaxZero of ml_common.h: what is 0 stays so. Its powers and their sum are float32, also of float64 sums. */
function softmaxZero(values: Float64Array, count: number, round: Round): void {
  const largest = largestOf(values, count);
  const scale = Math.fround(Math.exp(-largest));
  const least = Math.fround(0.0000001);
  let sum = 0;
  for (let index = 0; index < count; index++) {
    const value = Math.fround(values[index]!);
    if (value > least || value < -least) {
      values[index] = Math.fround(Math.exp(Math.fround(value - largest)));
      sum = Math.fround(sum + values[index]!);
    } else {
      values[index] = round(values[index]! * scale);
    }
  }
  for (let index = 0; index < count; index++) values[index] = round(values[index]! / sum);
}

/** What decides about labels, from what the leaves vote for. */
export function classifierRule(
  labelCount: number,
  scored: readonly boolean[],
  areAllPositive: boolean,
  isEven: boolean,
  rule: Pick<ScoreRule, 'baseValues' | 'postTransform'>,
): ClassifierRule {
  const scoredCount = scored.filter((isScored) => isScored).length;
  if (labelCount < 2) refuse('a classifier with fewer than two labels');
  if (!isEven && (labelCount === 2 || rule.baseValues.length === 0)) {
    refuse('leaves of one tree vote for different classes');
  }
  if (labelCount > 2)
    return { kind: 'largest', scored: rule.baseValues.length === 0 ? scored : scored.map(() => true) };
  if (scoredCount === 2) {
    if (rule.baseValues.length > 0) refuse('base values of two classes that both have votes');
    return { kind: 'pair' };
  }
  if (rule.postTransform !== 'NONE' && rule.postTransform !== 'LOGISTIC') {
    refuse(`post-transform ${rule.postTransform} of a single score`);
  }
  if (!scored[0] || rule.baseValues.length > 1) refuse('two classes with votes for the second one alone');
  return { kind: 'binary', target: 0, areAllPositive };
}
