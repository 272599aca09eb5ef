/** The tables of the walk-through, from npm's vega-datasets, and what of it is kept beside the sources for the test. */
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quotePath, quoteText } from '../../src/engines/duckdb/database.ts';
import { writeShard } from '../../src/testing/shards.ts';

/** January to June 2001. */
const flightCount = 3_000_000;
/** A million, since ten thousand are scored before Python has started. */
const strikeCount = 1_000_000;
/** So many differ. */
const realStrikeCount = 10_000;
const shardsOfEach = 2;

/** Saved models, the model folders that take Python to make, and known scores of some rows. */
export const keptFolder = fileURLToPath(new URL('../../../bench/walkthrough/kept', import.meta.url));
const keptWhole = ['spark/model', 'late-lightgbm', 'damage-sklearn'];
const keptFlights = `id % ${flightCount / 2_000} = 0`;
const keptStrikes = `id < ${realStrikeCount} AND id % ${realStrikeCount / 2_000} = 0`;

/** Makes `flights/` and `birdstrikes/` in the folder unless they are there. */
export function makeShards(folder: string): void {
  // The package exports its entry in build/ only; data/ lies beside it.
  const data = join(createRequire(import.meta.url).resolve('vega-datasets'), '../../data');
  writeShards(
    join(folder, 'flights'),
    flightCount,
    `SELECT file_row_number AS id, hour(date) AS hour, dayofweek(date) AS weekday, origin, destination, distance, delay
     FROM read_parquet(${quotePath(join(data, 'flights-3m.parquet'))}, file_row_number=true)`,
  );
  writeShards(
    join(folder, 'birdstrikes'),
    strikeCount,
    `SELECT number + times * ${realStrikeCount} AS id, "Aircraft Airline Operator" AS operator, "Phase of flight" AS phase,
       "Wildlife Size" AS size, "Wildlife Species" AS species, "Time of day" AS time_of_day,
       "Speed IAS in knots" AS speed, "Effect Amount of damage" AS damage
     FROM (SELECT *, row_number() OVER () - 1 AS number FROM read_csv(${quotePath(join(data, 'birdstrikes.csv'))})),
       range(${strikeCount / realStrikeCount}) AS repeated(times)`,
  );
}

/** The folder gets its name when it is whole. */
function writeShards(folder: string, rowCount: number, sql: string): void {
  if (existsSync(folder)) return;
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  const rows = rowCount / shardsOfEach;
  for (let shard = 0; shard < shardsOfEach; shard++) {
    const where = `id >= ${shard * rows} AND id < ${(shard + 1) * rows}`;
    writeShard(join(part, `part-${shard}.parquet`), `SELECT * FROM (${sql}) WHERE ${where} ORDER BY id`);
  }
  renameSync(part, folder);
}

/** Takes over what walk-throughs have left in their folder; what was not run stays as it was kept. */
export function keep(folder: string): void {
  for (const name of keptWhole.filter((each) => existsSync(join(folder, each)))) {
    rmSync(join(keptFolder, name), { recursive: true, force: true });
    // Checksums and markers of Hadoop, which nothing here reads.
    const filter = (path: string): boolean => !/(\.crc|_SUCCESS)$/.test(path);
    cpSync(join(folder, name), join(keptFolder, name), { recursive: true, filter });
  }
  const keepRows = (from: string, to: string, where: string): void => {
    if (!existsSync(join(folder, from))) return;
    const glob = from.endsWith('.parquet') ? from : `${from}/*.parquet`;
    const table = `read_parquet(${quoteText(join(folder, glob))})`;
    const sql = `SELECT * FROM ${table} WHERE ${where} ORDER BY id`;
    writeShard(join(keptFolder, to), sql, { compression: 'zstd' });
  };
  for (let shard = 0; shard < shardsOfEach; shard++) {
    keepRows(`flights/part-${shard}.parquet`, `flights/part-${shard}.parquet`, keptFlights);
  }
  keepRows('birdstrikes/part-0.parquet', 'birdstrikes/part-0.parquet', keptStrikes);
  keepRows('spark/scores', 'spark/scores/part-0.parquet', keptFlights);
  keepRows('lightgbm/scores.parquet', 'lightgbm/scores.parquet', keptFlights);
  keepRows('sklearn/scores.parquet', 'sklearn/scores.parquet', keptStrikes);
}
