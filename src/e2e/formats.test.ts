/** CSV, JSON Lines and Arrow IPC give what the same rows give as Parquet. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { tableToIPC, tableFromArrays } from 'apache-arrow';
import { quotePath } from '../engines/duckdb/database.ts';
import { goldenPath } from '../golden/folders.ts';
import { inspect } from '../inspect.ts';
import type { Progress } from '../options.ts';
import { planScore, score } from '../pipeline.ts';
import { identityModel } from '../testing/models.ts';
import { withConnection } from '../testing/shards.ts';
import { tune } from '../tune/tune.ts';
import { assertFailure, assertOnlyWholeShards, caught, columnOf, countTo, listFiles, Workplace } from './workplace.ts';

const contract = { inputs: { x: [{ column: 'x', missing: -1 }] } };

function place(t: { after(remove: () => void): void }, more: object = {}): Workplace {
  const made = new Workplace(t);
  made.writeModel(identityModel('float32'), { ...contract, ...more });
  return made;
}

function write(here: Workplace, name: string, content: string | Uint8Array): string {
  const path = join(here.data, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** The output of two shards has the same columns, types and rows, in the same order. */
function assertSameOutput(one: string, other: string): void {
  withConnection((connection) => {
    const columns = (path: string): unknown =>
      connection.rows(`SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet(${quotePath(path)}))`);
    assert.deepEqual(columns(one), columns(other));
    const rows = (path: string): string =>
      `SELECT COLUMNS(*)::VARCHAR FROM read_parquet(${quotePath(path)}, file_row_number=true)`;
    const differences = connection.rows(
      `SELECT count(*) FROM ((${rows(one)} EXCEPT ALL ${rows(other)}) UNION ALL (${rows(other)} EXCEPT ALL ${rows(one)}))`,
    );
    assert.deepEqual(differences, [[0n]]);
  });
}

/** Rows that are hard to write as text. */
const hardRows = `SELECT i AS id, CASE WHEN i % 7 = 3 THEN NULL ELSE i * 0.5 END::DOUBLE AS x,
  CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN 'a, "b"; c' WHEN 2 THEN 'two
lines' WHEN 3 THEN 'é😀' ELSE 'text ' || i END AS text,
  DATE '2026-01-31' + i::INTEGER AS day, i % 2 = 0 AS flag, TIMESTAMP '2026-01-01 10:00:00' + INTERVAL (i) SECOND AS moment
  FROM range(6000) rows(i)`;

/** Writes the rows by DuckDB's own writers, and as Parquet beside them. */
function writeForms(here: Workplace, sql: string): void {
  mkdirSync(here.data, { recursive: true });
  const copies = [
    ['rows.parquet', 'FORMAT parquet'],
    ['comma.csv', 'FORMAT csv'],
    ['packed.csv.gz', 'FORMAT csv, COMPRESSION gzip'],
    ['semicolon.csv', "FORMAT csv, DELIMITER ';'"],
    ['tab.tsv', "FORMAT csv, DELIMITER '\t'"],
    ['lines.jsonl', 'FORMAT json'],
    ['zipped.ndjson.gz', 'FORMAT json, COMPRESSION gzip'],
    ['array.json', 'FORMAT json, ARRAY true'],
  ];
  withConnection((connection) => {
    for (const [name, settings] of copies)
      connection.execute(`COPY (${sql}) TO '${join(here.data, name!)}' (${settings})`);
  });
}

for (const threads of [1, 3]) {
  test(`text in each form, ${threads} threads: scores and kept columns of the same rows as Parquet`, async (t) => {
    const here = place(t);
    writeForms(here, hardRows);
    const phases = new Set<Progress['phase']>();
    const { rowsOut, shards } = await here.score({
      shards: join(here.data, '*'),
      threads,
      onProgress: ({ phase, reading }) => {
        phases.add(phase);
        assert.equal(reading !== undefined, phase === 'reading');
      },
    });
    assert.deepEqual([shards, rowsOut], [8, 48_000]);
    assert.match([...phases].join(), /^planning,reading,(scoring,)?done$/);
    const names = listFiles(here.output).filter((path) => path.endsWith('.parquet'));
    assert.deepEqual(
      names,
      ['array', 'comma', 'lines', 'packed', 'rows', 'semicolon', 'tab', 'zipped'].map((name) => `${name}.parquet`),
    );
    for (const name of names) assertSameOutput(join(here.output, name), join(here.output, 'rows.parquet'));
    assert.equal(existsSync(join(here.output, '_staged')), false);
  });
}

test('Arrow files of other libraries: file and stream, plain, LZ4 and zstd, dictionaries, every type', async (t) => {
  const here = place(t);
  mkdirSync(here.data, { recursive: true });
  const hasZstd = 'zstdDecompressSync' in (await import('node:zlib'));
  const names = readdirSync(goldenPath('arrow')).filter((name) => hasZstd || name !== 'zstd.ipc');
  for (const name of names) copyFileSync(goldenPath('arrow', name), join(here.data, name));
  await here.score({ shards: join(here.data, '*'), threads: 2 });
  for (const name of ['file', 'stream', 'lz4-stream', 'pandas', ...(hasZstd ? ['zstd'] : [])])
    assertSameOutput(join(here.output, `${name}.parquet`), join(here.output, 'rows.parquet'));
  assert.equal(here.rows('empty.parquet').length, 0);
});

test('an Arrow batch of many vectors, and many batches', async (t) => {
  const here = place(t);
  const rowCount = 300_000;
  write(here, 'a.arrow', tableToIPC(tableFromArrays({ x: Float32Array.from(countTo(rowCount)) }), 'file'));
  await here.score({ shards: join(here.data, 'a.arrow'), threads: 2 });
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), countTo(rowCount));
});

test('a large file is shared among threads, in its order', async (t) => {
  const here = place(t, { keep: ['x'] });
  const rowCount = 700_000;
  write(here, 'a.csv', `x\n${countTo(rowCount).join('\n')}\n`);
  const plan = await planScore(here.options({ shards: here.data, threads: 2 }));
  assert.deepEqual(
    plan.shards.map(({ rowCount, mode, rowGroupRows }) => [rowCount, mode, rowGroupRows.length]),
    [[rowCount, 'split', 6]],
  );
  assert.equal(existsSync(here.output), false);
  await here.score({ shards: here.data, threads: 2 });
  const [counts] = withConnection((connection) =>
    connection.rows(
      `SELECT count(*), count(*) FILTER (y IS DISTINCT FROM file_row_number OR x IS DISTINCT FROM file_row_number)
       FROM read_parquet(${quotePath(join(here.output, 'a.parquet'))}, file_row_number=true)`,
    ),
  );
  assert.deepEqual(counts, [BigInt(rowCount), 0n]);
});

test('a folder means its Parquet files, and where it has none all that can be read', async (t) => {
  const here = place(t);
  write(here, 'b.csv', 'x\n1\n');
  write(here, 'c.jsonl', '{"x":2}\n');
  write(here, 'notes.txt', 'no shard');
  write(here, 'settings.json', '{"no": "shard"}');
  assert.equal((await here.score()).shards, 2);
  here.shard('a.parquet', 'SELECT 1 AS x');
  assert.equal((await planScore(here.options({ output: `${here.output}-2` }))).shards.length, 1);
});

test('one type for a column of all CSV files; one without values has no say', async (t) => {
  const here = place(t);
  write(here, 'a.csv', 'x,z,d\n1,1,2026-01-01\n');
  write(here, 'b.csv', 'x,z,d\n1.5,abc,2026-01-01 10:00:00\n');
  write(here, 'c.csv', 'x,z,d\n');
  write(here, 'd.csv', 'x,z,d\n,,\n');
  await here.score();
  const types = ['a', 'b', 'c', 'd'].map((name) =>
    withConnection((connection) =>
      connection.rows(`SELECT column_type FROM (DESCRIBE FROM read_parquet('${here.output}/${name}.parquet'))`).flat(),
    ),
  );
  assert.deepEqual(types, Array(4).fill(['DOUBLE', 'VARCHAR', 'TIMESTAMP', 'FLOAT']));
  assert.deepEqual(here.rows('c.parquet'), []);
  assert.deepEqual(columnOf(here.rows('d.parquet'), 'y'), [-1]);
});

test('what the contract says of CSV: delimiter, types, nulls, quotes, no header', async (t) => {
  const here = place(t, {
    csv: { delimiter: '|', types: { zip: 'VARCHAR' }, nullText: ['NA', '?'], quote: "'" },
  });
  write(here, 'a.csv', "zip|x|text\n00123|NA|'a|b'\n4|2|?\n");
  await here.score();
  const rows = here.rows('a.parquet');
  assert.deepEqual(
    rows.map(({ zip, text, y }) => [zip, text, y]),
    [
      ['00123', 'a|b', -1],
      ['4', null, 2],
    ],
  );
  here.writeContract({ inputs: { x: [{ column: 'column1' }] }, csv: { header: false } });
  write(here, 'a.csv', '7,8\n9,10\n');
  await here.score({ overwrite: true });
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), [8, 10]);
});

test('quotes after thousands of rows without are quotes', async (t) => {
  const here = place(t);
  write(
    here,
    'a.csv',
    `x,text\n${countTo(70_000)
      .map((row) => `${row},t${row}`)
      .join('\n')}\n1,"a,b"\n2,"c"\n`,
  );
  await here.score();
  assert.deepEqual(columnOf(here.rows('a.parquet').slice(-2), 'text'), ['a,b', 'c']);
});

test('a key of JSON that comes after the sample is a column', async (t) => {
  const here = place(t);
  write(
    here,
    'a.jsonl',
    `${countTo(70_000)
      .map((row) => `{"x":${row}}`)
      .join('\n')}\n{"x":1,"late":[1,2]}\n`,
  );
  await here.score();
  const rows = here.rows('a.parquet');
  assert.equal(rows.length, 70_001);
  assert.deepEqual([rows[0]!['late'], rows.at(-1)!['late']], [null, '[1, 2]']);
});

const many = (line: (row: number) => string): string => countTo(70_000).map(line).join('\n');

const bad: readonly (readonly [
  name: string,
  content: string | Uint8Array,
  code: 'BAD_ROW' | 'BAD_SHARD',
  place: object,
  message: RegExp,
])[] = [
  [
    'a.csv',
    `x\n${many(String)}\nabc\n1\n`,
    'BAD_ROW',
    { line: 70_002, column: 'x' },
    /Expected x to be BIGINT, as in the rows before, got `abc`/,
  ],
  [
    'a.csv',
    `x,z\n${many((row) => `${row},1`)}\n1\n`,
    'BAD_ROW',
    { line: 70_002 },
    /Expected Number of Columns: 2 Found: 1/,
  ],
  ['a.csv', `x,z\n${many((row) => `${row},1`)}\n1,"open\n`, 'BAD_ROW', { line: 70_002 }, /unterminated quote/],
  ['a.csv', Buffer.from('x,z\n1,caf\xe9\n', 'latin1'), 'BAD_SHARD', { line: 2 }, /not utf-8 encoded/],
  ['a.csv', '', 'BAD_SHARD', {}, /got an empty file/],
  ['a.csv.gz', 'x\n1\n', 'BAD_SHARD', {}, /not a GZIP stream/],
  [
    'a.csv.gz',
    gzipSync(`x\n${many((row) => String((row * 7919) % 1e6))}\n`).subarray(0, 100_000),
    'BAD_SHARD',
    {},
    /Expected a whole gzip file, got: unexpected end of file/,
  ],
  [
    'a.jsonl',
    `${many((row) => `{"x":${row}}`)}\n{"x":"abc"}\n`,
    'BAD_ROW',
    { line: 70_001 },
    /Failed to cast value to numerical: "abc"/,
  ],
  ['a.jsonl', `${many((row) => `{"x":${row}}`)}\n{"x":\n`, 'BAD_ROW', { line: 70_001 }, /Malformed JSON/],
  ['a.arrow', 'no arrow at all', 'BAD_SHARD', {}, /Expected an Arrow IPC file or stream/],
  [
    'a.arrow',
    tableToIPC(tableFromArrays({ x: Float32Array.from(countTo(5000)) }), 'file').subarray(0, 9_000),
    'BAD_SHARD',
    {},
    /Expected an Arrow IPC file or stream/,
  ],
];
bad.forEach(([name, content, code, where, message], index) => {
  test(`refused: ${name}, ${message.source} (${index})`, async (t) => {
    const here = place(t);
    write(here, name, content);
    const shards = join(here.data, name);
    const error = await caught(score(here.options({ shards, threads: 2 })));
    assertFailure(error, { code, place: { shard: name, ...where }, message });
    assert.deepEqual(
      listFiles(here.output).filter((path) => !path.startsWith('_staged/')),
      [],
    );
    assert.deepEqual(
      listFiles(here.output).filter((path) => path.includes('.tmp-')),
      [],
    );
  });
});

test('what is wrong with columns, model or output is found out before a file is read', async (t) => {
  const here = place(t, { inputs: { x: [{ column: 'none' }] } });
  write(here, 'a.csv', `x\n${many(String)}\n`);
  await here.fails({ code: 'BAD_COLUMN', place: { shard: 'a.csv', column: 'none' }, message: /Expected column none/ });
  assert.equal(existsSync(here.output), false);
  here.writeContract(contract);
  mkdirSync(here.output);
  writeFileSync(join(here.output, 'mine.txt'), '');
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /hold nothing but Tandem's files, got mine\.txt/ });
});

test('two shards of one output name', async (t) => {
  const here = place(t);
  write(here, 'a.csv', 'x\n1\n');
  write(here, 'a.jsonl', '{"x":1}\n');
  await here.failsToPlan({ code: 'BAD_OUTPUT', place: { shard: 'a.jsonl' }, message: /got a\.parquet twice/ });
});

test('the native reader reads them', async (t) => {
  const here = place(t);
  write(here, 'a.csv', 'x\n1\n');
  const message = /--reader parquetjs to be given Parquet files only/;
  await here.failsToPlan({ code: 'USAGE', place: { shard: 'a.csv' }, message }, { reader: 'parquetjs' });
});

/** Two files: one that is right, and larger, and one with a bad last line. */
function oneBad(here: Workplace): { readonly bad: string } {
  write(here, 'good.csv', `x\n${many((row) => `${row}.25`)}\n`);
  return { bad: write(here, 'bad.csv', `x\n${many(String)}\nabc\n`) };
}

test('a run goes on: what was read stays, what is scored is not read again, and is gone at the end', async (t) => {
  const here = place(t);
  const { bad } = oneBad(here);
  await caught(score(here.options({ threads: 1 })));
  const [staged] = listFiles(here.output);
  assert.match(staged!, /^_staged\/good\.csv\.[0-9a-f]{12}$/);
  const { ino } = statSync(join(here.output, staged!));
  // Seen before it is removed: the same file is what is scored.
  const seen: (number | undefined)[] = [];
  write(here, 'bad.csv', `x\n${many(String)}\n`);
  await here.score({
    threads: 1,
    onProgress: ({ phase }) => {
      if (phase === 'reading') seen.push(statSync(join(here.output, staged!), { throwIfNoEntry: false })?.ino);
    },
  });
  assert.deepEqual([...new Set(seen)], [ino]);
  assert.equal(existsSync(join(here.output, '_staged')), false);
  const again: Progress['phase'][] = [];
  const result = await here.score({ onProgress: ({ phase }) => again.push(phase) });
  assert.deepEqual([result.shardsSkipped, result.shards], [2, 0]);
  assert.equal(again.includes('reading'), false);
  utimesSync(bad, new Date(), new Date(Date.now() + 60_000));
  await here.refuses({ code: 'BAD_OUTPUT', place: { shard: 'bad.csv' }, message: /modified since/ });
  assert.deepEqual(assertOnlyWholeShards(here.output), ['bad.csv', 'good.csv']);
});

test('stopped while a file is read', async (t) => {
  const here = place(t);
  write(
    here,
    'a.csv',
    `x,t\n${countTo(1_500_000)
      .map((row) => `${row},some text ${row}`)
      .join('\n')}\n`,
  );
  const abort = new AbortController();
  const run = score(
    here.options({
      signal: abort.signal,
      onProgress: ({ phase }) => {
        if (phase === 'reading') abort.abort();
      },
    }),
  );
  const error = await caught(run);
  assert.equal(error.code, 'STOPPED');
  assert.deepEqual(listFiles(here.output), []);
  assert.equal((await here.score()).rowsOut, 1_500_000);
});

test('inspect looks at the first rows and counts; nothing is left anywhere', async (t) => {
  const here = place(t);
  write(here, 'a.csv', 'x,text\n1,a\n2.5,b\n');
  write(here, 'b.csv', 'x,text\n3,c\n');
  // Of its own: other tests leave theirs for a while.
  const scratch = join(dirname(here.data), 'scratch');
  mkdirSync(scratch);
  process.env['TMPDIR'] = scratch;
  t.after(() => delete process.env['TMPDIR']);
  const report = await inspect({ shards: here.data, model: here.model });
  assert.deepEqual(
    report.shards.map(({ name, rowCount }) => [name, rowCount]),
    [
      ['a.csv', 2],
      ['b.csv', 1],
    ],
  );
  assert.deepEqual(
    report.columns.map(({ name, types }) => [name, types]),
    [
      ['x', ['DOUBLE']],
      ['text', ['VARCHAR']],
    ],
  );
  assert.deepEqual([report.rowCount, report.problems, report.rowGroups.count], [3, [], 0]);
  assert.deepEqual(readdirSync(scratch), []);
});

test('tune reads them once, and leaves nothing', async (t) => {
  const here = place(t);
  write(here, 'a.csv', `x\n${many(String)}\n`);
  const report = await tune({ shards: here.data, model: here.model, seconds: 1 });
  assert.deepEqual(report.sample, { shards: 1, rows: 70_000 });
});
