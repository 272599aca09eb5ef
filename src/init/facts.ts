/** What the export script says of a model, and the contract that follows from it. Pure. */
import type { ElementType } from '../contract/contract.ts';
import type { FeatureFile } from '../contract/schema.ts';
import { quoteIdentifier, quoteText } from '../engines/duckdb/database.ts';
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
  /** Steps, or categories, that stand beside the column in the contract. */
  readonly contract?: Partial<FeatureFile>;
  readonly codes?: Codes;
  /** The library takes NaN for a null, where `missing` is more than that. */
  readonly nanIsNull?: true;
}

/** A number is looked up: the position of a category, or these. Null: an error. `nan`, for JSON has none. */
export interface Codes {
  readonly categories: readonly string[] | readonly number[];
  readonly null: number | 'nan' | null;
  readonly unknown: number | 'nan' | null;
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
    const wanted = isLookedUpAsText(feature) ? 'string' : elementType;
    const own: FeatureFile = wanted === 'string' ? { column: feature.name, text: true } : { column: feature.name };
    return columns === undefined
      ? { feature: own, sure: 'certain' as Sureness, because: '', candidates: [] }
      : featureByName(feature.name, wanted, columns);
  });
  const features = found.map((each, index) => {
    const type = columns?.find((column) => column.name === each.feature.column)?.type;
    return completed(each.feature, known[index]!, type);
  });
  const open = found.flatMap((each, index) => (each.sure === 'open' ? [{ ...each, name: known[index]!.name }] : []));
  const sure = open.length > 0 ? 'open' : found.some((each) => each.sure === 'likely') ? 'likely' : 'certain';
  const because =
    open.length > 0
      ? open.map((each) => `${each.name}: ${each.because}`).join('; ')
      : columns === undefined
        ? 'the names that the model was trained with; no shards were given'
        : 'the names that the model was trained with';
  const match = { name, features, sure, because, candidates: open.flatMap((each) => each.candidates) } as const;
  const fed = known.map((feature, index) => ({
    name: feature.name,
    column: found[index]!.feature.column ?? openColumn,
    takesNull: takesNull(feature, features[index]!),
  }));
  return { match, fed };
}

/** Categories of pandas may be of any type: they are looked up by their text. */
function isLookedUpAsText({ kind, contract, codes }: FactFeature): boolean {
  return kind === 'category' || (kind === 'text' && (contract !== undefined || codes !== undefined));
}

function takesNull({ codes }: FactFeature, { missing }: FeatureFile): boolean {
  return codes === undefined ? missing !== undefined : codes.null !== null;
}

/**
 * With what the library does to nulls and categories.
 * @param type of the column; undefined: unknown
 */
function completed(feature: FeatureFile, known: FactFeature, type: string | undefined): FeatureFile {
  const { kind, categories, unknown, missing, contract, codes } = known;
  const { text, ...source } = feature;
  if (kind === 'category') {
    const index = { ...source, index: categories as string[] };
    return unknown === 'error' ? index : { ...index, unknown: 'own', missing: unlisted(categories ?? []) };
  }
  const column = feature.column ?? openColumn;
  // Nobody could tell what is open in the midst of an expression.
  if (codes !== undefined && column !== openColumn) return { sql: codesSql(codes, column, type) };
  const hole = missing === undefined || missing === null ? {} : { missing };
  const isSql = known.nanIsNull === true && kind !== 'text' && column !== openColumn && mayBeNan(type);
  const from = isSql ? { sql: withoutNan(numberSql(column, type)) } : source;
  return { ...from, ...(text === true && contract === undefined ? { text } : {}), ...contract, ...hole };
}

function mayBeNan(type: string | undefined): boolean {
  return type === undefined || type === 'FLOAT' || type === 'DOUBLE';
}

/** `nullif(x, 'nan')` is x where Parquet's statistics, which leave NaN out, bound it. */
function withoutNan(number: string): string {
  return `CASE WHEN NOT isnan(${number}) THEN ${number} END`;
}

function numberSql(column: string, type: string | undefined): string {
  return type === undefined ? `CAST(${quoteIdentifier(column)} AS DOUBLE)` : quoteIdentifier(column);
}

/** As OrdinalEncoder has it. An ENUM finds a text as fast as `index` does. */
function codesSql({ categories, null: ofNull, unknown }: Codes, column: string, type: string | undefined): string {
  const value = quoteIdentifier(column);
  const isOfTexts = typeof categories[0] === 'string';
  // As texts, numbers too: DuckDB reads 0.1 as a DECIMAL, and not every one becomes the double that it was.
  const list = categories.map((category) => quoteText(`${category}`));
  const isNan = !isOfTexts && mayBeNan(type) ? ` OR isnan(${numberSql(column, type)})` : '';
  const position = isOfTexts
    ? `enum_code(TRY_CAST(${type === 'VARCHAR' ? value : `CAST(${value} AS VARCHAR)`} AS ENUM(${list.join(', ')})))::DOUBLE`
    : `(list_position([${list.join(', ')}]::DOUBLE[], CAST(${value} AS DOUBLE)) - 1)::DOUBLE`;
  const other = unknown === null ? `error(${quoteText(`${column} is no category: `)} || ${value})` : codeSql(unknown);
  const ofMissing = ofNull === null ? 'NULL' : codeSql(ofNull);
  return `CASE WHEN ${value} IS NULL${isNan} THEN ${ofMissing} ELSE coalesce(${position}, ${other}) END`;
}

function codeSql(code: number | 'nan'): string {
  return code === 'nan' ? "'nan'::DOUBLE" : `${code}`;
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
  const fed = names.map((name, index) => {
    const { column = openColumn, missing: ofNull } = features[index] ?? {};
    return { name, column, takesNull: ofNull !== undefined };
  });
  return { match: { ...match, features }, fed: isOpen ? [] : fed };
}
