/** Four cases by row objects, by columns and natively: what each kind of path costs for each kind of work. */
import { formatCount, formatTable } from '../../src/cli/format.ts';
import type { NumericStep } from '../../src/contract/contract.ts';
import { closeDatabase, Connection, openDatabase } from '../../src/engines/duckdb/database.ts';
import { copyValues } from '../../src/engines/duckdb/vectors.ts';
import type { VegaLiteSpec } from '../chart.ts';
import { median, medianRatio, type Rounds } from '../measure.ts';
import { expectSame, largestDifference, roundsFlag, secondsFlag, whole, type Experiment } from './experiment.ts';
import { kernelColumn } from './kernel-column.ts';
import { timed, timeInRounds } from './rounds.ts';
import { columnOf, countInColumn, countInRows, differingWords, type WordCounts } from './tokens.ts';

const pathNames = ['row objects', 'typed arrays', 'DuckDB SQL', "Tandem's kernel"] as const;
type PathName = (typeof pathNames)[number];
/** What is native: the kernel where Tandem has one, else DuckDB. */
const nativePath = (rates: Rounds): PathName => ("Tandem's kernel" in rates ? "Tandem's kernel" : 'DuckDB SQL');

/** Vectorized by row at a time for Python UDFs of Spark, 10 million rows (Databricks, 2017, at second hand). */
const published = '3 to over 100';
/** One of the three functions (plus one, cumulative probability, subtract mean) is this case. */
const publishedCase = 'scale and add';

const flags = {
  rows: { type: 'number', default: 1_000_000, describe: 'Rows of the table', coerce: whole('rows') },
  rounds: roundsFlag,
  seconds: secondsFlag(0.2),
} as const;

export const paths: Experiment<typeof flags> = {
  name: 'paths',
  question: 'Rows, columns or native code: what does each path cost?',
  explain:
    'Scale and add, standardize, clip, and counting words (lower case, split at whitespace), each over JavaScript row objects, typed ' +
    'arrays, DuckDB (SQL over a table in its memory, results brought to JavaScript), and the kernel that Tandem generates (for ' +
    'numbers; texts it leaves to DuckDB). One core; the same answers to the last bit.',
  flags,
  async run({ rows, rounds, seconds }, say) {
    const database = openDatabase();
    const connection = new Connection(database);
    say(`making ${formatCount(rows)} rows`);
    connection.execute(tableSql(rows));
    const cases: Case[] = [...numericCases(connection, rows), textCase(connection)];
    const measured: Measured[] = [];
    for (const { name, ways, check } of cases) {
      say(name);
      check();
      const contestants = Object.fromEntries(Object.entries(ways).map(([path, way]) => [path, timed(rows, way)]));
      measured.push({ name, rates: await timeInRounds(contestants, rounds, seconds) });
    }
    connection.close();
    closeDatabase(database);
    return {
      table: tableOf(measured),
      sentences: [
        sentenceOf(measured),
        `Published for Python UDFs of Spark (plus one, subtract mean, cumulative probability), vectorized by row at a time: ${published} times.`,
      ],
      figures: { rows, published, rowsPerSecond: Object.fromEntries(measured.map(({ name, rates }) => [name, rates])) },
      chart: chartOf(measured, rows),
    };
  },
};

type Ways = Readonly<Partial<Record<PathName, () => void>>>;

interface Case {
  readonly name: string;
  readonly ways: Ways;
  /** Runs every way. @throws Error where two differ */
  check(): void;
}

interface Measured {
  readonly name: string;
  readonly rates: Rounds;
}

/** `x`: doubles; `text`: words of a vocabulary of 5,000, the first ones often, some upper case, blanks of several kinds. */
export function tableSql(rows: number): string {
  const word =
    "concat(['word', 'Token', 'UP'][1 + (random() * 3)::INTEGER % 3], floor(5000 * pow(random(), 3))::INTEGER)";
  const blank = `[' ', '  ', chr(9), chr(10)][1 + (random() * 4)::INTEGER % 4]`;
  const words = Array.from({ length: 6 }, () => `${word} || ${blank}`).join(' || ');
  return `SELECT setseed(0.5);
    CREATE TABLE t AS SELECT range AS id, random() * 20 - 10 AS x,
      CASE WHEN range % 1000 = 0 THEN '' WHEN range % 3 = 0 THEN ${word} ELSE ${words} END AS text FROM range(${rows})`;
}

interface Arithmetic {
  readonly name: string;
  readonly ofNumber: (x: number) => number;
  readonly sql: string;
  readonly steps: readonly NumericStep[];
}

const arithmetic: readonly Arithmetic[] = [
  {
    name: 'scale and add',
    ofNumber: (x) => 0.25 * x + 3,
    sql: '0.25::DOUBLE * x + 3',
    // (x + 12) / 4: scaling by a power of two rounds nothing, so that the bits are those of 0.25 x + 3.
    steps: [{ kind: 'standardize', mean: -12, std: 4 }],
  },
  {
    name: 'standardize',
    ofNumber: (x) => (x - 0.1) / 5.7,
    sql: '(x - 0.1::DOUBLE) / 5.7::DOUBLE',
    steps: [{ kind: 'standardize', mean: 0.1, std: 5.7 }],
  },
  {
    name: 'clip',
    ofNumber: (x) => Math.min(Math.max(x, -3), 3),
    // least(greatest()) says the same and takes twice as long.
    sql: 'CASE WHEN x < -3 THEN -3::DOUBLE WHEN x > 3 THEN 3::DOUBLE ELSE x END',
    steps: [{ kind: 'clip', low: -3, high: 3 }],
  },
];

/** Row objects come and go in batches, as from a reader, and name their fields: `{ ...row, y }` takes ten times as long. */
const rowsPerBatch = 10_000;

export function numericCases(connection: Connection, rowCount: number): Case[] {
  const column = new Float64Array(rowCount);
  fetch(connection, 'SELECT x FROM t ORDER BY id', column);
  const rows = Array.from(column, (x, id) => ({ id, x }));
  const target = new Float64Array(rowCount);
  return arithmetic.map((each) => {
    const { name, sql, steps } = each;
    const kernel = kernelColumn(steps, column);
    const ways: Ways = {
      'row objects': rowLoop(each, rows, target),
      'typed arrays': columnLoop(each, column, target),
      'DuckDB SQL': () => fetch(connection, `SELECT ${sql} FROM t`, target),
      "Tandem's kernel": kernel.run,
    };
    const check = (): void => {
      const expected = Float64Array.from(column, each.ofNumber);
      for (const [path, way] of Object.entries(ways)) {
        const written = way === kernel.run ? kernel.target : target;
        written.fill(NaN);
        way();
        expectSame(`${name}, ${path}`, largestDifference(written, expected));
      }
    };
    return { name, ways, check };
  });
}

/** The values of the query's one column. @throws RangeError where it has not as many rows as the target */
function fetch(connection: Connection, sql: string, target: Float64Array): void {
  const stream = connection.stream(sql);
  let at = 0;
  for (let count = stream.next(); count > 0; count = stream.next()) {
    if (at + count <= target.length) copyValues(stream.vector(0), target.subarray(at, at + count), count);
    at += count;
  }
  stream.close();
  if (at !== target.length) throw new RangeError(`Expected ${target.length} rows, got ${at}.`);
}

/** Compiled for each case by itself: code that all shared would be slower, and no one's. */
function compiled(body: string): Function {
  return new Function(`'use strict'; return ${body};`)() as Function;
}

/** The functions' own text, in a loop as people write it. */
function rowLoop(
  { ofNumber }: Arithmetic,
  rows: readonly { id: number; x: number }[],
  target: Float64Array,
): () => void {
  const run = compiled(`(rows, target) => {
    const ofNumber = ${ofNumber.toString()};
    for (let from = 0; from < rows.length; from += ${rowsPerBatch}) {
      const scored = rows.slice(from, from + ${rowsPerBatch}).map((row) => ({ id: row.id, x: row.x, y: ofNumber(row.x) }));
      for (const { id, y } of scored) target[id] = y;
    }
  }`);
  return () => run(rows, target) as void;
}

function columnLoop({ ofNumber }: Arithmetic, column: Float64Array, target: Float64Array): () => void {
  const run = compiled(`(column, target) => {
    const ofNumber = ${ofNumber.toString()};
    for (let index = 0; index < column.length; index++) target[index] = ofNumber(column[index]);
  }`);
  return () => run(column, target) as void;
}

/** Splitting at a pattern takes no longer here than making all blanks one kind and splitting at that. */
const wordsSql = `SELECT word, count(*)::DOUBLE AS n
  FROM (SELECT unnest(string_split_regex(lower(text), '\\s+')) AS word FROM t) WHERE word <> '' GROUP BY word`;

export function textCase(connection: Connection): Case {
  const rows = connection.rows('SELECT text FROM t ORDER BY id').map(([text]) => ({ text: String(text) }));
  const column = columnOf(rows.map(({ text }) => text));
  let counted: WordCounts = new Map();
  const ways: Ways = {
    'row objects': () => void (counted = countInRows(rows)),
    'typed arrays': () => void (counted = countInColumn(column)),
    'DuckDB SQL': () => {
      counted = new Map(connection.rows(wordsSql).map(([word, n]) => [String(word), Number(n)]));
    },
  };
  const check = (): void => {
    const expected = countInRows(rows);
    for (const [path, way] of Object.entries(ways)) {
      counted = new Map();
      way();
      expectSame(`counting words, ${path}`, differingWords(counted, expected));
    }
  };
  return { name: 'count words', ways, check };
}

function tableOf(measured: readonly Measured[]): string {
  const right = 'right' as const;
  const rate = (rates: Rounds, path: PathName): string =>
    rates[path] === undefined ? '-' : (median(rates[path]) / 1e6).toFixed(2);
  return formatTable(
    [
      { title: 'M rows/s' },
      ...pathNames.map((title) => ({ title, align: right })),
      { title: 'columns / rows', align: right },
      { title: 'native / rows', align: right },
      { title: 'published', align: right },
    ],
    measured.map(({ name, rates }) => [
      name,
      ...pathNames.map((path) => rate(rates, path)),
      medianRatio(rates['typed arrays']!, rates['row objects']!).toFixed(1),
      medianRatio(rates[nativePath(rates)]!, rates['row objects']!).toFixed(1),
      name === publishedCase ? published : '',
    ]),
  );
}

/** Which path won each case. */
function sentenceOf(measured: readonly Measured[]): string {
  const winners = measured.map(({ name, rates }) => {
    const paths = Object.keys(rates);
    const best = paths.reduce((first, path) => (median(rates[path]!) > median(rates[first]!) ? path : first));
    return `${name}: ${best}`;
  });
  return `Fastest: ${winners.join('; ')}. The rates of DuckDB include handing over its results.`;
}

function chartOf(measured: readonly Measured[], rows: number): VegaLiteSpec {
  const values = measured.flatMap(({ name, rates }) =>
    Object.entries(rates).flatMap(([path, rounds]) => rounds.map((rate) => ({ name, path, rate: rate / 1e6 }))),
  );
  return {
    title: `Four cases by path, ${formatCount(rows)} rows`,
    width: 460,
    height: { step: 34 },
    data: { values },
    mark: { type: 'circle', size: 70 },
    encoding: {
      x: {
        field: 'rate',
        type: 'quantitative',
        scale: { type: 'log' },
        title: 'million rows per second, one core (log scale; each round a dot)',
      },
      y: { field: 'name', type: 'nominal', sort: measured.map(({ name }) => name), title: null },
      color: { field: 'path', type: 'nominal', sort: [...pathNames], title: null },
    },
  };
}
