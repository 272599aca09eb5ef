/** Which columns feed which inputs of a model: rules over names and types, pure. */
import type { ElementType } from '../contract/contract.ts';
import type { FeatureFile } from '../contract/schema.ts';
import { isNumeric, isText, listType } from '../read/projection.ts';
import { isIdLike, isTargetLike, nearestNames, numberedNames, sameNames } from './names.ts';

/** A column of the shards. */
export interface TableColumn {
  readonly name: string;
  /** DuckDB's name of the type. */
  readonly type: string;
  /** As the footers count them; undefined: they do not say. */
  readonly nulls: number | undefined;
}

/** An input tensor. `rowShape`: dimensions without the batch's; a negative one is open. */
export interface WantedInput {
  readonly name: string;
  readonly elementType: ElementType;
  readonly rowShape: readonly number[];
}

/** `certain`: by name. `likely`: by a name that a tool has changed. `guess`: nothing in the model says so. `open`: unknown. */
export type Sureness = 'certain' | 'likely' | 'guess' | 'open';

/** What fills an input, and how sure that is. */
export interface MatchedInput {
  readonly name: string;
  readonly features: FeatureFile | readonly FeatureFile[];
  readonly sure: Sureness;
  /** Why these, in words. */
  readonly because: string;
  /** For what is open, or only guessed: columns or ways to write it, best first. */
  readonly candidates: readonly string[];
}

/** What tandem.json holds where only a person can tell: no column has this name, so that no run starts by accident. */
export const openColumn = '?';

const candidatesMax = 5;

/**
 * Matches inputs to columns. No column feeds two inputs unless it has the name of both.
 * @param hints for each input lists of names that the model file holds, each as long as a row of the input
 */
export function matchInputs(
  inputs: readonly WantedInput[],
  columns: readonly TableColumn[],
  hints: readonly (readonly string[])[],
): MatchedInput[] {
  const taken = new Set<string>();
  const matched = new Map<string, MatchedInput>();
  const take = (match: MatchedInput | undefined): void => {
    if (match === undefined || matched.has(match.name)) return;
    matched.set(match.name, match);
    for (const feature of [match.features].flat()) if (feature.column !== undefined) taken.add(feature.column);
  };
  // What a name says goes before what is left over for guesses.
  for (const input of inputs) if (widthOf(input) === 1) take(byName(input, columns));
  for (const input of inputs) if (widthOf(input) !== 1) take(byHint(input, columns, hints) ?? byList(input, columns));
  const free = (): TableColumn[] => columns.filter(({ name }) => !taken.has(name));
  for (const input of inputs) if (!matched.has(input.name)) take(byNumbers(input, free()) ?? byOnlyList(input, free()));
  for (const input of inputs) if (!matched.has(input.name)) take(byRest(input, free()) ?? open(input, free()));
  return inputs.map((input) => matched.get(input.name)!);
}

/** Values of a row; undefined: open. */
export function widthOf({ rowShape }: WantedInput): number | undefined {
  return rowShape.some((size) => size < 0) ? undefined : rowShape.reduce((product, size) => product * size, 1);
}

/** A scalar input by the name of a column. */
function byName(input: WantedInput, columns: readonly TableColumn[]): MatchedInput | undefined {
  const named = sameNames(input.name, columns);
  if (named === undefined) return undefined;
  const { likeness, found } = named;
  const [column] = found;
  if (column === undefined || found.length > 1) {
    const candidates = found.map(({ name }) => name);
    return unsettled(input, `${candidates.join(' and ')} are the same name ${likeness}`, candidates);
  }
  const way = scalarFeature(column, input.elementType);
  if (typeof way === 'string') return unsettled(input, way, waysFor(column));
  const isSure = likeness !== 'but for what tools add';
  const because = likeness === 'equal' ? 'same name' : `same name ${likeness}`;
  return { name: input.name, features: way, sure: isSure ? 'certain' : 'likely', because, candidates: [] };
}

/** A scalar of this element type from a column, or why that needs a decision. */
export function scalarFeature({ name, type }: TableColumn, elementType: ElementType): FeatureFile | string {
  const isList = listType(type) !== undefined;
  if (elementType === 'string' && !isList) return { column: name, text: true };
  if (elementType !== 'string' && isNumeric(type)) return { column: name };
  return `column ${name} is ${type}, and the input takes ${elementType}`;
}

/** What may be written for a column whose type does not fit, as a person would write it. */
export function waysFor({ name, type }: TableColumn): string[] {
  if (isText(type)) {
    return [
      `{ "column": ${JSON.stringify(name)}, "index": ["first category of the training", ...] }`,
      `{ "column": ${JSON.stringify(name)}, "index": { "fit": { "order": "alphabet" } } }, then tandem fit`,
      `{ "sql": ${JSON.stringify(`CAST("${name}" AS DOUBLE)`)} }`,
    ];
  }
  if (/^(?:DATE|TIME)/.test(type)) {
    return ['epoch', 'hour', 'dayofweek'].map((part) => `{ "sql": ${JSON.stringify(`${part}("${name}")`)} }`);
  }
  return [`{ "sql": ${JSON.stringify(`... "${name}" ...`)} }`];
}

/** Names that the model file holds. */
function byHint(
  input: WantedInput,
  columns: readonly TableColumn[],
  hints: readonly (readonly string[])[],
): MatchedInput | undefined {
  const width = widthOf(input);
  const hint = hints.find((names) => width === undefined || names.length === width);
  if (hint === undefined) return undefined;
  const found = hint.map((name) => featureByName(name, input.elementType, columns));
  if (found.every((each) => each.candidates.length === 0)) {
    const sure = found.some((each) => each.sure === 'likely') ? 'likely' : 'certain';
    const because = 'the names that the model file holds';
    return { name: input.name, features: found.map((each) => each.feature), sure, because, candidates: [] };
  }
  const missing = found.flatMap((each, index) => (each.candidates.length === 0 ? [] : [hint[index]!]));
  // Names of another table altogether say nothing about this one.
  if (missing.length > hint.length / 2) return undefined;
  const because = `the model file names ${missing.join(', ')}, which no column fits`;
  const candidates = [...new Set(found.flatMap((each) => each.candidates))].slice(0, candidatesMax);
  return { name: input.name, features: found.map((each) => each.feature), sure: 'open', because, candidates };
}

/** A feature that is called like this: its column, or what is near. */
export interface NamedFeature {
  readonly feature: FeatureFile;
  readonly sure: Sureness;
  readonly because: string;
  /** Not empty where it is open. */
  readonly candidates: readonly string[];
}

export function featureByName(name: string, elementType: ElementType, columns: readonly TableColumn[]): NamedFeature {
  const match = byName({ name, elementType, rowShape: [] }, columns);
  if (match === undefined) {
    const candidates = nearestNames(name, scalars(columns), candidatesMax);
    const because = 'no column has this name';
    return { feature: { column: openColumn }, sure: 'open', because, candidates: orNone(candidates) };
  }
  const { features, sure, because, candidates } = match;
  return { feature: [features].flat()[0]!, sure, because, candidates };
}

/** A list column with the input's name. */
function byList(input: WantedInput, columns: readonly TableColumn[]): MatchedInput | undefined {
  const lists = columns.filter((column) => isListFor(input, column));
  const named = sameNames(input.name, lists);
  if (named?.found.length !== 1) return undefined;
  const [column] = named.found;
  return listMatch(input, column!, named.likeness === 'but for what tools add' ? 'likely' : 'certain', 'same name');
}

/** The only list column of this length. */
function byOnlyList(input: WantedInput, columns: readonly TableColumn[]): MatchedInput | undefined {
  const width = widthOf(input);
  if (width === 1) return undefined;
  const lists = columns.filter((column) => isListFor(input, column) && listType(column.type)!.length === width);
  if (width === undefined || lists.length !== 1) return undefined;
  return listMatch(input, lists[0]!, 'guess', `the only list of ${width} values`);
}

function listMatch(input: WantedInput, { name, type }: TableColumn, sure: Sureness, because: string): MatchedInput {
  const width = widthOf(input);
  const isSized = listType(type)!.length !== undefined;
  const features = { column: name, list: isSized || width === undefined ? (true as const) : width };
  if (!isSized && width === undefined) {
    return unsettled(input, `column ${name} has lists of any length, and so has the input`, [
      `{ "column": ${JSON.stringify(name)}, "list": 128 }`,
    ]);
  }
  return { name: input.name, features, sure, because, candidates: [] };
}

function isListFor(input: WantedInput, { type }: TableColumn): boolean {
  const list = listType(type);
  if (list === undefined || input.elementType === 'string' || !isNumeric(list.element)) return false;
  const width = widthOf(input);
  return width === undefined || list.length === undefined || list.length === width;
}

/** Columns that are numbered, as many as a row has values. */
function byNumbers(input: WantedInput, columns: readonly TableColumn[]): MatchedInput | undefined {
  const width = widthOf(input);
  if (width === 1) return undefined;
  const runs = [...numberedNames(fitting(input.elementType, columns))];
  const fit = runs.filter(([, names]) => width === undefined || names.length === width);
  if (fit.length !== 1) return undefined;
  const [, names] = fit[0]!;
  const because = `numbered columns ${names[0]} to ${names.at(-1)}, by their numbers`;
  return { name: input.name, features: namesToFeatures(input, names), sure: 'likely', because, candidates: [] };
}

/** As many columns as a row has values are left, in the shards' order. */
function byRest(input: WantedInput, columns: readonly TableColumn[]): MatchedInput | undefined {
  const width = widthOf(input);
  if (width === undefined || width === 1) return undefined;
  const fit = fitting(input.elementType, columns);
  const likely = fit.filter((name) => !isIdLike(name) && !isTargetLike(name));
  const names = [likely, fit].find((each) => each.length === width);
  if (names === undefined) return undefined;
  const because = `the ${width} columns of a fitting type that nothing else takes, in the order of the shards`;
  return { name: input.name, features: namesToFeatures(input, names), sure: 'guess', because, candidates: [] };
}

function namesToFeatures({ elementType }: WantedInput, names: readonly string[]): FeatureFile[] {
  return names.map((column) => (elementType === 'string' ? { column, text: true as const } : { column }));
}

function open(input: WantedInput, columns: readonly TableColumn[]): MatchedInput {
  const width = widthOf(input);
  const fit = fitting(input.elementType, columns);
  if (width === 1) {
    return unsettled(input, 'no column has this name', nearestNames(input.name, scalars(columns), candidatesMax));
  }
  const kind = input.elementType === 'string' ? 'text' : 'number';
  const wanted = width === undefined ? 'any number of values' : `${width} values`;
  const because = `a row takes ${wanted}; ${fit.length} columns that nothing else takes hold a ${kind}`;
  return unsettled(input, because, fit.slice(0, 2 * candidatesMax));
}

/** Names of the columns that one value can come from: a text too, as its position in a list of categories. */
function scalars(columns: readonly TableColumn[]): string[] {
  return columns.filter(({ type }) => isNumeric(type) || isText(type)).map(({ name }) => name);
}

/** Names of the columns whose values such a tensor takes one by one. */
function fitting(elementType: ElementType, columns: readonly TableColumn[]): string[] {
  const fits = elementType === 'string' ? isText : isNumeric;
  return columns.filter(({ type }) => fits(type)).map(({ name }) => name);
}

function unsettled(input: WantedInput, because: string, candidates: readonly string[]): MatchedInput {
  return {
    name: input.name,
    features: [{ column: openColumn }],
    sure: 'open',
    because,
    candidates: orNone(candidates),
  };
}

/** A decision has to say what there is, even if that is nothing. */
function orNone(candidates: readonly string[]): readonly string[] {
  return candidates.length > 0 ? candidates : ['{ "constant": ... }'];
}
