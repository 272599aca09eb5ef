/**
 * `npm run engines:check`: runs the self-tests of both engines and, given C headers, compares our tables with them.
 *
 *   --header FILE          onnxruntime_c_api.h: names and order of struct OrtApi, parameters of what we bind
 *   --duckdb-header FILE   duckdb.h: parameters of what we bind
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { asTandemError, errorCodes, formatError, TandemError } from '../errors.ts';
import { loadDuckDb } from './duckdb/bindings.ts';
import { parseDuckDbHeader, parseOrtApi, parseOrtApiVersion, type Declaration } from './headers.ts';
import { ortApiFunctions } from './onnxruntime/api-table.ts';
import { loadOnnxRuntime } from './onnxruntime/bindings.ts';
import { withoutNames } from './native.ts';
import { selfTest, type SelfTestLine } from './selftest.ts';

/** What a header says against what we have; one line per difference, or one that says there is none. */
export function compareOrtHeader(
  header: string,
  table: readonly string[],
  bound: readonly Declaration[],
): SelfTestLine[] {
  const declared = parseOrtApi(header);
  const lines: SelfTestLine[] = [];
  const add = (check: string, found: string, ok: boolean) => lines.push({ engine: 'ONNX Runtime', check, found, ok });
  const shared = Math.min(declared.length, table.length);
  let sameCount = 0;
  for (let index = 0; index < shared; index++) {
    const { name } = declared[index]!;
    if (name === table[index]) sameCount++;
    else add(`function ${index}`, `table ${table[index]}, header ${name}`, false);
  }
  // The struct only ever grows at its end.
  const more = declared.slice(shared).map((declaration) => declaration.name);
  const fewer = table.slice(shared);
  if (more.length > 0) add('only in the header', `${more.length}, from ${more[0]}`, true);
  const isNeeded = fewer.some((name) => bound.some((declaration) => declaration.name === name));
  if (fewer.length > 0) add('only in the table', `${fewer.length}, from ${fewer[0]}`, !isNeeded);
  const version = parseOrtApiVersion(header) ?? 'unknown';
  add('order in the header', `${sameCount} of ${shared}, API version ${version}`, sameCount === shared);
  const reachable = bound.filter((declaration) => !fewer.includes(declaration.name));
  return [...lines, ...compareParameters('ONNX Runtime', declared, reachable)];
}

export function compareDuckDbHeader(header: string, bound: readonly Declaration[]): SelfTestLine[] {
  return compareParameters('DuckDB', parseDuckDbHeader(header), bound);
}

function compareParameters(
  engine: SelfTestLine['engine'],
  declared: readonly Declaration[],
  bound: readonly Declaration[],
): SelfTestLine[] {
  const countOf = new Map(declared.map((declaration) => [declaration.name, declaration.parameterCount]));
  const wrong = bound.filter(({ name, parameterCount }) => countOf.get(name) !== parameterCount);
  const lines = wrong.map(({ name, parameterCount }): SelfTestLine => {
    const declaredCount = countOf.get(name) ?? 'no such function';
    return { engine, check: name, found: `table ${parameterCount} parameters, header ${declaredCount}`, ok: false };
  });
  const found = `${bound.length - wrong.length} of ${bound.length}`;
  return [...lines, { engine, check: 'parameters in the header', found, ok: wrong.length === 0 }];
}

/** Names and parameter counts of bound functions, as koffi understood their signatures. */
export function boundFunctions(functions: object): Declaration[] {
  return Object.entries(withoutNames(functions)).map(([name, bound]) => ({
    name,
    parameterCount: (bound as { readonly info: { readonly arguments: readonly unknown[] } }).info.arguments.length,
  }));
}

/** The lines as an aligned table. */
export function formatLines(lines: readonly SelfTestLine[]): string {
  const foundWidthMax = 70;
  const cells = [
    ['engine', 'check', 'found', ''],
    ...lines.map(({ engine, check, found, ok }) => {
      const shown = ok && found.length > foundWidthMax ? `${found.slice(0, foundWidthMax - 3)}...` : found;
      return [engine, check, shown, ok ? 'ok' : 'WRONG'];
    }),
  ];
  const widths = [0, 1, 2].map((index) => Math.max(...cells.map((row) => row[index]!.length)));
  return cells
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function readHeader(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TandemError('USAGE', `Expected a header file at ${path}, got: ${(cause as Error).message}.`, { cause });
  }
}

function main(): number {
  let flags: { header?: string; 'duckdb-header'?: string };
  try {
    flags = parseArgs({ options: { header: { type: 'string' }, 'duckdb-header': { type: 'string' } } }).values;
  } catch (cause) {
    const { message } = cause as Error;
    throw new TandemError('USAGE', `Expected --header FILE or --duckdb-header FILE, got: ${message}`, { cause });
  }
  const lines = selfTest();
  if (flags.header !== undefined) {
    const bound = boundFunctions(loadOnnxRuntime());
    lines.push(...compareOrtHeader(readHeader(flags.header), ortApiFunctions, bound));
  }
  if (flags['duckdb-header'] !== undefined) {
    lines.push(...compareDuckDbHeader(readHeader(flags['duckdb-header']), boundFunctions(loadDuckDb())));
  }
  console.log(formatLines(lines));
  return lines.every((line) => line.ok) ? 0 : errorCodes.ENVIRONMENT.exitCode;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = main();
  } catch (thrown) {
    const error = asTandemError(thrown);
    console.error(formatError(error));
    process.exitCode = error.exitCode;
  }
}
