/** tandem.json as a person would have laid it out: what fits on a line is on a line. */
import { lineColumnsMax } from '../limits.ts';

/** JSON text that ends with a line break. `undefined` values are left out. */
export function formatContract(contract: object): string {
  return `${format(contract, '', 0)}\n`;
}

/** @param used columns that stand before the value on its line */
function format(value: unknown, indent: string, used: number): string {
  const flat = flatten(value);
  const isRoot = used === 0 && indent === '';
  if (typeof value !== 'object' || value === null || (!isRoot && used + flat.length <= lineColumnsMax)) return flat;
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const isPlain = value.every((each) => typeof each !== 'object');
    const lines = isPlain ? packed(value.map(flatten), inner) : value.map((each) => format(each, inner, inner.length));
    return `[\n${lines.map((line) => inner + line).join(isPlain ? '\n' : ',\n')}\n${indent}]`;
  }
  const members = entriesOf(value).map(([key, each]) => {
    const head = `${JSON.stringify(key)}: `;
    return `${inner}${head}${format(each, inner, inner.length + head.length)}`;
  });
  return `{\n${members.join(',\n')}\n${indent}}`;
}

/** As many values on each line as fit. */
function packed(values: readonly string[], indent: string): string[] {
  const lines: string[] = [];
  values.forEach((value, index) => {
    const item = index < values.length - 1 ? `${value},` : value;
    const last = lines.at(-1);
    if (last === undefined || indent.length + last.length + 1 + item.length > lineColumnsMax) lines.push(item);
    else lines[lines.length - 1] = `${last} ${item}`;
  });
  return lines;
}

function flatten(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flatten).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = entriesOf(value).map(([key, each]) => `${JSON.stringify(key)}: ${flatten(each)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

function entriesOf(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, each]) => each !== undefined);
}
