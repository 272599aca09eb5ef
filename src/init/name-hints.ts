/** Names of features that a model file holds beside its graph, where its exporter has written them. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { fields, openWindow, textOf } from '../engines/onnxruntime/model-graph.ts';

/** Numbers of fields, as onnx.proto gives them. */
const metadataProps = 14;
const entryFields = { key: 1, value: 2 } as const;

/** Lists of names among the metadata of a model, those under a key that speaks of features or columns first. */
export function readNameHints(path: string): string[][] {
  const descriptor = openSync(path, 'r');
  try {
    const read = openWindow(descriptor);
    const hints: { readonly names: string[]; readonly isSaid: boolean }[] = [];
    for (const field of fields(read, 0, fstatSync(descriptor).size)) {
      if (field.number !== metadataProps) continue;
      const entry = { key: '', value: '' };
      for (const part of fields(read, field.start, field.end)) {
        if (part.number === entryFields.key) entry.key = textOf(read, part);
        if (part.number === entryFields.value) entry.value = textOf(read, part);
      }
      const isSaid = /feature|column|input/i.test(entry.key);
      const names = parseNames(entry.value, isSaid);
      if (names !== undefined) hints.push({ names, isSaid });
    }
    return hints.sort((a, b) => Number(b.isSaid) - Number(a.isSaid)).map(({ names }) => names);
  } finally {
    closeSync(descriptor);
  }
}

/** A JSON list of different texts; where the key says so, also texts with commas between. */
function parseNames(value: string, isSaid: boolean): string[] | undefined {
  const listed = value.trimStart().startsWith('[') ? parseJson(value) : isSaid ? value.split(',') : undefined;
  if (!Array.isArray(listed) || listed.length === 0 || !listed.every((each) => typeof each === 'string')) {
    return undefined;
  }
  const names = (listed as string[]).map((each) => each.trim());
  return new Set(names).size === names.length && !names.includes('') ? names : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
