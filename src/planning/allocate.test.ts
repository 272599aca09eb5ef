import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import {
  batchRowsMax,
  processBytesBase,
  ringBytesMax,
  rowGroupFactor,
  slotBytesMax,
  spanRowsTarget,
  threadBytesBase,
} from '../limits.ts';
import { allocateRun, chooseSplits, chooseThreads, slotRowsFor, type ShardSize } from './allocate.ts';
import { cutSpans } from './spans.ts';

const mib = 2 ** 20;
const enough = { value: 64 * 1024 * mib, setBy: 'a test' };

function shard(rowCount: number, more: Partial<ShardSize> = {}): ShardSize {
  return {
    name: `${rowCount}.parquet`,
    path: `/d/${rowCount}.parquet`,
    rowCount,
    rowGroupRows: [rowCount],
    rowGroupBytesMax: mib,
    splittable: true,
    ...more,
  };
}

test('slots hold the largest batch size, fewer rows where rows are wide', () => {
  assert.equal(slotRowsFor(132, undefined), batchRowsMax);
  assert.equal(slotRowsFor(slotBytesMax / 100, undefined), 100);
  assert.equal(slotRowsFor(slotBytesMax * 2, undefined), 1);
  assert.equal(slotRowsFor(132, 7), 7);
});

test('threads: the cores, unless there is less to do', () => {
  const cores = { value: 4, setBy: "the machine's 4 cores" };
  assert.deepEqual(chooseThreads(cores, [shard(1e6)], mib, enough), { threads: 4, setBy: cores.setBy });
  assert.equal(chooseThreads(cores, [shard(1e6, { splittable: false })], mib, enough).threads, 1);
  assert.equal(chooseThreads(cores, [], mib, enough).threads, 1);
});

test('threads: as many row groups as fit into the memory', () => {
  const cores = { value: 8, setBy: 'cores' };
  const heavy = [shard(10, { rowGroupBytesMax: 500 * mib }), shard(11, { rowGroupBytesMax: 100 * mib })];
  const held = (bytes: number): number => Math.ceil(bytes * rowGroupFactor);
  const one = processBytesBase + threadBytesBase + mib + held(500 * mib);
  const two = one + threadBytesBase + mib + held(100 * mib);
  for (const [bytes, threads] of [
    [one, 1],
    [two - 1, 1],
    [two, 2],
    [enough.value, 8],
  ] as const) {
    assert.equal(chooseThreads(cores, heavy, mib, { value: bytes, setBy: '--memory' }).threads, threads);
  }
  assert.match(
    chooseThreads(cores, heavy, mib, { value: two, setBy: '--memory' }).setBy,
    /^memory: 3 threads would not fit/,
  );
});

test('threads: a row group that cannot fit is an error with the way out', () => {
  const big = shard(10, { rowGroupBytesMax: 700 * mib, path: '/d/big.parquet', name: 'big.parquet' });
  assert.throws(
    () => chooseThreads({ value: 2, setBy: '' }, [big], mib, { value: 256 * mib, setBy: '--memory' }),
    (error) => {
      assert.ok(error instanceof TandemError);
      assert.equal(error.code, 'MEMORY');
      assert.equal(error.place.shard, 'big.parquet');
      assert.match(error.remedy ?? '', /--memory 927MiB.*ROW_GROUP_SIZE/);
      return true;
    },
  );
});

test('splits: what would keep one thread busy alone', () => {
  const cases: readonly (readonly [number[], number, boolean[]])[] = [
    [[5e6], 2, [true]],
    [[5e6], 1, [false]],
    [[5e6, 5e6], 2, [false, false]],
    [[5e6, 5e6, 5e6], 2, [false, false, true]],
    [[10e6, 1e6, 1e6, 1e6], 2, [true, false, false, true]],
    [[100, 100, 100], 2, [false, false, false]],
    [[], 2, []],
  ];
  for (const [rows, threads, expected] of cases)
    assert.deepEqual(
      chooseSplits(
        rows.map((count) => shard(count)),
        threads,
      ),
      expected,
      String(rows),
    );
  assert.deepEqual(chooseSplits([shard(5e6, { splittable: false })], 2), [false]);
});

test('spans cover every row once, in order, along row groups where they are small', () => {
  const layouts: readonly number[][] = [
    [5_000_000],
    Array<number>(41).fill(122_880),
    Array<number>(10_000).fill(500),
    [1, 2_000_000, 3],
    [262_144, 262_144, 1],
    [600_000],
  ];
  for (const rowGroupRows of layouts) {
    for (const threads of [2, 5, 32]) {
      const rowCount = rowGroupRows.reduce((sum, rows) => sum + rows, 0);
      const { spans, capacityRows } = cutSpans({ rowCount, rowGroupRows }, threads, 4, 8192);
      let next = 0;
      for (const span of spans) {
        assert.equal(span.firstRow, next);
        assert.ok(span.rowCount > 0 && span.rowCount <= 1.5 * spanRowsTarget, `${span.rowCount} rows`);
        next += span.rowCount;
      }
      assert.equal(next, rowCount);
      assert.ok(capacityRows >= Math.min(rowCount, 8192) && capacityRows <= rowCount);
    }
  }
});

test('spans of wide scores keep the ring within its bytes', () => {
  const rowGroupRows = Array<number>(40).fill(122_880);
  const { spans, capacityRows } = cutSpans({ rowCount: 40 * 122_880, rowGroupRows }, 4, 4096, 1024);
  assert.ok(capacityRows * 4096 <= ringBytesMax, `${(capacityRows * 4096) / mib} MiB`);
  assert.equal(
    spans.reduce((sum, span) => sum + span.rowCount, 0),
    40 * 122_880,
  );
});

test('threads: as many slots as one shared memory addresses', () => {
  const wanted = { value: 8, setBy: '--threads' };
  const { threads, setBy } = chooseThreads(wanted, [shard(1e6)], 1100 * mib, enough);
  assert.equal(threads, 3);
  assert.match(setBy, /^slots: 4 of 1100MiB would not fit into 4096MiB/);
  assert.throws(() => chooseThreads(wanted, [shard(1e6)], 4097 * mib, enough), {
    code: 'MEMORY',
    remedy: /smaller --batch-size/,
  });
});

test('threads: tables of the kernel that scores lie in the same memory as the slots', () => {
  const wanted = { value: 256, setBy: '--threads' };
  const slots = { rows: 32, bytes: 60 * mib, count: 1, where: 'host', kernelBytes: 4 * mib } as const;
  const shards = Array.from({ length: 256 }, () => shard(1000));
  for (const [tables, threads] of [
    // 64 would end where 32 bits do.
    [0, 63],
    [62 * mib, 63],
    [64 * mib, 62],
  ] as const) {
    assert.equal(allocateRun(wanted, shards, { ...slots, tableBytes: tables }, 4, enough).threads, threads);
  }
  const one = processBytesBase + threadBytesBase + 64 * mib + Math.ceil(mib * rowGroupFactor);
  const run = (limit: number) =>
    allocateRun(wanted, shards, { ...slots, tableBytes: 100 * mib }, 4, { value: limit, setBy: '--memory' });
  assert.equal(run(one + 200 * mib).threads, 1);
  assert.throws(() => run(one + 199 * mib), { code: 'MEMORY' });
});

test('the memory table stays within the limit: fewer split shards, then fewer threads', () => {
  const wanted = { value: 8, setBy: '--threads' };
  const slots = { rows: 8192, bytes: mib, count: 1, where: 'host', kernelBytes: mib, tableBytes: 0 } as const;
  for (const shards of [
    [shard(50e6)],
    Array.from({ length: 8 }, () => shard(5e6)),
    [shard(50e6, { rowGroupBytesMax: 90 * mib }), shard(9e6)],
  ]) {
    for (let limit = 300 * mib; limit < 2048 * mib; limit += 50 * mib) {
      const run = allocateRun(wanted, shards, slots, 32, { value: limit, setBy: '--memory' });
      const sum = run.memory.reduce((bytes, line) => bytes + line.count * line.bytesEach, 0);
      assert.ok(sum <= limit, `${sum / mib} MiB of ${limit / mib} with ${run.threads} threads`);
      assert.ok(run.threads > 1 || run.splits.every((split) => !split));
    }
  }
  assert.equal(allocateRun(wanted, [shard(50e6)], slots, 32, enough).threads, 8);
});
