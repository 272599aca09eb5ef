/** From what was counted to the value of a parameter. Pure. */
import type { Rule } from '../contract/parameters.ts';
import { bug, TandemError } from '../errors.ts';
import { tally } from './moments.ts';

export interface Finding {
  readonly value: unknown;
  readonly notes: readonly string[];
}

type RuleOf<Key extends Rule['key']> = Extract<Rule, { key: Key }>;
export type NumberRule = Exclude<Rule, RuleOf<'index' | 'oneHot'>>;

/** Shares of the values at which quantiles are wanted; undefined: moments are enough. */
export function quantileShares(rule: NumberRule): readonly number[] | undefined {
  switch (rule.key) {
    case 'missing':
      return rule.by === 'median' ? [0.5] : undefined;
    case 'bucketize':
      return Array.from({ length: rule.quantiles - 1 }, (_, i) => (i + 1) / rule.quantiles);
    case 'clip':
      return rule.quantiles;
    default:
      return undefined;
  }
}

/** How a parameter is found, in words. */
export function ruleWords(rule: Rule): string {
  switch (rule.key) {
    case 'missing':
      return rule.by;
    case 'standardize':
      return `mean and ${rule.deviation} deviation (${rule.deviation === 'sample' ? 'n - 1' : 'n'})`;
    case 'minMax':
      return 'least and greatest value';
    case 'bucketize':
      return `${rule.quantiles} quantiles`;
    case 'clip':
      return `quantiles ${rule.quantiles.join(' and ')}`;
    case 'index':
    case 'oneHot': {
      const { max, minCount, order = 'frequency' } = rule.categories;
      const limits = [...(max === undefined ? [] : [`max ${max}`]), ...(minCount ? [`min count ${minCount}`] : [])];
      return [`categories by ${order}`, ...limits].join(', ');
    }
  }
}

/**
 * @param counted moments of the values
 * @param quantiles at {@link quantileShares}
 * @throws BAD_COLUMN for values that no parameter can be made of
 */
export function findValue(
  rule: NumberRule,
  counted: Float64Array,
  quantiles: readonly number[] | undefined,
  source: string,
): Finding {
  const wanted = [...(quantiles ?? [counted[tally.mean]!, counted[tally.min]!, counted[tally.max]!])];
  if ((quantiles === undefined && counted[tally.infinite]! > 0) || !wanted.every(Number.isFinite)) {
    throw notFinite(source, rule, counted[tally.infinite]!);
  }
  switch (rule.key) {
    case 'missing':
      return { value: quantiles?.[0] ?? exactMean(counted), notes: [] };
    case 'standardize':
      return standardize(rule, counted, source);
    case 'minMax': {
      const [min, max] = [counted[tally.min]!, counted[tally.max]!];
      if (min < max) return { value: [min, max], notes: [] };
      const high = min + Math.max(1, Math.abs(min));
      return { value: [min, high], notes: [`constant ${min}: every such row gives 0`] };
    }
    case 'clip':
      return { value: wanted, notes: wanted[0] === wanted[1] ? ['both bounds are the same'] : [] };
    case 'bucketize': {
      const boundaries = wanted.filter((boundary, i) => i === 0 || boundary > wanted[i - 1]!);
      const ties = wanted.length - boundaries.length;
      return { value: boundaries, notes: ties > 0 ? [`ties leave ${boundaries.length} of ${wanted.length}`] : [] };
    }
  }
}

/** As scikit-learn and Spark have it, a constant becomes 0: by a deviation of 1, since one of 0 cannot divide. */
function standardize({ deviation }: RuleOf<'standardize'>, counted: Float64Array, source: string): Finding {
  const mean = exactMean(counted);
  const degrees = deviation === 'sample' ? counted[tally.count]! - 1 : counted[tally.count]!;
  const std = Math.sqrt(counted[tally.squares]! / degrees);
  if (counted[tally.min] === counted[tally.max] || std === 0) {
    return { value: { mean, std: 1 }, notes: [`constant ${mean}: its deviation is 0, 1 stands for it`] };
  }
  if (!Number.isFinite(std)) {
    throw new TandemError('BAD_COLUMN', `Expected ${source} to have a finite deviation, got ${std}.`, {
      remedy: 'Make the values smaller before standardize: "log1p", "clip" or "sql".',
    });
  }
  return { value: { mean, std }, notes: [] };
}

/** Of a constant no rounding is left. */
function exactMean(counted: Float64Array): number {
  return counted[tally.min] === counted[tally.max] ? counted[tally.min]! : counted[tally.mean]!;
}

function notFinite(source: string, rule: Rule, infinite: number): TandemError {
  return new TandemError(
    'BAD_COLUMN',
    `Expected ${source} to be finite for ${ruleWords(rule)}, got infinite or too large values: ${infinite}.`,
    { remedy: 'Put "clip" before this step ("steps" gives an order), or turn them into nulls with "sql".' },
  );
}

/** @throws BUG for a rule of another kind of feature */
export function numberRule(rule: Rule): NumberRule {
  if ('categories' in rule) throw bug(`A number has no rule ${rule.key}`);
  return rule;
}

/** Nothing but nulls and NaN. */
export function noNumbers(source: string, rule: Rule): TandemError {
  return new TandemError('BAD_COLUMN', `Expected ${source} to have values for ${ruleWords(rule)}, got none.`, {
    remedy: 'All are null or NaN: leave the feature out, or fit on other shards.',
  });
}
