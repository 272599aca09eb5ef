/** When two names mean the same, and which ones are near. */
import { distance } from 'fastest-levenshtein';

/** What tools put before and behind a column's name when they make an input's of it. */
const affixes =
  /^(?:f|x|in|col|num|cat|feat|feature|features|input|inputs|column)_|_(?:in|col|feat|feature|input|column)$/g;

/** `homeTeam`, `Home Team` and `home_team` as `home_team`; without the `:0` of TensorFlow. */
function snake(name: string): string {
  return name
    .replace(/:\d+$/, '')
    .replace(/([\p{Ll}\d])(?=\p{Lu})/gu, '$1_')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '_')
    .replace(/^_+|_+$/g, '');
}

/** A name without case and punctuation. */
function folded(name: string): string {
  return snake(name).replaceAll('_', '');
}

/** The same without what tools add; the whole name where nothing else is left. */
function bare(name: string): string {
  const stripped = snake(name).replace(affixes, '').replaceAll('_', '');
  return stripped === '' ? folded(name) : stripped;
}

/** How two names are the same. */
export type Likeness = 'equal' | 'but for case and punctuation' | 'but for what tools add';

const rules: readonly (readonly [Likeness, (name: string) => string])[] = [
  ['equal', (name) => name],
  ['but for case and punctuation', folded],
  ['but for what tools add', bare],
];

export interface NamesFound<Named> {
  readonly likeness: Likeness;
  /** More than one: the name does not tell. */
  readonly found: readonly Named[];
}

/** Those of the strictest rule under which any has this name; undefined: none has. */
export function sameNames<Named extends { readonly name: string }>(
  name: string,
  among: readonly Named[],
): NamesFound<Named> | undefined {
  for (const [likeness, form] of rules) {
    const wanted = form(name);
    const found = among.filter((each) => form(each.name) === wanted);
    if (found.length > 0) return { likeness, found };
  }
  return undefined;
}

/** The names nearest to one by edit distance, nearest first; one that is a part of the other counts as near. */
export function nearestNames(name: string, among: readonly string[], count: number): string[] {
  const wanted = bare(name);
  const far = (other: string): number => {
    const form = bare(other);
    const isPart = wanted.length > 2 && form.length > 2 && (form.includes(wanted) || wanted.includes(form));
    return isPart ? 0.5 : distance(wanted, form) / Math.max(wanted.length, form.length, 1);
  };
  return among
    .map((other) => ({ other, far: far(other) }))
    .sort((a, b) => a.far - b.far)
    .slice(0, count)
    .map(({ other }) => other);
}

/** Columns that are called like `stem0`, `stem1`, ... without a gap, in this order; by the stem's own spelling. */
export function numberedNames(names: readonly string[]): Map<string, string[]> {
  const stems = new Map<string, Map<number, string>>();
  for (const name of names) {
    const [, stem, digits] = /^(.*?)(\d{1,6})$/.exec(name) ?? [];
    if (stem === undefined || digits === undefined) continue;
    stems.set(stem, (stems.get(stem) ?? new Map<number, string>()).set(Number(digits), name));
  }
  const runs = new Map<string, string[]>();
  for (const [stem, byNumber] of stems) {
    const numbers = [...byNumber.keys()].sort((a, b) => a - b);
    const first = numbers[0]!;
    const isRun = first <= 1 && numbers.every((number, index) => number === first + index);
    if (isRun && numbers.length > 1)
      runs.set(
        stem,
        numbers.map((number) => byNumber.get(number)!),
      );
  }
  return runs;
}

/** What names an entity, a row or a time rather than describing it; such columns are kept, and feed nothing unasked. */
export function isIdLike(name: string): boolean {
  return /^(?:id|key|uuid|guid|pk|index|row_?(?:id|number)?|_+index_level_\d+_*)$|_(?:id|key|uuid|guid|pk)$/.test(
    /^_/.test(name) ? name.toLowerCase() : snake(name),
  );
}

/** What a model is trained to give: never a guess for what it takes. */
export function isTargetLike(name: string): boolean {
  return /^(?:y|label|labels|target|targets|class|outcome|prediction|probability|score|fold|split|weight)$|_(?:label|target)$/.test(
    snake(name),
  );
}
