/** Which rows are taken: where, sample and limit, over whole and split shards, against one plain query. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath, quoteText } from '../engines/duckdb/database.ts';
import { planScore } from '../pipeline.ts';
import type { SelectionOptions } from '../relation.ts';
import { identityModel } from '../testing/models.ts';
import { seededRandom } from '../testing/random.ts';
import { withConnection } from '../testing/shards.ts';
import { Workplace } from './workplace.ts';

/** Rows of each shard; the largest is split where threads share it and most of its rows are taken. */
const sizes: Readonly<Record<string, number>> = {
  'a.parquet': 0,
  'b.parquet': 9_001,
  'c/d.parquet': 800_003,
  'e.parquet': 30_000,
};
const contract = { inputs: { x: [{ column: 'x' }] }, keep: ['id', 's'] };

/** `id` is the row's own in all shards; nulls in each column that a condition looks at. */
function fill(place: Workplace): void {
  place.writeModel(identityModel('float32'), contract);
  let first = 0;
  for (const [name, rowCount] of Object.entries(sizes)) {
    const sql = `SELECT i + ${first} AS id, (i + ${first})::FLOAT AS x, CASE WHEN i % 11 <> 0 THEN i % 7 END AS k,
      CASE WHEN i % 13 <> 0 THEN 'name ' || (i % 5) END AS s, (i * 7919 % 1000)::DOUBLE AS amount FROM range(${rowCount}) rows(i)`;
    place.shard(name, sql, { rowGroupRows: 20 * 2048 });
    first += rowCount;
  }
}

/** MurmurHash3's finalizer without its last and first steps, in integers of 32 bits. */
function sampled(name: string, rowCount: number, share: number): number[] {
  const seed = createHash('sha256').update(name).digest().readUInt32LE(0);
  return Array.from({ length: rowCount }, (_, row) => row).filter((row) => {
    let hash = Math.imul((row ^ seed) >>> 0, 0x85ebca6b) >>> 0;
    hash = Math.imul((hash ^ (hash >>> 13)) >>> 0, 0xc2b2ae35) >>> 0;
    return hash < Math.round(share * 2 ** 32);
  });
}

/** The rows that a plain query over all shards gives, and how the run's differ: counts of rows, of those out of place. */
function compare(place: Workplace, { where = 'true', limit, sample }: SelectionOptions): [number, number, number] {
  const names = Object.keys(sizes);
  const shards = names.map((name, index) => {
    const chosen =
      sample === undefined
        ? ''
        : `AND file_row_number IN (SELECT unnest([${sampled(name, sizes[name]!, sample).join()}]))`;
    return `SELECT id, s, x, ${index} AS shard, file_row_number AS row
      FROM read_parquet(${quotePath(join(place.data, name))}, file_row_number=true) WHERE (${where}\n) ${chosen}`;
  });
  const wanted = `SELECT row_number() OVER (ORDER BY shard, row) AS place, id, s, x FROM (${shards.join(' UNION ALL ')})
    ORDER BY place ${limit === undefined ? '' : `LIMIT ${limit}`}`;
  const found = `SELECT row_number() OVER (ORDER BY filename, file_row_number) AS place, id, s, y
    FROM read_parquet(${quoteText(`${place.output}/**/*.parquet`)}, filename=true, file_row_number=true)`;
  return withConnection((connection) => {
    const [row] = connection.rows(
      `SELECT count(w.place), count(f.place), count(*) FILTER (w.id IS DISTINCT FROM f.id OR w.s IS DISTINCT FROM f.s OR w.x IS DISTINCT FROM f.y)
       FROM (${wanted}) w FULL JOIN (${found}) f USING (place)`,
    );
    return row!.map(Number) as [number, number, number];
  });
}

const conditions = [
  'k = 3',
  "k <> 3 AND s LIKE 'name%'",
  'amount < 950 OR k IS NULL',
  'k + amount > 4 AND id % 3 > 0',
  'NOT (k > 5)',
  's IS NULL',
  'id BETWEEN 8000 AND 400000 -- the middle',
  'k = amount % 7',
  '1 = 0',
];

test('random selections equal what one query gives, for 1 to 3 threads', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const random = seededRandom(7);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  for (let round = 0; round < 18; round++) {
    const selection: SelectionOptions = {
      ...(random() < 0.8 ? { where: conditions[round % conditions.length] } : {}),
      ...(random() < 0.4 ? { limit: pick([1, 9_001, 9_002, 50_000, 700_000, 10_000_000]) } : {}),
      ...(random() < 0.3 ? { sample: pick([0.01, 0.1]) } : {}),
    };
    const threads = 1 + (round % 3);
    const result = await place.score({ ...selection, threads, overwrite: true, batchSize: pick([700, 4096]) });
    const [wanted, found, misplaced] = compare(place, selection);
    const what = JSON.stringify({ ...selection, threads });
    assert.deepEqual([found, misplaced], [wanted, 0], what);
    assert.deepEqual([result.rowsIn, result.rowsOut], [wanted, wanted], what);
  }
});

test('a shard of which most rows are taken is split among threads, and its rows stay in order', async (t) => {
  const place = new Workplace(t);
  fill(place);
  // Neither of the two conditions looks at one column alone, which the Parquet reader could decide by itself.
  for (const where of ['amount + k <> 5', 'amount <> 5']) {
    const options = place.options({ where, threads: 3, overwrite: true });
    const { shards, selection, rowsTotal } = await planScore(options);
    assert.deepEqual(
      shards.filter(({ mode }) => mode === 'split').map(({ name }) => name),
      ['c/d.parquet'],
    );
    await place.score(options);
    const [wanted, found, misplaced] = compare(place, { where });
    assert.deepEqual([found, misplaced, rowsTotal], [wanted, 0, wanted]);
    assert.equal(selection!.rowsFound, 839_004);
    assert.ok(selection!.countSeconds! > 0);
  }
});

test('a sample is about its share of each shard, and the same rows whatever else is asked for', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const { shards } = await planScore(place.options({ sample: 0.01 }));
  for (const { name, rowCount } of shards) {
    const expected = sizes[name]! * 0.01;
    assert.ok(Math.abs(rowCount - expected) <= 5 * Math.sqrt(expected), `${name}: ${rowCount} of ${sizes[name]}`);
  }
  const narrowed = await planScore(place.options({ sample: 0.01, where: 'k = 3', threads: 3 }));
  assert.ok(narrowed.rowsTotal > 0 && narrowed.rowsTotal < shards.reduce((sum, { rowCount }) => sum + rowCount, 0) / 4);
  assert.equal((await planScore(place.options({ sample: 1 }))).rowsTotal, 839_004);
});

test('a limit alone counts nothing and leaves out the shards behind it; a condition leaves files without rows', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const limited = await planScore(place.options({ limit: 9_001 }));
  assert.deepEqual(
    limited.shards.map(({ name, rowCount }) => [name, rowCount]),
    [
      ['a.parquet', 0],
      ['b.parquet', 9_001],
    ],
  );
  assert.equal(limited.selection!.countSeconds, undefined);
  await place.score({ where: 'id < 9001' });
  assert.equal(place.rows('e.parquet').length, 0);
  assert.equal(place.rows('b.parquet').length, 9_001);
});

test('the contract chooses rows too, and lists of thousands of values are conditions', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const values = Array.from({ length: 5_000 }, (_, index) => `'name ${index * 2}'`).join(', ');
  place.writeContract({ ...contract, where: `s IN (${values})` });
  await place.score({ where: 'k > 1', limit: 4_000, threads: 2 });
  const [wanted, found, misplaced] = compare(place, {
    where: "s IN ('name 0', 'name 2', 'name 4') AND k > 1",
    limit: 4_000,
  });
  assert.deepEqual([wanted, found, misplaced], [4_000, 4_000, 0]);
});
