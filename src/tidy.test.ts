/** The house rules that a machine can hold: who imports whom, sizes, leftovers, and that the README says what the code does. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkFlags } from './cli/check.ts';
import { doctorFlags } from './cli/doctor.ts';
import { featurizeFlags } from './cli/featurize.ts';
import { fitFlags } from './cli/fit.ts';
import type { Flag } from './cli/flags.ts';
import { initFlags } from './cli/init.ts';
import { inspectFlags } from './cli/inspect.ts';
import { profileFlags } from './cli/profile.ts';
import { reportFlags } from './cli/report.ts';
import { scoreFlags } from './cli/score.ts';
import { setupFlags } from './cli/setup.ts';
import { tuneFlags } from './cli/tune.ts';
import { errorCodes } from './errors.ts';
import { metrics } from './measure/metrics.ts';

/** Compiled tests run from dist/src; the rules are about the sources. */
const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly lines: readonly string[];
}

/** Made by the benchmarks: gigabytes, and whole Python environments. */
const generated = 'bench/data';

/** Every path under a folder of the root, from the root, with forward slashes. */
function pathsUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() && path !== generated ? [path, ...pathsUnder(path)] : [path];
  });
}

const files: readonly SourceFile[] = ['src', 'bench']
  .flatMap(pathsUnder)
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, lines: readFileSync(join(root, path), 'utf8').split('\n') }));

/** Each stage knows the shared nouns and the engines, never another stage. */
const stages = ['read', 'featurize', 'transfer', 'score', 'write', 'stage'];
/** What every stage may import besides its own folder. */
const shared = [
  'src/batch.ts',
  'src/messages.ts',
  'src/limits.ts',
  'src/errors.ts',
  'src/plan.ts',
  'src/relation.ts',
  'src/options.ts',
  'src/run-record.ts',
  'src/float16.ts',
  'src/json.ts',
  'src/output-options.ts',
  'src/shard-format.ts',
  'src/contract/',
  'src/engines/',
];
const engineImports = ['src/errors.ts', 'src/batch.ts', 'src/contract/contract.ts', 'src/engines/'];

/** Every relative import as from and to. */
const imports = files.flatMap(({ path, lines }) =>
  lines.flatMap((line) => {
    // What `placeOf` names lies below src.
    const placed = /placeOf\('(\.[^']+\.js)'/.exec(line);
    const found = placed ?? /(?:from|import)[ (]+'(\.[^']+)'/.exec(line) ?? /'(\.[^']+\.js)'/.exec(line);
    const folder = placed === null ? dirname(path) : 'src';
    return found === null ? [] : [{ from: path, to: normalize(join(folder, found[1]!)).replace(/\.js$/, '.ts') }];
  }),
);

function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('src/testing/') || path.startsWith('src/e2e/');
}

test('a stage imports shared nouns, engines and itself', () => {
  const wrong = imports.filter(({ from, to }) => {
    const stage = stages.find((name) => from.startsWith(`src/${name}/`));
    return (
      stage !== undefined &&
      !isTest(from) &&
      !to.startsWith(`src/${stage}/`) &&
      !shared.some((start) => to.startsWith(start))
    );
  });
  assert.deepEqual(wrong, []);
});

test('engines know nothing about shards, batches or the pipeline', () => {
  const wrong = imports.filter(
    ({ from, to }) =>
      from.startsWith('src/engines/') && !isTest(from) && !engineImports.some((start) => to.startsWith(start)),
  );
  assert.deepEqual(wrong, []);
});

test('imports go round between two files at most', () => {
  const own = files.filter(({ path }) => path.startsWith('src/') && !isTest(path));
  const next = new Map(own.map(({ path }) => [path, new Set<string>()]));
  for (const { from, to } of imports) next.get(from)?.add(to);
  const reached = new Map(Array.from(next.keys(), (path) => [path, reachedFrom(path)]));
  const circles = [...reached].map(([path, seen]) => [...seen].filter((other) => reached.get(other)?.has(path)));
  assert.deepEqual(
    circles.filter((circle) => circle.length > 2).map((circle) => circle.toSorted().join(' ')),
    [],
  );

  function reachedFrom(start: string): ReadonlySet<string> {
    const seen = new Set<string>();
    const stack = [start];
    for (let path = stack.pop(); path !== undefined; path = stack.pop()) {
      for (const to of next.get(path) ?? []) {
        if (!seen.has(to)) stack.push(to);
        seen.add(to);
      }
    }
    return seen;
  }
});

test('nothing but tests and benchmarks imports what is made for testing', () => {
  const wrong = imports.filter(
    ({ from, to }) => to.startsWith('src/testing/') && from.startsWith('src/') && !isTest(from),
  );
  assert.deepEqual(wrong, []);
});

test('every file is imported, started or run', () => {
  const entries = [
    'src/main.ts',
    'src/bundle.ts',
    'src/index.ts',
    'src/engines/check.ts',
    'src/contract/publish.ts',
    'src/testing/nodes.ts',
    'bench/run.ts',
    'bench/startup.ts',
    'bench/storage.ts',
    'bench/trees.ts',
    'bench/what-if.ts',
    'bench/gpu/run.ts',
    'bench/peers/run.ts',
    'bench/experiments/run.ts',
    'bench/peers/spark-study.ts',
    'bench/simulate.ts',
    'bench/demo.ts',
    'bench/kernels.ts',
    'bench/walkthrough/run.ts',
    'bench/data.ts',
    'bench/report-screenshots.ts',
  ];
  const used = new Set([...imports.map(({ to }) => to), ...entries]);
  assert.deepEqual(
    files.map(({ path }) => path).filter((path) => !used.has(path) && !path.endsWith('.test.ts')),
    [],
  );
});

test('files stay under 400 lines', () => {
  assert.deepEqual(
    files.filter(({ lines }) => lines.length > 400).map(({ path, lines }) => `${path}: ${lines.length}`),
    [],
  );
});

test('functions stay under 70 lines', () => {
  const start =
    /^(\s*)(?:export )?(?:async )?(?:function\*? \w|(?:static |async |get |set )*[#\w]+\(.*\{$|const \w+ = (?:async )?\(.*=> \{$)/;
  const long: string[] = [];
  for (const { path, lines } of files) {
    lines.forEach((line, index) => {
      const indent = start.exec(line)?.[1];
      if (indent === undefined || /^\s*(?:if|for|while|switch|catch|return|test|describe|it)\b/.test(line)) return;
      const end = lines.findIndex((other, at) => at > index && other.startsWith(`${indent}}`));
      if (end - index > 70) long.push(`${path}:${index + 1}: ${end - index} lines`);
    });
  }
  assert.deepEqual(long, []);
});

test('lines end before column 160', () => {
  const long = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (line.length > 160 ? [`${path}:${index + 1}`] : [])),
  );
  assert.deepEqual(long, []);
});

test('nothing is left over', () => {
  // Written in two parts, so that this file passes its own test.
  const left = new RegExp(
    [
      '\\bTO' + 'DO\\b',
      '\\bFIX' + 'ME\\b',
      '\\bas a' + 'ny\\b',
      ': a' + 'ny\\b',
      '@ts-' + 'ignore',
      '\\.on' + 'ly\\(',
    ].join('|'),
  );
  const found = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (left.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  );
  assert.deepEqual(found, []);
});

test('dependencies have exact versions', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string> | undefined
  >;
  const loose = ['dependencies', 'devDependencies'].flatMap((kind) =>
    Object.entries(manifest[kind] ?? {}).filter(([, version]) => !/^\d+\.\d+\.\d+(-r\.\d+)?$/.test(version)),
  );
  assert.deepEqual(loose, []);
});

test('the README lists every error code with its exit code, and no other', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const listed = [...readme.matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (.*) \|$/gm)].map(([, code, exitCode, means]) => [
    code,
    Number(exitCode),
    means,
  ]);
  assert.deepEqual(
    listed,
    Object.entries(errorCodes).map(([code, { exitCode, means }]) => [code, exitCode, means]),
  );
});

test('paths that the README and the manual link to exist', () => {
  const present = new Set([...readdirSync(root), ...['src', 'bench', 'models'].flatMap(pathsUnder)]);
  const pages = ['README.md', 'bench/README.md', ...pathsUnder('src').filter((path) => path.endsWith('.md'))];
  const dangling = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(((?!https?:|#)[^)]+)\)/g)]
      .map(([, link]) => normalize(join(dirname(page), link!.replace(/#.*$/, ''))).replace(/\/$/, ''))
      .filter((path) => !present.has(path))
      .map((path) => `${page}: ${path}`),
  );
  assert.deepEqual(dangling, []);
  assert.ok(pages.length > 3);
});

/** One flag as a row of the README's tables. */
function flagRow({ name, value, describe, required, otherwise, choices }: Flag): string {
  const more = [
    choices === undefined ? undefined : choices.join(', '),
    required === undefined ? undefined : required === 'always' ? 'required' : `required ${required}`,
    otherwise === undefined ? undefined : `otherwise: ${otherwise}`,
  ].filter((part) => part !== undefined);
  return `| \`--${name}${value === undefined ? '' : ` <${value}>`}\` | ${describe}${more.length === 0 ? '' : ` (${more.join('; ')})`} |`;
}

test('the page of flags lists those of each command, and no other', () => {
  const rows = readFileSync(join(root, 'src/cli/README.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `--'));
  const flags = [
    ...scoreFlags,
    ...initFlags,
    ...inspectFlags,
    ...checkFlags,
    ...fitFlags,
    ...featurizeFlags,
    ...tuneFlags,
    ...profileFlags,
    ...reportFlags,
    ...doctorFlags,
    ...setupFlags,
  ];
  assert.deepEqual(rows, flags.map(flagRow));
});

test('the manual lists the metrics with their units, and no other', () => {
  const rows = readFileSync(join(root, 'src/manual/ledger.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `tandem_'));
  const declared = metrics.map(({ name, kind, unit, labels, help }) => {
    const shown = labels.length === 0 ? name : `${name}{${labels.join(',')}}`;
    return `| \`${shown}\` | ${kind}, ${unit} | ${help} |`;
  });
  assert.deepEqual(rows, declared);
  assert.equal(new Set(metrics.map(({ name }) => name)).size, metrics.length);
});
