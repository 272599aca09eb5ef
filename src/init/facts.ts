/** What the export script says of a model, and the contract that follows from it. Pure. */
import type { ElementType } from '../contract/contract.ts';
import type { FeatureFile } from '../contract/schema.ts';
import {
  featureByName,
  matchInputs,
  openColumn,
  type MatchedInput,
  type Sureness,
  type TableColumn,
  type WantedInput,
} from './match-inputs.ts';

/** A feature as the library knows it. */
export interface FactFeature {
  readonly name: string;
  /** `category`: the model takes its position in `categories`. */
  readonly kind: 'number' | 'integer' | 'bool' | 'text' | 'category';
  readonly categories?: readonly string[] | readonly number[];
  /** Of a category that is not in the list; `error`: of a null too. Default: `own`. */
  readonly unknown?: 'own' | 'error';
  /** What the library makes of a null, as the contract has it; absent: an error. */
  readonly missing?: number | string | null;
}

export interface FactInput {
  readonly name: string;
  /** Null: the library knows how many, not which. */
  readonly features: readonly FactFeature[] | null;
  readonly missing?: number | string | null;
}

/** facts.json, as `export.py` writes it. */
export interface Facts {
  /** `scikit-learn 1.9.1` */
  readonly library: string;
  readonly inputs: readonly FactInput[];
  /** Outputs whose scores the library gives by itself, too. */
  readonly scores: readonly string[];
  readonly notes: readonly string[];
}

/** A feature of the library and the column that feeds it. */
export interface FedFeature {
  readonly name: string;
  readonly column: string;
  readonly takesNull: boolean;
}

export interface FittedFacts {
  readonly inputs: readonly MatchedInput[];
  /** Every feature in the order of the inputs. */
  readonly fed: readonly FedFeature[];
}

/**
 * @param columns undefined without shards: then the columns are called as the features are
 * @param declared inputs of the exported model
 */
export function fitFacts(
  facts: Facts,
  declared: readonly WantedInput[],
  columns: readonly TableColumn[] | undefined,
): FittedFacts {
  const fitted = facts.inputs.map((input) => {
    const wanted = declared.find(({ name }) => name === input.name)!;
    return input.features === null
      ? fitUnnamed(wanted, input.missing, columns)
      : fitNamed(input.name, input.features, wanted.elementType, columns);
  });
  return { inputs: fitted.map(({ match }) => match), fed: fitted.flatMap(({ fed }) => fed) };
}

interface Fitted {
  readonly match: MatchedInput;
  readonly fed: readonly FedFeature[];
}

function fitNamed(
  name: string,
  known: readonly FactFeature[],
  elementType: ElementType,
  columns: readonly TableColumn[] | undefined,
): Fitted {
  const found = known.map((feature) => {
    // Categories of any type are looked up by their text.
    const wanted = feature.kind === 'category' ? 'string' : elementType;
    const own: FeatureFile = wanted === 'string' ? { column: feature.name, text: true } : { column: feature.name };
    return columns === undefined
      ? { feature: own, sure: 'certain' as Sureness, because: '', candidates: [] }
      : featureByName(feature.name, wanted, columns);
  });
  const features = found.map((each, index) => completed(each.feature, known[index]!));
  const open = found.flatMap((each, index) => (each.sure === 'open' ? [{ ...each, name: known[index]!.name }] : []));
  const sure = open.length > 0 ? 'open' : found.some((each) => each.sure === 'likely') ? 'likely' : 'certain';
  const because =
    open.length > 0
      ? open.map((each) => `${each.name}: ${each.because}`).join('; ')
      : columns === undefined
        ? 'the names that the model was trained with; no shards were given'
        : 'the names that the model was trained with';
  const match = { name, features, sure, because, candidates: open.flatMap((each) => each.candidates) } as const;
  return {
    match,
    fed: fedBy(
      known.map((feature) => feature.name),
      features,
    ),
  };
}

/** With what the library does to nulls and categories. */
function completed(feature: FeatureFile, { kind, categories, unknown, missing }: FactFeature): FeatureFile {
  if (kind === 'category') {
    const { text: _, ...source } = feature;
    const index = { ...source, index: categories as string[] };
    return unknown === 'error' ? index : { ...index, unknown: 'own', missing: unlisted(categories ?? []) };
  }
  return missing === undefined || missing === null ? feature : { ...feature, missing };
}

/** What a null becomes where it is in no category. */
function unlisted(categories: readonly string[] | readonly number[]): string | number {
  if (typeof categories[0] === 'number') return Math.max(...(categories as number[])) + 1;
  return ['', '<null>'].find((text) => !(categories as string[]).includes(text)) ?? '<null>\u0000';
}

function fitUnnamed(
  wanted: WantedInput,
  missing: FactInput['missing'],
  columns: readonly TableColumn[] | undefined,
): Fitted {
  const width = wanted.rowShape[0] ?? 1;
  const names = Array.from({ length: width }, (_, index) => `x${index}`);
  const match: MatchedInput =
    columns === undefined
      ? {
          name: wanted.name,
          features: names.map((column) => ({ column })),
          sure: 'guess',
          because: `the model knows no names of its ${width} columns`,
          candidates: [],
        }
      : matchInputs([wanted], columns, [])[0]!;
  const hole = missing === undefined || missing === null ? {} : { missing };
  const features = [match.features].flat().map((feature) => ({ ...feature, ...hole }));
  const isOpen = match.sure === 'open' || features.length !== width;
  return { match: { ...match, features }, fed: isOpen ? [] : fedBy(names, features) };
}

function fedBy(names: readonly string[], features: readonly FeatureFile[]): FedFeature[] {
  return names.map((name, index) => {
    const { column = openColumn, missing } = features[index]!;
    return { name, column, takesNull: missing !== undefined };
  });
}
