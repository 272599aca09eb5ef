/** Stages that make columns of single columns: StringIndexer, OneHotEncoder, Bucketizer, Imputer, VectorSizeHint. */
import { z } from 'zod';
import type { Source } from '../../contract/contract.ts';
import type { FeatureFile } from '../../contract/schema.ts';
import { quoteText } from '../../engines/duckdb/database.ts';
import { TandemError } from '../../errors.ts';
import {
  bucketSql,
  isWhole,
  mayBeNan,
  nullStays,
  numberSql,
  slotsOf,
  sourceSql,
  sqlNumber,
  unlisted,
  valueSql,
  type Frame,
  type IndexColumn,
  type NumberColumn,
  type Slot,
  type VectorColumn,
} from './columns.ts';
import { double, oneOf, paramsOf, type SavedStage } from './saved.ts';

const columnsForm = z.object({
  inputCol: z.string().optional(),
  outputCol: z.string().optional(),
  inputCols: z.array(z.string()).optional(),
  outputCols: z.array(z.string()).optional(),
});
const handleInvalid = z.enum(['error', 'skip', 'keep']);

/** Names of the input and output columns in pairs. */
export function pairsOf(stage: SavedStage): [input: string, output: string][] {
  const { inputCol, outputCol, inputCols, outputCols } = paramsOf(stage, columnsForm);
  if (inputCols !== undefined) return inputCols.map((input, at) => [input, outputCols?.[at] ?? '']);
  return [[inputCol ?? '', outputCol ?? '']];
}

/** Null and a text that is no label are the same: an error, a row left out, or the place after the last label. */
export function indexStrings(stage: SavedStage, frame: Frame): void {
  const { handleInvalid: invalid } = paramsOf(stage, z.object({ handleInvalid }));
  const labels = z.union([
    z.object({ labelsArray: z.array(z.array(z.string())) }).transform(({ labelsArray }) => labelsArray),
    z.object({ labels: z.array(z.string()) }).transform((saved) => [saved.labels]),
  ]);
  const listed = oneOf(stage, labels);
  pairsOf(stage).forEach(([input, output], at) => {
    if (frame.has(input)) throw notOfTheShard(stage, input);
    const labels = listed[at] ?? [];
    if (labels.length === 0) throw noLabels(stage, input);
    const { source, type } = frame.number(input, stage);
    const column: IndexColumn = {
      kind: 'index',
      source: textSource(source, type, labels),
      labels,
      unknown: invalid === 'keep' ? 'own' : 'error',
    };
    frame.set(output, column);
    // Without the column, such as that of the label, Spark goes on.
    if (invalid === 'skip' && !frame.isAbsent(input)) frame.where.push(isListed(column));
  });
}

/** Spark casts numbers to text before it looks them up, as Java writes them: 1.0E7 is 10000000.0 in DuckDB, 1E-8 of a DECIMAL 0.00000001. */
function textSource(source: Source, type: string | undefined, labels: readonly string[]): Source {
  const differing = labels.filter((label) => /^-?\d+(\.\d+)?E-?\d+$|^NaN$|^-?Infinity$/.test(label));
  const mayDiffer = type === undefined || /^(FLOAT|DOUBLE|DECIMAL.*)$/.test(type);
  if (differing.length === 0 || !mayDiffer) return source;
  const value = sourceSql(source);
  const text = `CAST(${value} AS VARCHAR)`;
  const textOf = (floating: string): string => {
    const cases = differing.map((label) => `WHEN ${quoteText(label)}::${floating} THEN ${quoteText(label)}`);
    return `CASE TRY_CAST(${value} AS ${floating}) ${cases.join(' ')} ELSE ${text} END`;
  };
  if (type !== undefined) return { sql: textOf(type === 'FLOAT' ? type : 'DOUBLE') };
  const name = `typeof(${value})`;
  const isDouble = `${name} = 'DOUBLE' OR ${name} LIKE 'DECIMAL%'`;
  return {
    sql: `CASE WHEN ${name} = 'FLOAT' THEN ${textOf('FLOAT')} WHEN ${isDouble} THEN ${textOf('DOUBLE')} ELSE ${text} END`,
  };
}

/** True where the text is one of the labels. */
export function isListed({ source, labels }: IndexColumn): string {
  return `CAST(${sourceSql(source)} AS VARCHAR) IN (${labels.map(quoteText).join(', ')})`;
}

/** What looks an index up in the contract. */
export function indexFeature({ source, labels, unknown }: IndexColumn, kind: 'index' | 'oneHot'): FeatureFile {
  const listed = { ...source, [kind]: [...labels] };
  return unknown === 'error' ? listed : { ...listed, missing: unlisted(labels), unknown };
}

export function encodeOneHot(stage: SavedStage, frame: Frame): void {
  const form = z.object({ handleInvalid: z.enum(['error', 'keep']), dropLast: z.boolean() });
  const { handleInvalid: invalid, dropLast } = paramsOf(stage, form);
  const { categorySizes } = oneOf(stage, z.object({ categorySizes: z.array(z.number()) }));
  pairsOf(stage).forEach(([input, output], at) => {
    const size = categorySizes[at] ?? 0;
    const column = frame.column(input, stage);
    // Spark's OneHotEncoderModel.getConfigedCategorySizes.
    const width = size + (invalid === 'keep' && !dropLast ? 1 : 0) - (invalid === 'error' && dropLast ? 1 : 0);
    if (column.kind === 'vector') throw notOfTheShard(stage, input);
    const vector =
      column.kind === 'index'
        ? hotIndex(stage, column, size, width)
        : hotNumber(column, size + (invalid === 'keep' ? 1 : 0), invalid, width);
    frame.set(output, vector);
  });
}

function hotIndex(stage: SavedStage, column: IndexColumn, size: number, width: number): VectorColumn {
  const count = column.labels.length + (column.unknown === 'own' ? 1 : 0);
  if (count > size) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected stage ${stage.uid} to know the ${count} categories of ${sourceSql(column.source)}, got ${size}.`,
      { remedy: 'Fit StringIndexer and OneHotEncoder in one pipeline.' },
    );
  }
  return hotVector(indexFeature(column, 'oneHot'), count, width, []);
}

function hotNumber(column: NumberColumn, count: number, invalid: 'error' | 'keep', width: number): VectorColumn {
  const categories = Array.from({ length: invalid === 'keep' ? count - 1 : count }, (_, category) => category);
  const { boundaries, missing, source, type } = column;
  // Spark cuts a fraction off.
  const read =
    boundaries === undefined && isWhole(type)
      ? { ...source, ...(missing === undefined ? {} : { missing }) }
      : { sql: boundaries === undefined ? `floor(${numberSql(column)})` : numberSql(column) };
  const feature = { ...read, oneHot: categories, ...(invalid === 'keep' ? { unknown: 'own' as const } : {}) };
  return hotVector(feature, count, width, column.isComplete ? [] : [valueSql(column)]);
}

/** @param count positions of the feature; the vector may have one less, or more that are always 0 */
function hotVector(feature: FeatureFile, count: number, width: number, nullable: readonly string[]): VectorColumn {
  const slots: Slot[] = [];
  if (width > 0) {
    const dropped = count > width ? { dropLast: true } : {};
    slots.push(...slotsOf({ kind: 'feature', feature: { ...feature, ...dropped }, width: Math.min(count, width) }));
  }
  const zero = { kind: 'feature', feature: { sql: '0' }, width: 1 } as const;
  while (slots.length < width) slots.push({ piece: zero, at: 0, scalings: [] });
  return { kind: 'vector', slots, nullable };
}

/** Buckets are [low, high), the last one [low, high]; NaN has one of its own with `keep`. */
export function bucketize(stage: SavedStage, frame: Frame): void {
  const splits = z.array(double);
  const form = z.object({ handleInvalid, splits: splits.optional(), splitsArray: z.array(splits).optional() });
  const params = paramsOf(stage, form);
  const invalid = params.handleInvalid;
  pairsOf(stage).forEach(([input, output], at) => {
    const number = frame.number(input, stage);
    const ends = params.splitsArray?.[at] ?? params.splits ?? [];
    const [low, high] = [ends[0]!, ends.at(-1)!];
    const boundaries = ends.slice(1, -1);
    if (invalid === 'skip') frame.where.push(isNumber(number));
    const isComplete = number.isComplete || invalid === 'skip';
    if (invalid === 'error' && mayBeNan(number)) frame.nanColumns.add(input);
    const isOpen = low === -Infinity && high === Infinity;
    if (isOpen && number.boundaries === undefined && (invalid !== 'keep' || isComplete)) {
      frame.set(output, { ...number, type: undefined, boundaries, isComplete });
      return;
    }
    const counted = {
      ...number,
      type: undefined,
      source: { sql: numberSql(number) },
      missing: undefined,
      boundaries: undefined,
    };
    const value = counted.source.sql;
    // The value is in the text, so that nothing is computed, and fails, before there is a row.
    const fail = (what: string): string => `error(${quoteText(`${what} (${stage.uid}): `)} || ${value})`;
    const ofNan = invalid === 'keep' ? `${boundaries.length + 1}` : fail('NaN is in no bucket');
    const cases = isComplete ? [] : [...nullStays(counted), `WHEN isnan(${value}) THEN ${ofNan}`];
    const beyond = `WHEN ${value} < ${sqlNumber(low)} OR ${value} > ${sqlNumber(high)} THEN ${fail('A value is in no bucket')}`;
    const sql = bucketSql(counted, isOpen ? cases : [...cases, beyond], boundaries);
    frame.set(output, { ...counted, source: { sql }, isComplete });
  });
}

/** 1 above the threshold; NaN, and what is null, is not above it. */
export function binarizeNumber(number: NumberColumn, threshold: number): NumberColumn {
  const value = numberSql(number);
  const isAbove = `${value} > ${sqlNumber(threshold)}`;
  // To DuckDB NaN is the largest number.
  const sql = `CASE WHEN ${mayBeNan(number) ? `NOT isnan(CAST(${value} AS DOUBLE)) AND ` : ''}${isAbove} THEN 1 ELSE 0 END`;
  const type = 'INTEGER';
  return { kind: 'number', source: { sql }, type, missing: undefined, boundaries: undefined, isComplete: true };
}

/** True where the value is neither null nor NaN. */
export function isNumber(number: NumberColumn): string {
  const value = valueSql(number);
  return mayBeNan(number) ? `NOT isnan(CAST(${value} AS DOUBLE))` : `${value} IS NOT NULL`;
}

/**
 * Nulls, and whatever equals `missingValue` (NaN equals NaN), become the surrogate. Spark then casts to the type of the
 * column, which cuts the fraction off for whole numbers.
 */
export function impute(stage: SavedStage, frame: Frame): void {
  const { missingValue } = paramsOf(stage, z.object({ missingValue: double }));
  const surrogates = oneOf(stage, z.record(z.string(), z.number()));
  for (const [input, output] of pairsOf(stage)) {
    const number = frame.number(input, stage);
    const surrogate = surrogates[input];
    if (surrogate === undefined) throw noSurrogate(stage, input);
    const value = numberSql(number);
    const isNan = Number.isNaN(missingValue);
    const isPlain = isNan && isWhole(number.type) && number.missing === undefined;
    const found = isPlain ? number.source : { sql: nullIf(value, missingValue) };
    const isComplete = number.isComplete || isNan;
    const missing = castTo(number.type, surrogate);
    const filled =
      missing === undefined
        ? { source: { sql: `coalesce(${nullIf(value, missingValue)}, ${castLike(value, surrogate)})` }, missing }
        : { source: found, missing };
    frame.set(output, { ...number, ...filled, boundaries: undefined, isComplete });
  }
}

/** `nullif(x, 'nan')` is x where Parquet's statistics, which leave NaN out, bound it. */
function nullIf(value: string, number: number): string {
  if (Number.isNaN(number)) return `CASE WHEN NOT isnan(CAST(${value} AS DOUBLE)) THEN ${value} END`;
  return `nullif(${value}, ${sqlNumber(number)})`;
}

/** The number as a column of the type holds it; undefined where that depends on a type that is not known. */
function castTo(type: string | undefined, number: number): number | undefined {
  if (isWhole(type)) return Math.trunc(number);
  if (type === 'FLOAT') return Math.fround(number);
  // float32 holds these as they are.
  const isExact = Number.isInteger(number) && Math.abs(number) <= 2 ** 24;
  return type === 'DOUBLE' || isExact ? number : undefined;
}

/** The number as a column of the value's type would hold it. DuckDB settles the type once, not for each row. */
function castLike(value: string, number: number): string {
  const text = `'${number}'::DOUBLE`;
  const type = `typeof(${value})`;
  const scale = String.raw`TRY_CAST(regexp_extract(${type}, ',(\d+)\)', 1) AS INTEGER)`;
  return [
    `CASE WHEN ${type} LIKE '%INT%' THEN ${Math.trunc(number)} WHEN ${type} = 'FLOAT' THEN ${text}::FLOAT::DOUBLE`,
    `WHEN ${type} LIKE 'DECIMAL%' THEN round(${text}, ${scale}) ELSE ${text} END`,
  ].join(' ');
}

export function hintSize(stage: SavedStage, frame: Frame): void {
  const form = z.object({
    inputCol: z.string(),
    size: z.number(),
    handleInvalid: z.enum(['error', 'skip', 'optimistic']),
  });
  const { inputCol, size, handleInvalid: invalid } = paramsOf(stage, form);
  if (frame.has(inputCol)) return;
  const vector = frame.vector(inputCol, size, stage);
  frame.set(inputCol, vector);
  if (invalid === 'skip') frame.where.push(...vector.nullable.map((list) => `len(${list}) = ${size}`));
}

function notOfTheShard({ uid }: SavedStage, input: string): TandemError {
  return new TandemError('BAD_MODEL', `Expected ${input}, an input of stage ${uid}, to be a column of the shard.`, {
    remedy: 'Make the column in the shards, or say it in tandem.json as "sql", and fit the pipeline on it.',
  });
}

function noLabels({ uid }: SavedStage, input: string): TandemError {
  return new TandemError('BAD_MODEL', `Expected stage ${uid} to have labels of ${input}, got none.`, {
    remedy: 'Fit it on rows where the column is not null.',
  });
}

function noSurrogate({ uid }: SavedStage, input: string): TandemError {
  return new TandemError('BAD_MODEL', `Expected stage ${uid} to have a surrogate of ${input}, got none.`, {
    remedy: 'Fit it again.',
  });
}
