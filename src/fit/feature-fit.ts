/**
 * One feature on its way to its parameters. They are found one after another, since each step sees what the steps before it
 * give, and those may have to be fitted first; what is asked of a pass is the next one's.
 */
import { formatPath } from '../contract/complain.ts';
import { sourceName, type Feature, type NumericStep } from '../contract/contract.ts';
import type { Parameter } from '../contract/parameters.ts';
import { bug } from '../errors.ts';
import { applyStep } from '../featurize/reference.ts';
import { listCategories, type Category } from './categories.ts';
import type { DigitCounts, DigitSearch } from './digits.ts';
import { addRepeated, tally } from './moments.ts';
import { findValue, noNumbers, numberRule, quantileShares, ruleWords } from './parameter-values.ts';
import { QuantileSearch } from './quantiles.ts';
import type { FittedParameter } from './report.ts';

/** What a pass has to find out about a feature. */
export type FitQuestion =
  /** Of the values after these steps: moments, or digits for quantiles. */
  | { readonly kind: 'numbers'; readonly steps: readonly NumericStep[]; readonly search: DigitSearch | undefined }
  /** How many rows have each value. */
  | { readonly kind: 'categories' };

/** What the threads have found out, put together. */
export interface FitAnswer {
  /** Moments and what was left out, of all rows. */
  readonly tally: Float64Array;
  /** Of each thread; empty where moments were asked for. */
  readonly digits: readonly DigitCounts[];
  /** Empty where numbers were asked for. */
  readonly categories: ReadonlyMap<Category, number>;
}

export interface Found extends FittedParameter {
  readonly parameter: Parameter;
}

export interface FeatureFit {
  /** Undefined: all parameters are found. */
  readonly question: FitQuestion | undefined;
  readonly found: readonly Found[];
  /** @throws BAD_COLUMN, BAD_CONTRACT for values that no parameter can be made of */
  take(answer: FitAnswer): void;
}

type NumberFeature = Extract<Feature, { kind: 'number' | 'list' }>;
type CategoryFeature = Extract<Feature, { kind: 'index' | 'oneHot' }>;

/** @param feature with stand-ins where parameters are to be fitted */
export function fitFeature(feature: Feature, parameters: readonly Parameter[]): FeatureFit {
  switch (feature.kind) {
    case 'number':
    case 'list':
      return new NumberFit(feature, parameters);
    case 'index':
    case 'oneHot':
      return new CategoryFit(feature, parameters[0]!);
    default:
      throw bug(`A ${feature.kind} has nothing to fit`);
  }
}

class NumberFit implements FeatureFit {
  readonly found: Found[] = [];
  readonly #feature: NumberFeature;
  readonly #source: string;
  readonly #steps: NumericStep[];
  #missing: number | undefined;
  /** Still to be found, in the order in which a value passes them. */
  readonly #open: Parameter[];
  /** For the first of these; undefined: its moments are enough. */
  #search: QuantileSearch | undefined;

  constructor(feature: NumberFeature, parameters: readonly Parameter[]) {
    this.#feature = feature;
    this.#source = sourceName(feature.source);
    this.#steps = [...feature.steps];
    this.#missing = feature.missing;
    this.#open = [...parameters].sort((a, b) => this.#stepOf(a) - this.#stepOf(b));
    this.#begin();
  }

  get question(): FitQuestion | undefined {
    const [next] = this.#open;
    return next && { kind: 'numbers', steps: this.#stepsBefore(next), search: this.#search?.search };
  }

  take(answer: FitAnswer): void {
    const [parameter] = this.#open;
    if (parameter === undefined) throw bug(`Nothing of ${this.#source} was asked for`);
    const counted = answer.tally.slice();
    const repeated = { value: this.#replacement(parameter, counted), count: this.#nulls(counted) };
    if (this.#search === undefined) addRepeated(counted, repeated.value, repeated.count);
    else {
      this.#search.take(answer.digits, repeated);
      if (this.#search.search !== undefined) return;
    }
    const count = this.#search?.count ?? counted[tally.count]!;
    if (count === 0 && counted[tally.infinite] === 0) throw noNumbers(this.#source, parameter.rule);
    this.#settle(parameter, counted, count);
  }

  #begin(): void {
    const [next] = this.#open;
    const shares = next && quantileShares(numberRule(next.rule));
    this.#search = shares && new QuantileSearch(shares);
  }

  #settle(parameter: Parameter, counted: Float64Array, count: number): void {
    const rule = numberRule(parameter.rule);
    const { value, notes } = findValue(rule, counted, this.#search?.quantiles, this.#source);
    const nulls = this.#nulls(counted);
    const [nans, infinite] = [counted[tally.nans]!, counted[tally.infinite]!];
    const isUnsaid = nulls > 0 && this.#missing === undefined && rule.key !== 'missing';
    const unsaid = isUnsaid ? [`${nulls} nulls are left out, and stop a run: "missing" is not set`] : [];
    this.found.push({
      ...describe(parameter, this.#source),
      value,
      count,
      nulls,
      nans,
      infinite,
      notes: [...notes, ...unsaid, ...this.#orderNotes(parameter)],
    });
    if (rule.key === 'missing') this.#missing = value as number;
    else {
      const step = stepWith(rule.key, value);
      if (step.kind === 'standardize' && parameter.nullsAreMean) this.#missing = step.mean;
      this.#steps[this.#stepOf(parameter)] = step;
    }
    this.#open.shift();
    this.#begin();
  }

  /** Position of the parameter's step; before all of them: what replaces a null. */
  #stepOf({ rule, holderPath, featurePath }: Parameter): number {
    if (rule.key === 'missing') return -1;
    if (holderPath.length > featurePath.length) return holderPath.at(-1) as number;
    return this.#steps.findIndex((step) => step.kind === rule.key);
  }

  /** Bounds of a clip are easily taken for those of the column. */
  #orderNotes({ rule, holderPath, featurePath }: Parameter): string[] {
    const isOwnOrder = holderPath.length > featurePath.length;
    if (rule.key !== 'clip' || isOwnOrder || !this.#steps.some(({ kind }) => kind === 'bucketize')) return [];
    return ['clip comes after bucketize: these are bounds of bucket numbers; "steps" gives another order'];
  }

  #stepsBefore(parameter: Parameter): readonly NumericStep[] {
    return this.#steps.slice(0, Math.max(0, this.#stepOf(parameter)));
  }

  /** What a null is when it reaches the parameter's step; NaN: it does not count. */
  #replacement(parameter: Parameter, counted: Float64Array): number {
    if (parameter.rule.key === 'missing' || this.#missing === undefined) return NaN;
    if (parameter.nullsAreMean && this.#stepOf(parameter) === 0) return counted[tally.mean]!;
    return this.#stepsBefore(parameter).reduce((x, step) => applyStep(step, x), this.#missing);
  }

  /** Null values; a list that is null is as long as the others. */
  #nulls(counted: Float64Array): number {
    const length = this.#feature.kind === 'list' ? (this.#feature.length ?? counted[tally.listLength]!) : 1;
    return counted[tally.nulls]! + counted[tally.nullLists]! * length;
  }
}

function stepWith(key: NumericStep['kind'], value: unknown): NumericStep {
  switch (key) {
    case 'standardize':
      return { kind: key, ...(value as { mean: number; std: number }) };
    case 'minMax': {
      const [min, max] = value as [number, number];
      return { kind: key, min, max };
    }
    case 'clip': {
      const [low, high] = value as [number, number];
      return { kind: key, low, high };
    }
    case 'bucketize':
      return { kind: key, boundaries: value as number[] };
    case 'log1p':
      return { kind: key };
  }
}

class CategoryFit implements FeatureFit {
  readonly found: Found[] = [];
  readonly #feature: CategoryFeature;
  readonly #parameter: Parameter;

  constructor(feature: CategoryFeature, parameter: Parameter) {
    this.#feature = feature;
    this.#parameter = parameter;
  }

  get question(): FitQuestion | undefined {
    return this.found.length > 0 ? undefined : { kind: 'categories' };
  }

  take({ tally: counted, categories: counts }: FitAnswer): void {
    const { rule } = this.#parameter;
    if (rule.key !== 'index' && rule.key !== 'oneHot') throw bug(`Categories have no rule ${rule.key}`);
    const source = sourceName(this.#feature.source);
    const [nulls, nans] = [counted[tally.nulls]!, counted[tally.nans]!];
    const { categories, notes } = listCategories({ ...this.#feature, source }, rule.categories, counts, nulls);
    const common = { ...describe(this.#parameter, source), value: categories, nulls, nans, notes };
    const count = [...counts.values()].reduce((sum, rows) => sum + rows, 0);
    this.found.push({ ...common, count, infinite: counted[tally.infinite]! });
  }
}

function describe(
  parameter: Parameter,
  source: string,
): Pick<Found, 'parameter' | 'field' | 'source' | 'rule' | 'before'> {
  const { holderPath, rule, value } = parameter;
  return { parameter, field: formatPath([...holderPath, rule.key]), source, rule: ruleWords(rule), before: value };
}
