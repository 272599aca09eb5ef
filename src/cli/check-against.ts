/** `tandem check --against`: somebody else's scores of the same rows. */
import type { AgainstOptions, KnownReport } from '../check/against-report.ts';
import type { RowOptions, RowReport } from '../check/row-report.ts';
import { formatError, TandemError } from '../errors.ts';
import { knownWorstMax } from '../limits.ts';
import type { LoadApi } from './api.ts';
import { printResult, runOptions, warner } from './command.ts';
import { filesFromFlag, shardsOf, withListed } from './files-from.ts';
import type { Arguments, Flag } from './flags.ts';
import { counted } from './format.ts';
import type { Io } from './io.ts';
import { selectionFlags, selectionOptions } from './selection.ts';
import { watchSignals } from './signals.ts';

export const againstFlags: readonly Flag[] = [
  filesFromFlag,
  ...selectionFlags,
  {
    name: 'against',
    value: 'files',
    repeatable: true,
    describe: 'Files of any format, a folder or a glob with known scores of the rows of <shards..>',
    otherwise: 'golden.parquet',
  },
  {
    name: 'against-from',
    value: 'file',
    describe: 'List of such files, in the form of --files-from. Beside or instead of --against',
  },
  {
    name: 'key',
    value: 'columns',
    repeatable: true,
    describe: 'With --against: columns, or keys of Hive folders, on both sides that name a row: dt,id',
    otherwise: 'by position: the same rows in the same order, in files of the same names or in one',
  },
  {
    name: 'map',
    value: 'pairs',
    repeatable: true,
    describe:
      'With --against: score=known for columns of other names, or positions of lists: p=probability[1],label=prediction',
  },
  {
    name: 'tolerance',
    value: 'number',
    describe: 'With --against: the largest difference that passes, times max(1, |known|)',
    otherwise: "the contract's for golden rows",
  },
  {
    name: 'worst',
    value: 'rows',
    describe: 'With --against: how many rows with the largest differences to name, within the tolerance too',
    otherwise: 'ten of those beyond the tolerance',
  },
  {
    name: 'row',
    value: 'address',
    describe:
      "Follow one row from its columns through each step to its scores: part-3.parquet:17 (rows count from 0), or by a column's value: id=123",
  },
];

/** @throws USAGE for what only goes with --against */
export function checkUnused(given: Arguments, beside?: 'row'): void {
  const [word] = given.positionals;
  const shards = word ?? given.text('files-from');
  if (shards !== undefined && beside === undefined) {
    throw usage(`Expected tandem check to be given shards with --against or --row only, got \`${shards}\`.`);
  }
  const flag = ['key', 'map', 'tolerance', 'where', 'limit', 'sample', 'worst'].find(
    (name) => given.texts(name).length > 0,
  );
  if (flag !== undefined) throw usage(`Expected --${flag} to come with --against, got it alone.`);
}

function usage(message: string): TandemError {
  return new TandemError('USAGE', message, {
    remedy: "For example: tandem check 'data/*.parquet' --model m --against scores.parquet --key id",
  });
}

/** Files that flags name, lists read. */
interface NamedFiles {
  readonly shards: readonly string[];
  readonly against: readonly string[];
}

/** Whether known scores are named. */
export function hasKnown(given: Arguments): boolean {
  return given.texts('against').length > 0 || given.text('against-from') !== undefined;
}

/** @throws USAGE, NO_SHARDS */
async function namedFiles(given: Arguments, io: Io): Promise<NamedFiles> {
  if (given.text('files-from') === '-' && given.text('against-from') === '-') {
    throw usage('Expected --files-from or --against-from to read standard input, got both.');
  }
  return {
    shards: await shardsOf(given, io),
    against: await withListed(given.texts('against'), given, 'against-from', io),
  };
}

/** @throws USAGE */
function againstOptions(given: Arguments, { shards, against }: NamedFiles): AgainstOptions {
  if (shards.length === 0) {
    throw usage('Expected tandem check to be given shards with --against, got none.');
  }
  const pairs = splitList(given.texts('map')).map((text) => {
    const [, score, known] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (score !== undefined && known !== undefined) return [score, known] as const;
    throw usage(`Expected --map to be score=known, got \`${text}\`.`);
  });
  const tolerance = given.text('tolerance');
  if (tolerance !== undefined && !(Number(tolerance) >= 0 && Number.isFinite(Number(tolerance)))) {
    throw usage(`Expected --tolerance to be a number from 0 on, got \`${tolerance}\`.`);
  }
  const worst = given.count('worst', knownWorstMax);
  return {
    model: given.text('model') ?? '',
    shards,
    against,
    key: splitList(given.texts('key')),
    map: Object.fromEntries(pairs),
    ...(tolerance === undefined ? {} : { tolerance: Number(tolerance) }),
    ...(worst === undefined ? {} : { worst }),
    ...selectionOptions(given),
    ...runOptions(given),
  };
}

/** `a,b`; a comma in a name is written `\,`. */
function splitList(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(/(?<!\\),/).map((part) => part.replaceAll('\\,', ',')));
}

/** @throws USAGE */
function rowOptions(given: Arguments, text: string, { shards, against }: NamedFiles): RowOptions {
  const [, place, row] = /^(.+):(\d+)$/s.exec(text) ?? [];
  const [, column, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  // `dt=2026-05-01/part-3.parquet:17` is a place, `at=12:30` is none.
  const isPlace = place !== undefined && (column === undefined || /\.[a-z]+$/i.test(place));
  if (!isPlace && column === undefined) {
    throw usage(
      `Expected --row to be a shard and a row (part-3.parquet:17) or a column's value (id=5), got \`${text}\`.`,
    );
  }
  const flag = ['where', 'limit', 'sample', 'worst'].find((name) => given.texts(name).length > 0);
  if (flag !== undefined) throw usage(`Expected --row to name the row alone, got --${flag} too.`);
  if (!isPlace && shards.length === 0) {
    throw usage('Expected tandem check to be given shards with --row, got none.');
  }
  const known = hasKnown(given) ? againstOptions(given, { shards: [place ?? ''], against }) : undefined;
  if (known === undefined) checkUnused(given, 'row');
  return {
    ...known,
    model: given.text('model') ?? '',
    shards: shards.length === 0 ? [place!] : shards,
    row: isPlace ? { shard: place, row: Number(row) } : { column: column!, value: value! },
    ...runOptions(given),
  };
}

export async function runRow(given: Arguments, text: string, io: Io, loadApi: LoadApi): Promise<number> {
  const options = rowOptions(given, text, await namedFiles(given, io));
  const say = (line: string) => void io.stderr.write(`${line}\n`);
  const watch = watchSignals(io, say);
  try {
    const api = await loadApi();
    const report = await api.explainRow({ ...options, signal: watch.signal, onWarning: warner(say) });
    const { renderRow } = await import('./render-row.ts');
    printResult(io, given, report, renderRow);
    const error = rowError(report);
    if (error === undefined) return 0;
    say(formatError(error));
    return error.exitCode;
  } finally {
    watch.close();
  }
}

function rowError({ shard, row, features, differences, known }: RowReport): TandemError | undefined {
  const bad = features.find(({ problem }) => problem !== undefined);
  if (bad !== undefined) {
    return new TandemError('BAD_ROW', bad.problem!, { place: { shard, row, column: bad.source } });
  }
  const [other] = differences;
  if (other !== undefined) {
    const { input, position, reference, made } = other;
    return new TandemError('BUG', `Expected ${input}[${position}] to be ${reference}, got ${made}. This is a bug.`, {
      place: { shard, row },
      remedy: 'Please report it with the contract and the row.',
    });
  }
  return known === undefined || known.passed ? undefined : knownDiffers(known, true);
}

export async function runAgainst(given: Arguments, io: Io, loadApi: LoadApi): Promise<number> {
  const options = againstOptions(given, await namedFiles(given, io));
  const say = (line: string) => void io.stderr.write(`${line}\n`);
  const watch = watchSignals(io, say);
  try {
    const api = await loadApi();
    const report = await api.checkAgainst({ ...options, signal: watch.signal, onWarning: warner(say) });
    const { renderKnown } = await import('./render-known.ts');
    printResult(io, given, report, renderKnown);
    if (report.passed) return 0;
    const error = knownDiffers(report);
    say(formatError(error));
    return error.exitCode;
  } finally {
    watch.close();
  }
}

function knownDiffers({ columns, rows, tolerance }: KnownReport, isOneRow = false): TandemError {
  if (rows.both === 0) {
    return new TandemError('GOLDEN_DIFFERS', 'Expected rows that both sides have, got none.', {
      remedy: 'Compare the values of --key on both sides: other rows, another unit, or spaces in texts.',
    });
  }
  const worst = columns.flatMap((column) => column.worst)[0];
  const remedy =
    worst === undefined || isOneRow
      ? 'Compare the steps with what the notebook does to these columns.'
      : `Follow one of the worst rows: --row '${worst.shard}:${worst.row}'.`;
  const differing = columns.filter(({ rowsBeyond }) => rowsBeyond > 0);
  const names = differing.map(({ name }) => name).join(', ');
  const beyond = counted(Math.max(...differing.map(({ rowsBeyond }) => rowsBeyond)), 'row');
  return new TandemError(
    'GOLDEN_DIFFERS',
    `Expected scores of ${names} to be within ${tolerance} of the known ones, got ${beyond} off.`,
    { remedy },
  );
}
