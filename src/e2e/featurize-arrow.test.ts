/** Features as Arrow IPC files: the same values as in Parquet, in files that apache-arrow's own reader opens. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tableFromIPC, type Table } from 'apache-arrow';
import type { FeaturizeOptions } from '../feature-options.ts';
import { featurize } from '../pipeline.ts';
import { assertFailure, caught, listFiles, Workplace } from './workplace.ts';

const contract = {
  inputs: {
    x: [{ column: 'id' }, { column: 'v', missing: 'nan', standardize: { mean: 3, std: 7 } }],
    half: [{ column: 'v', missing: -1 }],
    n: [{ column: 'id' }],
    word: [{ column: 's', text: true, missing: '' }],
  },
};

function fill(place: Workplace): void {
  const of = (...shape: number[]): readonly (string | number)[] => ['N', ...shape];
  const specs = [
    { name: 'x', elementType: 'float32', shape: of(2) },
    { name: 'half', elementType: 'float16', shape: of(1) },
    { name: 'n', elementType: 'int64', shape: of(1) },
    { name: 'word', elementType: 'string', shape: of(1) },
  ] as const;
  place.writeModel(
    {
      inputs: specs,
      outputs: specs.map((spec) => ({ ...spec, name: `y_${spec.name}` })),
      nodes: specs.map(({ name }) => ({ op: 'Identity', inputs: [name], outputs: [`y_${name}`] })),
    },
    contract,
  );
  let first = 0;
  for (const [name, rowCount] of [
    ['a.parquet', 9_001],
    ['b/none.parquet', 0],
    ['c.parquet', 30_000],
  ] as const) {
    place.shard(
      name,
      `SELECT i + ${first} AS id, CASE WHEN i % 7 <> 0 THEN (i % 100)::FLOAT END AS v,
        CASE WHEN i % 3 <> 0 THEN 's' || i END AS s FROM range(${rowCount}) rows(i)`,
      { rowGroupRows: 4096 },
    );
    first += rowCount;
  }
}

function asked(place: Workplace, changes: Partial<FeaturizeOptions> = {}): FeaturizeOptions {
  return { shards: place.data, model: place.model, output: place.output, threads: 2, format: 'arrow', ...changes };
}

function open(place: Workplace, name: string): Table {
  return tableFromIPC(readFileSync(join(place.output, name)));
}

test('values, types and kept columns are those of the plain arithmetic, in every row', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const result = await featurize(asked(place, { keep: ['s', 'id'], rowGroupRows: 4096 }));
  assert.deepEqual([result.rowsOut, result.shards], [39_001, 3]);
  let first = 0;
  for (const name of ['a.arrow', 'b/none.arrow', 'c.arrow']) {
    const table = open(place, name);
    assert.deepEqual(
      table.schema.fields.map((field) => `${field.name}: ${String(field.type)}`),
      ['s: Utf8', 'id: Int64', 'x: FixedSizeList[2]<Float32>', 'half: Float32', 'n: Int64', 'word: Utf8'],
    );
    assert.equal(table.batches.length, Math.max(1, Math.ceil(table.numRows / 4096)));
    const columns = Object.fromEntries(
      table.schema.fields.map(({ name: column }) => [column, table.getChild(column)!]),
    );
    for (let row = 0; row < table.numRows; row++) {
      const id = first + row;
      const v = row % 7 === 0 ? NaN : row % 100;
      const s = row % 3 === 0 ? null : `s${row}`;
      const [x0, x1] = columns['x']!.get(row) as Float32Array;
      const found = [columns['id']!.get(row), columns['s']!.get(row), x0, x1, columns['n']!.get(row)];
      assert.deepEqual(found, [BigInt(id), s, Math.fround(id), Math.fround((v - 3) / 7), BigInt(id)]);
      assert.deepEqual([columns['half']!.get(row), columns['word']!.get(row)], [Number.isNaN(v) ? -1 : v, s ?? '']);
    }
    first += table.numRows;
  }
  assert.equal(first, 39_001);
});

test('equal files, without kept columns too; a second run writes what is missing, and nothing of others', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const options = { outputShards: 5, where: 'v >= 50 OR v IS NULL' };
  await featurize(asked(place, options));
  const names = [0, 1, 2, 3, 4].map((index) => `part-0000${index}-of-00005.arrow`);
  const ids = names.map((name) => Array.from(open(place, name).getChild('n')!.toArray() as BigInt64Array, Number));
  const wanted = Array.from({ length: 39_001 }, (_, id) => id).filter((id) => {
    const row = id < 9_001 ? id : id - 9_001;
    return row % 7 === 0 || row % 100 >= 50;
  });
  assert.deepEqual(ids.flat(), wanted);
  assert.ok(Math.max(...ids.map(({ length }) => length)) - Math.min(...ids.map(({ length }) => length)) <= 1);

  const lost = join(place.output, names[3]!);
  const before = readFileSync(lost);
  rmSync(lost);
  // As a run leaves it that died between a file's last name and its manifest.
  rmSync(join(place.output, '_manifests/part-00001-of-00005.parquet.json'));
  const again = await featurize(asked(place, options));
  assert.deepEqual([again.shards, again.shardsSkipped], [2, 3]);
  assert.deepEqual(readFileSync(lost), before);
  assertFailure(await caught(featurize(asked(place, { ...options, format: 'parquet' }))), {
    code: 'BAD_OUTPUT',
    place: {},
    message: /got the output of features in 5 files as Arrow/,
  });
  writeFileSync(join(place.output, 'mine.arrow'), 'mine');
  assert.equal((await caught(featurize(asked(place, { overwrite: true })))).code, 'BAD_OUTPUT');
  rmSync(join(place.output, 'mine.arrow'));
  await featurize(asked(place, { overwrite: true, keep: ['id'] }));
  assert.equal(existsSync(lost), false);
  assert.deepEqual(
    listFiles(place.output).filter((name) => name.endsWith('.arrow')),
    ['a.arrow', 'b/none.arrow', 'c.arrow'],
  );
  assert.ok(statSync(join(place.output, '_SUCCESS')).isFile());
});

test('a failure leaves no file, and Parquet options are refused', async (t) => {
  const place = new Workplace(t);
  fill(place);
  place.writeContract({ inputs: { ...contract.inputs, half: [{ sql: 'CASE WHEN id = 9500 THEN NULL ELSE 1 END' }] } });
  const error = await caught(featurize(asked(place, { keep: ['id'], outputShards: 1 })));
  assert.deepEqual([error.code, error.place.shard, error.place.row], ['BAD_ROW', 'c.parquet', 499]);
  assert.deepEqual(
    listFiles(place.output).filter((name) => /\.arrow|tmp/.test(name)),
    [],
  );
  assertFailure(await caught(featurize(asked(place, { compression: 'zstd' }))), {
    code: 'USAGE',
    place: {},
    message: /^Expected --compression to come with --format parquet, got it with arrow/,
  });
});
