/**
 * The parameters of a contract that `tandem fit` finds in shards: means, deviations, ranges, boundaries, categories. A word
 * stands in tandem.json where one is missing, and a rule beside each that was found: a value without one is a person's own.
 */
import { badField, type FieldPath } from './complain.ts';
import type { TandemError } from '../errors.ts';
import type { ContractFile, FeatureFile, StepFile } from './schema.ts';

/** Which categories a list takes, and in which order. */
export interface CategoryRule {
  readonly max?: number | undefined;
  readonly minCount?: number | undefined;
  readonly order?: 'frequency' | 'alphabet' | undefined;
}

/** How a parameter is found. */
export type Rule =
  | { readonly key: 'missing'; readonly by: 'mean' | 'median' }
  /** `sample` divides by n - 1 (Spark, pandas), `population` by n (scikit-learn, numpy.std). */
  | { readonly key: 'standardize'; readonly deviation: 'sample' | 'population' }
  | { readonly key: 'minMax' }
  | { readonly key: 'bucketize'; readonly quantiles: number }
  | { readonly key: 'clip'; readonly quantiles: readonly [number, number] }
  | { readonly key: 'index' | 'oneHot'; readonly categories: CategoryRule };

/** One parameter of a feature, and where it stands. */
export interface Parameter {
  readonly rule: Rule;
  /** Of the feature in tandem.json. */
  readonly featurePath: FieldPath;
  /** Of the feature, or of its step, whose key `rule.key` holds the value. */
  readonly holderPath: FieldPath;
  readonly input: string;
  /** Position among the input's features. */
  readonly featureIndex: number;
  /** What stands there now; undefined: a word that is to be replaced. */
  readonly value: unknown;
  /** Of a standardize: nulls become its mean (`"missing": "mean"`). */
  readonly nullsAreMean: boolean;
}

type Holder = FeatureFile | StepFile;
type ParameterKey = Rule['key'];

const parameterKeys = ['missing', 'index', 'oneHot', 'bucketize', 'standardize', 'minMax', 'clip'] as const;

/**
 * In the order of the file.
 * @param all also those that have values, where the rule of an earlier fit stands beside them: others are a person's own
 */
export function findParameters(file: ContractFile, all: boolean): Parameter[] {
  return holdersOf(file).flatMap(({ holder, ...at }) =>
    parametersOf(holder, all).map((found) => ({ ...at, ...found })),
  );
}

/**
 * Fields whose values a fit could find and beside which no rule stands: a person's own, or of a fit before it kept its rules.
 * What replaces nulls is not among them: it is a person's own as a rule.
 */
export function findUnmarked(file: ContractFile): FieldPath[] {
  return holdersOf(file).flatMap(({ holder, holderPath }) => {
    const isUnmarked = (key: ParameterKey): boolean =>
      key !== 'missing' &&
      (holder as FeatureFile)[key] !== undefined &&
      (wordRule(holder, key) ?? keptRule(holder, key)) === undefined;
    return parameterKeys.filter(isUnmarked).map((key) => [...holderPath, key]);
  });
}

/** Features and their steps, in the order of the file. */
function holdersOf(file: ContractFile): (Omit<Parameter, 'rule' | 'value'> & { readonly holder: Holder })[] {
  return Object.entries(file.inputs).flatMap(([input, given]) => {
    if (!Array.isArray(given) && 'constant' in given) return [];
    return [given].flat().flatMap((feature, featureIndex) => {
      const featurePath = ['inputs', input, ...(Array.isArray(given) ? [featureIndex] : [])];
      const nullsAreMean = feature.missing === 'mean' && standardizesFirst(feature);
      const at = { featurePath, input, featureIndex, nullsAreMean };
      const steps = (feature.steps ?? []).map((holder, i) => ({
        ...at,
        holder,
        holderPath: [...featurePath, 'steps', i],
      }));
      return [{ ...at, holder: feature, holderPath: featurePath }, ...steps];
    });
  });
}

function parametersOf(holder: Holder, all: boolean): Pick<Parameter, 'rule' | 'value'>[] {
  return parameterKeys.flatMap((key) => {
    const word = wordRule(holder, key);
    if (word !== undefined) return [{ rule: word, value: undefined }];
    const rule = all ? keptRule(holder, key) : undefined;
    return rule === undefined ? [] : [{ rule, value: (holder as FeatureFile)[key] }];
  });
}

/** The rule that a word asks for; undefined: a value stands there, or nothing. */
function wordRule(holder: Holder, key: ParameterKey): Rule | undefined {
  const feature = holder as FeatureFile;
  switch (key) {
    case 'missing':
      return missingRule(feature);
    case 'standardize': {
      const { standardize } = feature;
      if (standardize === 'fit') return { key, deviation: 'sample' };
      return standardize !== undefined && 'fit' in standardize ? { key, deviation: standardize.fit } : undefined;
    }
    case 'minMax':
      return feature.minMax === 'fit' ? { key } : undefined;
    case 'bucketize': {
      const { bucketize } = feature;
      if (bucketize === undefined || Array.isArray(bucketize)) return undefined;
      return { key, quantiles: bucketize.quantiles };
    }
    case 'clip': {
      const { clip } = feature;
      return clip === undefined || Array.isArray(clip) ? undefined : { key, quantiles: clip.quantiles };
    }
    case 'index':
    case 'oneHot': {
      const categories = feature[key];
      if (categories === undefined || Array.isArray(categories)) return undefined;
      return { key, categories: categories === 'fit' ? {} : categories.fit };
    }
  }
}

/** For numbers only, and not for the mean of a standardize that comes first: that is looked up there. */
function missingRule(feature: FeatureFile): Rule | undefined {
  const { missing } = feature;
  if (missing !== 'mean' && missing !== 'median') return undefined;
  if (['index', 'oneHot', 'hash', 'text', 'lengthOf'].some((key) => key in feature)) return undefined;
  if (missing === 'mean' && standardizesFirst(feature)) return undefined;
  return { key: 'missing', by: missing };
}

/** Whether the value of the column itself is standardized, so that the mean is in its unit. */
export function standardizesFirst(feature: FeatureFile): boolean {
  if (feature.steps !== undefined) return feature.steps[0]?.standardize !== undefined;
  return feature.standardize !== undefined && feature.log1p === undefined && feature.bucketize === undefined;
}

/** The rule by which a fit has found a value; undefined: a person has written it, or nothing stands there. */
function keptRule(holder: Holder, key: ParameterKey): Rule | undefined {
  const feature = holder as FeatureFile;
  if (feature[key] === undefined) return undefined;
  const kept = feature.fit ?? {};
  switch (key) {
    case 'missing':
      return kept.missing === undefined ? undefined : { key, by: kept.missing };
    case 'standardize':
      return kept.standardize === undefined ? undefined : { key, deviation: kept.standardize };
    case 'minMax':
      return kept.minMax === undefined ? undefined : { key };
    case 'bucketize':
      return kept.bucketize === undefined ? undefined : { key, quantiles: kept.bucketize.quantiles };
    case 'clip':
      return kept.clip === undefined ? undefined : { key, quantiles: kept.clip.quantiles };
    case 'index':
    case 'oneHot':
      return kept[key] === undefined ? undefined : { key, categories: kept[key] };
  }
}

/** What is written beside a value so that the next fit finds it, and in the same way. */
export function ruleToKeep(rule: Rule): unknown {
  switch (rule.key) {
    case 'missing':
      return rule.by;
    case 'standardize':
      return rule.deviation;
    case 'minMax':
      return true;
    case 'bucketize':
    case 'clip':
      return { quantiles: rule.quantiles };
    case 'index':
    case 'oneHot':
      return rule.categories;
  }
}

/** BAD_CONTRACT for a word where a run needs a value. */
export function notFitted(path: FieldPath, word: unknown): TandemError {
  const remedy = "Run `tandem fit '<shards>' --model <folder>`, which takes the values from shards.";
  return badField(path, 'be fitted to shards before rows are scored', word, remedy);
}

/** The contract with values that mean nothing in place of its words: what else is wrong with it can be found out. */
export function withStandIns(file: ContractFile): ContractFile {
  const inputs = Object.entries(file.inputs).map(([name, given]) => {
    if (Array.isArray(given)) return [name, given.map(featureWithStandIns)] as const;
    return [name, 'constant' in given ? given : featureWithStandIns(given)] as const;
  });
  return { ...file, inputs: Object.fromEntries(inputs) };
}

function featureWithStandIns(feature: FeatureFile): FeatureFile {
  const steps = feature.steps?.map((step) => holderWithStandIns(step));
  return { ...holderWithStandIns(feature), ...(steps === undefined ? {} : { steps }) };
}

function holderWithStandIns<H extends Holder>(holder: H): H {
  const words = parameterKeys.filter((key) => wordRule(holder, key) !== undefined);
  return { ...holder, ...Object.fromEntries(words.map((key) => [key, standIn(key, holder)])) };
}

function standIn(key: ParameterKey, holder: Holder): unknown {
  switch (key) {
    case 'missing':
      return 0;
    case 'standardize':
      return { mean: 0, std: 1 };
    case 'minMax':
    case 'clip':
      return [0, 1];
    case 'bucketize':
      return [0];
    case 'index':
    case 'oneHot': {
      // Of the type of what replaces a null, and two: `dropLast` leaves one.
      const { missing } = holder as FeatureFile;
      return typeof missing === 'number' ? [missing, missing === 0 ? 1 : 0] : [missing ?? '', `${missing ?? ''}-`];
    }
  }
}
