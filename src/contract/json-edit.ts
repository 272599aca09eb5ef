/** Changes of single values in the text of tandem.json, so that all else, and whoever reads a diff, is left alone. */
import { bug } from '../errors.ts';
import type { FieldPath } from './complain.ts';
import { endOfValue, skip } from './json.ts';

/** Longest line of a list; flights' own tandem.json is as wide. */
const lineWidth = 110;

interface Stretch {
  readonly start: number;
  readonly end: number;
}

interface Member extends Stretch {
  readonly key: string | number;
  /** Where its key begins, or in a list its value. */
  readonly at: number;
}

/**
 * The text with a value in the place of another, or as a new last member of the object that the path's last key belongs
 * to. Lists are broken into lines of {@link lineWidth}.
 * @param text valid JSON, as `findJsonFault` says
 */
export function setJsonValue(text: string, path: FieldPath, value: unknown): string {
  const parent = stretchAt(text, path.slice(0, -1));
  const members = membersOf(text, parent.start);
  const found = members.find(({ key }) => key === path.at(-1));
  const inItsLines = (inserted: string): string =>
    text.includes('\r\n') ? inserted.replaceAll('\n', '\r\n') : inserted;
  if (found !== undefined) {
    const inserted = inItsLines(formatJson(value, indentationAt(text, found.at)));
    return text.slice(0, found.start) + inserted + text.slice(found.end);
  }
  const last = members.at(-1);
  if (last === undefined) throw bug(`There is no member at ${path.join('.')} beside which another could stand`);
  const indentation = indentationAt(text, last.at);
  const lineStart = text.lastIndexOf('\n', last.at - 1) + 1;
  const hasLine = lineStart > parent.start && text.slice(lineStart, last.at).trim() === '';
  const separator = hasLine ? `,\n${indentation}` : ', ';
  const member = `${separator}${JSON.stringify(path.at(-1))}: ${formatJson(value, indentation)}`;
  return text.slice(0, last.end) + inItsLines(member) + text.slice(last.end);
}

/** Where the value of a path stands. */
function stretchAt(text: string, path: FieldPath): Stretch {
  const start = skip(text, text.startsWith('\uFEFF') ? 1 : 0);
  return path.reduce<Stretch>(
    (at, key) => {
      const found = membersOf(text, at.start).find((member) => member.key === key);
      if (found === undefined) throw bug(`tandem.json has no ${path.join('.')}`);
      return found;
    },
    { start, end: endOfValue(text, start) },
  );
}

/** Of the object or list that begins there. */
function membersOf(text: string, start: number): Member[] {
  const members: Member[] = [];
  const isObject = text[start] === '{';
  if (!isObject && text[start] !== '[') return members;
  for (let at = skip(text, start + 1); text[at] !== '}' && text[at] !== ']';) {
    const first = at;
    let key: string | number = members.length;
    if (isObject) {
      const keyEnd = endOfValue(text, at);
      key = JSON.parse(text.slice(at, keyEnd)) as string;
      at = skip(text, skip(text, keyEnd) + 1);
    }
    const end = endOfValue(text, at);
    members.push({ key, at: first, start: at, end });
    at = skip(text, end);
    if (text[at] === ',') at = skip(text, at + 1);
  }
  return members;
}

/** The spaces at the start of the line. */
function indentationAt(text: string, at: number): string {
  return /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', at - 1) + 1))![0];
}

/** On one line, but for long lists. */
function formatJson(value: unknown, indentation: string): string {
  if (Array.isArray(value)) {
    const items = value.map((item) => formatJson(item, indentation));
    const line = `[${items.join(', ')}]`;
    if (indentation.length + line.length <= lineWidth) return line;
    const inner = `${indentation}  `;
    return `[\n${filledLines(items, inner)}\n${indentation}]`;
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([key, member]) => `${JSON.stringify(key)}: ${formatJson(member, indentation)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

function filledLines(items: readonly string[], indentation: string): string {
  const lines: string[][] = [[]];
  let width = indentation.length;
  for (const item of items) {
    if (width + item.length > lineWidth && lines.at(-1)!.length > 0) {
      lines.push([]);
      width = indentation.length;
    }
    lines.at(-1)!.push(item);
    width += item.length + 2;
  }
  return lines.map((line) => indentation + line.join(', ')).join(',\n');
}
