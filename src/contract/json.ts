/**
 * Where a JSON text is wrong. `JSON.parse` gives no position for some errors on some versions of Node, and takes the
 * last of two equal keys without a word.
 */

/** What is wrong with a JSON text, and where. Lines and columns count from 1. */
export interface JsonFault {
  readonly what: string;
  readonly line: number;
  readonly column: number;
}

class Fault {
  readonly offset: number;
  readonly what: string;
  constructor(offset: number, what: string) {
    this.offset = offset;
    this.what = what;
  }
}

const space = /[ \t\n\r]*/y;
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const scalar = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;

/** The first fault of a text, also a key given twice in one object; undefined where there is none. */
export function findJsonFault(text: string): JsonFault | undefined {
  try {
    const end = skip(text, endOfValue(text, skip(text, 0)));
    if (end < text.length) throw new Fault(end, `nothing after the end of the object, got ${shown(text, end)}`);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    const lines = text.slice(0, thrown.offset).split('\n');
    return { what: thrown.what, line: lines.length, column: lines.at(-1)!.length + 1 };
  }
}

/** Reads a value from `at` and returns where it ends, as all of these do. */
export function endOfValue(text: string, at: number): number {
  if (text[at] === '{') return members(text, at + 1);
  if (text[at] === '[') return elements(text, at + 1);
  const end = match(string, text, at) ?? match(scalar, text, at);
  if (end !== undefined) return end;
  if (text[at] === '"') throw new Fault(at, 'a string that ends on its line, with valid escapes');
  throw new Fault(at, `a value, got ${shown(text, at)}`);
}

function members(text: string, start: number): number {
  const keys = new Set<string>();
  let at = skip(text, start);
  if (text[at] === '}') return at + 1;
  for (;;) {
    const keyEnd = match(string, text, at);
    if (keyEnd === undefined) throw new Fault(at, `a key in double quotes, got ${shown(text, at)}`);
    const key = JSON.parse(text.slice(at, keyEnd)) as string;
    if (keys.has(key)) throw new Fault(at, `each key once, got \`${key}\` again`);
    keys.add(key);
    at = skip(text, keyEnd);
    if (text[at] !== ':') throw new Fault(at, `a colon, got ${shown(text, at)}`);
    at = skip(text, endOfValue(text, skip(text, at + 1)));
    if (text[at] === '}') return at + 1;
    if (text[at] !== ',') throw new Fault(at, `a comma or }, got ${shown(text, at)}`);
    at = skip(text, at + 1);
  }
}

function elements(text: string, start: number): number {
  let at = skip(text, start);
  if (text[at] === ']') return at + 1;
  for (;;) {
    at = skip(text, endOfValue(text, at));
    if (text[at] === ']') return at + 1;
    if (text[at] !== ',') throw new Fault(at, `a comma or ], got ${shown(text, at)}`);
    at = skip(text, at + 1);
  }
}

function match(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}

/** Where the next character is that is no space. */
export function skip(text: string, at: number): number {
  return match(space, text, at) ?? at;
}

function shown(text: string, at: number): string {
  return at < text.length ? `\`${String.fromCodePoint(text.codePointAt(at)!)}\`` : 'the end of the file';
}
