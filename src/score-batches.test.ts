import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  Field,
  FixedSizeList,
  Float32,
  Int32,
  Table,
  Utf8,
  tableFromArrays,
  tableFromIPC,
  tableToIPC,
  vectorFromArray,
  type RecordBatch,
  type Vector,
} from 'apache-arrow';
import {
  countFrom,
  counting,
  failsWith,
  identityPlace,
  scoreAll,
  valuesOf,
  type Batches,
} from './e2e/arrow-batches.ts';
import { countTo, Workplace } from './e2e/workplace.ts';
import { TandemError } from './errors.ts';
import { readShards, score, scoreBatches, type ScoreBatchesOptions } from './index.ts';
import { mixedInputsModel, rowSumModel, scoreMixed, type MixedClassifier } from './testing/models.ts';
import { readRows, writeShard } from './testing/shards.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const flights = join(root, 'models/flights');
const flightsShard = join(root, 'node_modules/vega-datasets/data/flights-3m.parquet');

function columnsOf(batch: RecordBatch): string[] {
  return batch.schema.fields.map((field) => field.name);
}

test('flights: the same scores as score gives', async (t) => {
  const place = new Workplace(t);
  const shard = join(place.data, 'a.parquet');
  writeShard(shard, `FROM '${flightsShard}' LIMIT 30000`);
  await score({ shards: shard, model: flights, output: place.output, keep: [], threads: 1 });
  const expected = readRows(join(place.output, 'a.parquet')).map((row) => row['p_late']);
  for (const threads of [1, 2]) {
    const scored = await scoreAll(readShards(shard, { batchRows: 4096 }), { model: flights, threads });
    assert.deepEqual(
      scored.map((batch) => batch.numRows),
      [4096, 4096, 4096, 4096, 4096, 4096, 4096, 1328],
    );
    assert.deepEqual(valuesOf(scored, 'p_late'), expected);
    assert.deepEqual(columnsOf(scored[0]!), ['date', 'delay', 'distance', 'origin', 'destination', 'p_late']);
  }
});

for (const threads of [1, 2, 5]) {
  test(`many batches of all sizes come in order, ${threads} threads`, async (t) => {
    const place = identityPlace(t);
    const sizes = [1, 63, 64, 65, 0, 2047, 2048, 2049, 4097, 0, 3, 1, 1, 500, 0, 0, 7000, 64, 128];
    const batches = counting(sizes);
    const scored = await scoreAll(batches, { model: place.model, threads, batchSize: 64 });
    assert.deepEqual(
      scored.map((batch) => batch.numRows),
      sizes,
    );
    const total = sizes.reduce((sum, size) => sum + size, 0);
    assert.deepEqual(valuesOf(scored, 'x'), countTo(total));
    assert.deepEqual(valuesOf(scored, 'y'), countTo(total));
    scored.forEach((batch, index) => assert.equal(batch.data.children[0], batches[index]!.data.children[0]));
  });
}

test('batches without rows: before the first with rows, alone, and no batch at all', async (t) => {
  const place = identityPlace(t);
  for (const sizes of [[0, 0, 2, 0], [0], [0, 0, 0], []]) {
    const scored = await scoreAll(counting(sizes), { model: place.model, threads: 2 });
    assert.deepEqual(
      scored.map((batch) => batch.numRows),
      sizes,
    );
    for (const { schema } of scored) assert.deepEqual(schema.fields.map(String), ['x: Float32', 'y: Float32']);
  }
});

test('batches of every making: sliced, from IPC, from a Table of several, dictionaries', async (t) => {
  const place = new Workplace(t);
  const categories = ['a', 'b', 'c'];
  place.writeModel(rowSumModel(2), {
    inputs: { x: [{ column: 'n' }, { column: 's', index: categories, missing: 'b' }] },
    outputs: { y: 'sum' },
  });
  const rowCount = 5000;
  const texts = countTo(rowCount).map((row) => (row % 11 === 0 ? null : categories[row % 3]!));
  const expected = texts.map((text, row) => row + (text === null ? 1 : row % 3));
  const n = vectorFromArray(countTo(rowCount), new Int32());
  const plain = new Table({ n, s: vectorFromArray(texts, new Utf8()) });
  // Without a type, texts become a dictionary.
  const dictionary = new Table({ n, s: vectorFromArray(texts) });
  const edges = [
    [0, 13],
    [13, 2100],
    [2100, 2101],
    [2101, rowCount],
  ];
  const cut = (table: Table): RecordBatch[] => edges.flatMap(([from, to]) => table.slice(from, to).batches);
  const sent = (table: Table, as: 'file' | 'stream'): RecordBatch[] => tableFromIPC(tableToIPC(table, as)).batches;
  for (const table of [plain, dictionary]) {
    for (const batches of [table.batches, cut(table), sent(table, 'file'), sent(table, 'stream')]) {
      const scored = await scoreAll(batches, { model: place.model, threads: 2, batchSize: 1000 });
      assert.deepEqual(valuesOf(scored, 'sum'), expected);
      assert.deepEqual(valuesOf(scored, 's'), texts);
      assert.deepEqual(valuesOf(sent(new Table(scored), 'stream'), 's'), texts);
    }
  }
  const arrays = tableFromArrays({ n: Float64Array.of(1, 2), s: ['c', 'a'] });
  assert.deepEqual(valuesOf(await scoreAll(arrays.batches, { model: place.model }), 'sum'), [3, 2]);
});

test('list columns, fixed or not, sliced', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(3), { inputs: { x: [{ column: 'l', list: 3 }] }, outputs: { y: 'sum' } });
  const rows = countTo(3000).map((row) => [row, 1, 0.5]);
  const fixed = new FixedSizeList(3, new Field('item', new Float32(), true));
  for (const list of [vectorFromArray(rows), vectorFromArray(rows, fixed)] as Vector[]) {
    const table = new Table({ l: list });
    const batches = [...table.slice(0, 10).batches, ...table.slice(10, 3000).batches];
    const scored = await scoreAll(batches, { model: place.model });
    assert.deepEqual(
      valuesOf(scored, 'sum'),
      rows.map(([row]) => row! + 1.5),
    );
  }
});

test('labels, texts, lists and selected positions as columns', async (t) => {
  const classifier: MixedClassifier = {
    countries: ['CH', 'DE'],
    labels: ['no', 'maybe', 'yes'],
    coefficients: [
      [0.1013, -0.207, 0.531, 1, 0],
      [-0.0517, 0.113, 0, 0, 1.07],
      [0.0231, 0.1, -0.57, 0.5, 0.5],
    ],
    intercepts: [0, 0.1, -0.1],
  };
  const place = new Workplace(t);
  place.writeModel(mixedInputsModel(classifier));
  const rows = countTo(700).map((row) => ({
    age: row % 90,
    visits: row % 7,
    member: row % 2 === 0,
    country: ['CH', 'DE', 'FR'][row % 3]!,
  }));
  const table = new Table({
    age: vectorFromArray(
      rows.map((row) => row.age),
      new Float32(),
    ),
    visits: vectorFromArray(
      rows.map((row) => row.visits),
      new Int32(),
    ),
    member: vectorFromArray(rows.map((row) => row.member)),
    country: vectorFromArray(
      rows.map((row) => row.country),
      new Utf8(),
    ),
  });
  const expected = rows.map((row) => scoreMixed(classifier, row));
  const near = (got: unknown, wanted: number): void =>
    assert.ok(Math.abs(Number(got) - wanted) < 1e-5, `${String(got)} and ${wanted}`);
  const whole = await scoreAll(table.batches, { model: join(place.model, 'model.onnx'), batchSize: 100 });
  assert.deepEqual(
    valuesOf(whole, 'label'),
    expected.map((each) => each.label),
  );
  valuesOf(whole, 'probabilities').forEach((list, row) =>
    [...(list as Vector)].forEach((value, at) => near(value, expected[row]!.probabilities[at]!)),
  );
  const [empty] = table.batches.map((batch) => batch.slice(0, 0));
  const unscored = await scoreAll([empty!, table.batches[0]!], { model: join(place.model, 'model.onnx') });
  assert.deepEqual(
    unscored.map((batch) => batch.numRows),
    [0, 700],
  );
  for (const { schema } of unscored) assert.equal(String(schema), String(whole[0]!.schema));
  place.writeContract({
    inputs: Object.fromEntries(['age', 'visits', 'member', 'country'].map((name) => [name, { column: name }])),
    outputs: { probabilities: { columns: ['p_yes', 'p_no'], select: [2, 0] } },
  });
  const selected = await scoreAll(table.batches, { model: place.model, batchSize: 100 });
  assert.deepEqual(columnsOf(selected[0]!), ['age', 'visits', 'member', 'country', 'p_yes', 'p_no']);
  valuesOf(selected, 'p_yes').forEach((value, row) => near(value, expected[row]!.probabilities[2]!));
  valuesOf(selected, 'p_no').forEach((value, row) => near(value, expected[row]!.probabilities[0]!));
});

test('a bad row is named by batch and row, after all batches before it', async (t) => {
  const place = identityPlace(t);
  const batches = counting([500, 3000, 500, 500]);
  const holes = countTo(2500).map((row) => (row === 2400 ? null : row));
  const bad = new Table({ x: vectorFromArray(holes, new Float32()) }).batches[0]!;
  for (const threads of [1, 3]) {
    let rows = 0;
    await assert.rejects(
      async () => {
        const all = [batches[0]!, batches[1]!, bad, batches[2]!];
        for await (const batch of scoreBatches(all, { model: place.model, threads })) rows += batch.numRows;
      },
      failsWith('BAD_ROW', { shard: 'batch 2', row: 2400, column: 'x' }, /null/),
    );
    assert.equal(rows, 3500);
  }
});

test('a batch with other columns than the first', async (t) => {
  const place = identityPlace(t);
  const [first] = counting([5]);
  const others = [
    [tableFromArrays({ x: Float64Array.of(1) }), /column 1 to be `x Float32`, got `x Float64`/],
    [tableFromArrays({ z: Float32Array.of(1) }), /column 1 to be `x Float32`, got `z Float32`/],
    [tableFromArrays({ x: Float32Array.of(1), z: Float32Array.of(1) }), /column 2 to be `no other column`, got `z /],
  ] as const;
  for (const [table, message] of others) {
    const run = scoreAll([first!, ...table.batches], { model: place.model });
    await assert.rejects(run, failsWith('BAD_COLUMN', { shard: 'batch 1' }, message));
  }
  const missing = scoreAll(tableFromArrays({ z: Float32Array.of(1) }).batches, { model: place.model });
  await assert.rejects(missing, failsWith('BAD_COLUMN', { shard: 'the first batch', column: 'x' }, /x/));
});

test('what the iterable throws comes out after the batches before it', async (t) => {
  const place = identityPlace(t);
  let closed = false;
  async function* throwing(): AsyncGenerator<RecordBatch> {
    try {
      yield* counting([10, 20]);
      throw new Error('the database is gone');
    } finally {
      closed = true;
    }
  }
  const sizes: number[] = [];
  await assert.rejects(
    async () => {
      for await (const batch of scoreBatches(throwing(), { model: place.model, threads: 2 })) sizes.push(batch.numRows);
    },
    { message: 'the database is gone' },
  );
  assert.deepEqual([sizes, closed], [[10, 20], true]);
});

test('a batch comes out before the next one has come in', async (t) => {
  const place = identityPlace(t);
  let release = (): void => {};
  const second = new Promise<void>((resolve) => (release = resolve));
  async function* slow(): AsyncGenerator<RecordBatch> {
    const [first, last] = counting([10, 20]);
    yield first!;
    await second;
    yield last!;
  }
  const scored = scoreBatches(slow(), { model: place.model, threads: 2 });
  assert.equal((await scored.next()).value?.numRows, 10);
  release();
  assert.equal((await scored.next()).value?.numRows, 20);
  assert.equal((await scored.next()).done, true);
});

test('a signal stops the run: before, in the middle, and while the iterable hangs', async (t) => {
  const place = identityPlace(t);
  const stopped = failsWith('STOPPED', {}, /stopped/);
  await assert.rejects(scoreAll(counting([5]), { model: place.model, signal: AbortSignal.abort() }), stopped);
  const controller = new AbortController();
  let rows = 0;
  await assert.rejects(async () => {
    const batches = counting(countTo(50).map(() => 10));
    for await (const batch of scoreBatches(batches, { model: place.model, signal: controller.signal })) {
      rows += batch.numRows;
      if (rows === 100) controller.abort();
    }
  }, stopped);
  assert.equal(rows, 100);
  async function* hanging(): AsyncGenerator<RecordBatch> {
    yield counting([10])[0]!;
    await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
  }
  await assert.rejects(scoreAll(hanging(), { model: place.model, signal: AbortSignal.timeout(300) }), stopped);
});

test('wrong options, models and names are refused', async (t) => {
  const place = identityPlace(t);
  for (const wrong of [{ threads: 0 }, { threads: 1.5 }, { batchSize: -1 }]) {
    const run = scoreAll(counting([5]), { model: place.model, ...wrong });
    await assert.rejects(run, failsWith('USAGE', {}, /whole number of at least 1/));
  }
  const none = join(place.folder, 'none');
  assert.equal(existsSync(none), false);
  await assert.rejects(
    scoreAll(counting([5]), { model: none }),
    (error: unknown) => error instanceof TandemError && error.exitCode === 65,
  );
  const nothing = { model: undefined } as unknown as ScoreBatchesOptions;
  await assert.rejects(scoreAll(counting([5]), nothing), failsWith('USAGE', {}, /Expected model to be .*`undefined`/));
  const huge = scoreAll(counting([5]), { model: place.model, batchSize: 2 ** 30 });
  await assert.rejects(huge, failsWith('MEMORY', {}, /fit into 4096 MiB of shared memory, got a need of 8\d{3} MiB/));
  const clash = tableFromArrays({ x: Float32Array.of(1), Y: Float32Array.of(1) });
  const clashing = scoreAll(clash.batches, { model: place.model });
  await assert.rejects(clashing, failsWith('BAD_CONTRACT', { field: 'outputs' }, /got y/));
});

test('what is no sequence of batches is refused, and the remedy says how to get one', async (t) => {
  const place = identityPlace(t);
  const table = tableFromArrays({ x: Float32Array.of(1, 2) });
  for (const [given, message, remedy] of [
    [table, /^Expected batches to be a sequence of Arrow RecordBatches, got a Table\.$/, /`table\.batches`/],
    [table.batches[0], /got a RecordBatch\.$/, /`\[batch\]`/],
    [undefined, /got undefined\.$/, /an array/],
    [{ x: 1 }, /got an object\.$/, /an array/],
    [[table.batches[0], table], /^Expected batch 1 to be an Arrow RecordBatch, got a Table\.$/, /table\.batches/],
    [[{ x: 1 }], /^Expected batch 0 to be an Arrow RecordBatch, got an object\.$/, /tableFromJSON/],
  ] as const) {
    await assert.rejects(scoreAll(given as unknown as Batches, { model: place.model }), (error: unknown) => {
      assert.ok(error instanceof TandemError && error.code === 'USAGE', String(error));
      assert.match(error.message, message);
      assert.match(error.remedy ?? '', remedy);
      return true;
    });
  }
});

test('leaving early closes the iterable and frees threads and memory, twenty times', async (t) => {
  const place = identityPlace(t);
  let closed = 0;
  function* endless(): Generator<RecordBatch> {
    try {
      for (;;) yield countFrom(0, 20_000);
    } finally {
      closed++;
    }
  }
  const leave = async (): Promise<void> => {
    for await (const batch of scoreBatches(endless(), { model: place.model, threads: 2 })) {
      assert.equal(batch.numRows, 20_000);
      break;
    }
  };
  for (let round = 0; round < 5; round++) await leave();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 20; round++) await leave();
  assert.equal(closed, 25);
  const grownMb = (process.memoryUsage.rss() - before) / 1e6;
  // Two threads and a session take some 60 MB; kept, twenty of them would take twenty times that.
  assert.ok(grownMb < 200, `${grownMb.toFixed(0)} MB more`);
});
