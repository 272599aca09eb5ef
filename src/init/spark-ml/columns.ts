/**
 * What the columns of Spark's DataFrame are made of, as plain data: a stage takes columns and gives columns, and in the end
 * those that the predictor reads become features of the contract and nodes of the model.
 */
import type { Source } from '../../contract/contract.ts';
import type { FeatureFile, StepFile } from '../../contract/schema.ts';
import { quoteIdentifier } from '../../engines/duckdb/database.ts';
import { TandemError } from '../../errors.ts';
import type { Graph } from './graph.ts';
import type { SavedStage } from './saved.ts';

export interface NumberColumn {
  readonly kind: 'number';
  readonly source: Source;
  /** DuckDB's name of the value's type; undefined: not known. */
  readonly type: string | undefined;
  /** What a null becomes; undefined: it stays one. */
  readonly missing: number | undefined;
  /** The number is how many of these are <= the value; undefined: it is the value. */
  readonly boundaries: readonly number[] | undefined;
  /** Neither null nor NaN, whatever the shard holds. */
  readonly isComplete: boolean;
}

/** Place of a text among labels; any other is an error or has the place after the last. */
export interface IndexColumn {
  readonly kind: 'index';
  readonly source: Source;
  readonly labels: readonly string[];
  readonly unknown: 'own' | 'error';
}

export interface VectorColumn {
  readonly kind: 'vector';
  readonly slots: readonly Slot[];
  /** SQL of what makes the whole vector null where it is null. */
  readonly nullable: readonly string[];
}

/** A column that the predictor makes: an output of the model. */
export interface OutputColumn {
  readonly kind: 'output';
}

export type Column = NumberColumn | IndexColumn | VectorColumn | OutputColumn;

/** One value of a vector: value `at` of a piece, scaled. */
export interface Slot {
  readonly piece: Piece;
  readonly at: number;
  readonly scalings: readonly Scaling[];
}

export type Piece =
  | NumberColumn
  | IndexColumn
  | { readonly kind: 'feature'; readonly feature: FeatureFile; readonly width: number }
  /** What the model computes of the values of a vector. @param x [N, values]; gives [N, width] */
  | {
      readonly kind: 'computed';
      readonly vector: VectorColumn;
      readonly width: number;
      readonly compute: (graph: Graph, x: string) => string;
    };

/** (x - subtract) * multiply + add, in float64 and in this order, as Spark computes it. */
export interface Scaling {
  readonly subtract: number;
  readonly multiply: number;
  readonly add: number;
  /** The same as a step of the contract, but for the last bit; undefined: there is none. */
  readonly step: StepFile | undefined;
}

/** The columns that stages have made so far; any other is one of the shard. Names are those that Spark would find. */
export class Frame {
  /** In SQL, under which the stages so far keep a row, whether or not a score needs the column. */
  readonly where: string[] = [];
  /** Sentences for whoever asked for the model. */
  readonly notes: string[] = [];
  /** Columns in which Spark stops at NaN. */
  readonly nanColumns = new Set<string>();
  readonly #columns = new Map<string, Column>();
  readonly #types: ReadonlyMap<string, string>;

  /** @param types of columns of the shards, as DuckDB names them, where they are known */
  constructor(types: ReadonlyMap<string, string> = new Map()) {
    this.#types = types;
  }

  set(name: string, column: Column): void {
    this.#columns.set(columnKey(name), column);
  }

  has(name: string): boolean {
    return this.#columns.has(columnKey(name));
  }

  /** Whether the shards are known to have no such column. */
  isAbsent(name: string): boolean {
    if (this.has(name) || this.#types.size === 0) return false;
    const [column] = pathOf(name);
    return this.#typeOf(column!) === undefined;
  }

  /** A column as VectorAssembler takes it. @throws TandemError BAD_MODEL */
  column(name: string, stage: SavedStage): NumberColumn | IndexColumn | VectorColumn {
    const column = this.#columns.get(columnKey(name)) ?? this.#shardNumber(name);
    if (column.kind === 'output') throw wrongInput(stage, name, 'a column of features', 'a prediction');
    return column;
  }

  /** @throws TandemError BAD_MODEL */
  number(name: string, stage: SavedStage): NumberColumn {
    const column = this.column(name, stage);
    if (column.kind !== 'number') throw wrongInput(stage, name, 'a number of the shard', words[column.kind]);
    return column;
  }

  /** @param size values that the stage has learned of. @throws TandemError BAD_MODEL */
  vector(name: string, size: number | undefined, stage: SavedStage): VectorColumn {
    const known = this.has(name) || size === undefined ? this.column(name, stage) : shardVector(name, size);
    if (known.kind !== 'vector') throw wrongInput(stage, name, 'a vector', words[known.kind]);
    const found = known.slots.length;
    if (size !== undefined && found !== size) throw wrongInput(stage, name, `${size} values`, `${found}`);
    return known;
  }

  #shardNumber(name: string): NumberColumn {
    const path = pathOf(name);
    return {
      kind: 'number',
      source: sourceOf(path),
      type: path.length === 1 ? this.#typeOf(path[0]!) : undefined,
      missing: undefined,
      boundaries: undefined,
      isComplete: false,
    };
  }

  #typeOf(column: string): string | undefined {
    const key = column.toLowerCase();
    return this.#types.get(column) ?? [...this.#types].find(([name]) => name.toLowerCase() === key)?.[1];
  }
}

/** Spark tells no cases apart, nor a name from the same in backticks. */
export function columnKey(name: string): string {
  return pathOf(name).join('\0').toLowerCase();
}

/** Parts of a name: dots lead into structs, but for those between backticks, of which two stand for one. */
function pathOf(name: string): string[] {
  const parts = name.match(/(?<=^|\.)(?:`(?:[^`]|``)+`|[^`.]+)(?=$|\.)/g) ?? [];
  // What Spark could not read either.
  if (parts.join('.') !== name) return [name];
  return parts.map((part) => (part.startsWith('`') ? part.slice(1, -1).replaceAll('``', '`') : part));
}

function sourceOf(path: readonly string[]): Source {
  return path.length === 1 ? { column: path[0]! } : { sql: path.map(quoteIdentifier).join('.') };
}

const words = { number: 'a number', index: 'an index of labels', vector: 'a vector' } as const;

function wrongInput({ uid }: SavedStage, name: string, expected: string, got: string): TandemError {
  return new TandemError('BAD_MODEL', `Expected ${name}, an input of stage ${uid}, to be ${expected}, got ${got}.`, {
    remedy:
      'Tandem takes vectors of the shard where a scaler, a model or VectorSizeHint says their size, and numbers and ' +
      'texts elsewhere. Fit the pipeline in that form, or score what it gives for the rows.',
  });
}

function shardVector(name: string, size: number): VectorColumn {
  const source = sourceOf(pathOf(name));
  const piece: Piece = { kind: 'feature', feature: { ...source, list: size }, width: size };
  return { kind: 'vector', slots: slotsOf(piece), nullable: [sourceSql(source)] };
}

export function widthOf(piece: Piece): number {
  return 'width' in piece ? piece.width : 1;
}

/** All values of a piece. */
export function slotsOf(piece: Piece): Slot[] {
  return Array.from({ length: widthOf(piece) }, (_, at) => ({ piece, at, scalings: [] }));
}

/** Whether a value can be NaN, as far as its type is known. */
export function mayBeNan({ type, isComplete }: NumberColumn): boolean {
  return !isComplete && !isWhole(type);
}

export function isWhole(type: string | undefined): boolean {
  return type !== undefined && /^U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$/.test(type);
}

/** A text that is no label. */
export function unlisted(labels: readonly string[]): string {
  let text = '(null)';
  while (labels.includes(text)) text = `(${text})`;
  return text;
}

/** Spark's own number, whatever its digits; one that float32 cannot hold makes DuckDB compare in float64. */
export function sqlNumber(value: number): string {
  const isPlain = Number.isInteger(value) && Math.abs(value) <= 2 ** 24;
  return isPlain ? `${value}` : `'${value}'::DOUBLE`;
}

export function sourceSql(source: Source): string {
  return 'sql' in source ? source.sql : quoteIdentifier(source.column);
}

/** The value before it is counted into buckets, in SQL. */
export function valueSql({ source, missing }: NumberColumn): string {
  const sql = sourceSql(source);
  return missing === undefined ? sql : `coalesce(${sql}, ${sqlNumber(missing)})`;
}

/** The number, in SQL. */
export function numberSql(number: NumberColumn): string {
  if (number.boundaries === undefined) return valueSql(number);
  const cases = number.isComplete ? [] : [...nullStays(number), `WHEN isnan(${valueSql(number)}) THEN 'NaN'::DOUBLE`];
  return bucketSql(number, cases, number.boundaries);
}

/** A case in which a null stays one. */
export function nullStays(number: NumberColumn): string[] {
  return [`WHEN ${valueSql(number)} IS NULL THEN NULL`];
}

/** How many boundaries are <= the value, but in the cases before. */
export function bucketSql(number: NumberColumn, cases: readonly string[], boundaries: readonly number[]): string {
  const value = valueSql(number);
  const buckets = boundaries.map((boundary, bucket) => `WHEN ${value} < ${sqlNumber(boundary)} THEN ${bucket}`);
  return ['CASE', ...cases, ...buckets, `ELSE ${boundaries.length} END`].join(' ');
}
