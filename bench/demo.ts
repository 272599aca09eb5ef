/**
 * The demo: scores three million flights with the model in models/flights, then asks the result from which airports and
 * at which hours flights are late most often, and whether they were.
 */
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatCount, formatTable } from '../src/cli/format.ts';
import { processIo } from '../src/cli/io.ts';
import { openProgress } from '../src/cli/progress-view.ts';
import { bar } from '../src/cli/progress-text.ts';
import { renderScore } from '../src/cli/render-score.ts';
import { watchSignals } from '../src/cli/signals.ts';
import { closeDatabase, Connection, openDatabase, quotePath, type Value } from '../src/engines/duckdb/database.ts';
import { asTandemError, formatError } from '../src/errors.ts';
import { score } from '../src/index.ts';

/** Airports with fewer flights say little. */
const flightsMin = 5_000;
const airportsShown = 12;
/** Minutes of delay from which a flight is late: what the model was trained on. */
const lateMinutes = 15;

const root = fileURLToPath(new URL('../../', import.meta.url));
// The package exports its entry in build/ only; data/ lies beside it.
const data = join(createRequire(import.meta.url).resolve('vega-datasets'), '../../data');
const output = 'demo-scores';

async function scoreFlights(): Promise<string> {
  const io = processIo();
  const view = await openProgress('auto', io);
  const watch = watchSignals(io, view.say);
  try {
    const result = await score({
      shards: join(data, 'flights-3m.parquet'),
      model: join(root, 'models', 'flights'),
      output,
      keep: ['date', 'origin', 'destination', 'delay'],
      overwrite: true,
      signal: watch.signal,
      onProgress: view.show,
      onWarning: (text) => view.say(`warning: ${text}`),
    });
    return renderScore(result);
  } finally {
    view.close();
    watch.close();
  }
}

function ask(sql: string): Value[][] {
  const database = openDatabase();
  const connection = new Connection(database);
  try {
    return connection.rows(sql);
  } finally {
    connection.close();
    closeDatabase(database);
  }
}

const scores = `read_parquet(${quotePath(join(output, 'flights-3m.parquet'))})`;
const airports = `read_csv(${quotePath(join(data, 'airports.csv'))}, header = true, all_varchar = true)`;
const measures = `count(*) AS flights, avg(p_late) AS predicted, avg((delay > ${lateMinutes})::DOUBLE) AS happened`;

function airportsAtRisk(): string {
  const rows = ask(
    `SELECT origin, coalesce(any_value(city || ', ' || state), '') AS place, ${measures}
     FROM ${scores} LEFT JOIN ${airports} ON iata = origin
     GROUP BY origin HAVING count(*) >= ${flightsMin} ORDER BY predicted DESC LIMIT ${airportsShown}`,
  );
  const columns = ['from', 'city', 'flights', 'predicted late', 'were late'];
  return formatTable(
    columns.map((title, index) => ({ title, align: index < 2 ? 'left' : 'right' })),
    rows.map(([origin, place, flights, predicted, happened]) => [
      String(origin),
      String(place),
      formatCount(Number(flights)),
      percent(predicted),
      percent(happened),
    ]),
  );
}

/** One bar for each hour of departure; the longest is the hour with most late flights. */
function hoursOfDay(): string {
  const rows = ask(
    `SELECT hour(date) AS hour, ${measures} FROM ${scores} GROUP BY hour HAVING flights >= ${flightsMin} ORDER BY hour`,
  );
  const highest = Math.max(...rows.map(([, , predicted]) => Number(predicted)));
  return formatTable(
    [
      { title: 'hour', align: 'right' },
      { title: '' },
      { title: 'predicted late', align: 'right' },
      { title: 'were late', align: 'right' },
    ],
    rows.map(([hour, , predicted, happened]) => [
      String(hour),
      bar(Number(predicted) / highest, 30, false),
      percent(predicted),
      percent(happened),
    ]),
  );
}

function percent(share: Value | undefined): string {
  return `${(Number(share) * 100).toFixed(1)} %`;
}

try {
  process.stdout.write(`${await scoreFlights()}\n\n`);
  process.stdout.write(
    `Late by more than ${lateMinutes} minutes, by airport of departure (${formatCount(flightsMin)} flights or more):\n`,
  );
  process.stdout.write(
    `${airportsAtRisk()}\n\nBy hour of departure (as it happened, it seems: the night gives away who was late):\n` +
      `${hoursOfDay()}\n\n`,
  );
  process.stdout.write(
    `The scores are in ${relative('', output)}, one row for each flight: date, origin, destination, delay, p_late.\n`,
  );
} catch (thrown) {
  const error = asTandemError(thrown);
  process.stderr.write(`${formatError(error)}\n`);
  process.exitCode = error.exitCode;
}
