import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSize, formatSpan, judgePace, paceSentence, sizeHandoff, type Handoff } from './handoff.ts';

/** 2 billion rows x 256 float32, 16 readers of 2 GB/s. */
const exercise: Handoff = {
  rows: 2e9,
  columns: 256,
  bytesPerValue: 4,
  readers: 16,
  bytesPerSecond: 2e9,
  shards: 4_000,
};

test('the exercise: 2.048 TB, 64 seconds', () => {
  assert.deepEqual(sizeHandoff(exercise), {
    rowBytes: 1_024,
    datasetBytes: 2.048e12,
    shardRows: 500_000,
    shardBytes: 512e6,
    readerBytesPerSecond: 32e9,
    readerRowsPerSecond: 31_250_000,
    readSeconds: 64,
    readSecondsInShards: 64,
    shardSeconds: 0.256,
    bytesInFlight: 16 * 512e6,
  });
});

test('shards that do not fill the last round of readers cost the whole round', () => {
  const size = sizeHandoff({ ...exercise, shards: 17 });
  assert.equal(size.shardRows, Math.ceil(2e9 / 17));
  assert.ok(Math.abs(size.readSecondsInShards / ((2 * size.shardBytes) / 2e9) - 1) < 1e-12);
  assert.ok(size.readSecondsInShards > 1.8 * size.readSeconds);
  assert.equal(
    sizeHandoff({ ...exercise, shards: 3 }).bytesInFlight,
    3 * sizeHandoff({ ...exercise, shards: 3 }).shardBytes,
  );
});

test('the slower side sets the pace, the faster one waits', () => {
  const slow = judgePace(exercise, 3_125_000 * 2);
  assert.equal(slow.boundBy, 'model');
  assert.equal(slow.epochSeconds, 320);
  assert.equal(slow.flipsAtShare, 0.2);
  assert.ok(Math.abs(slow.fasterWaits - 0.8) < 1e-12);
  assert.equal(slow.modelsForReaders, 5);
  const fast = judgePace(exercise, 62_500_000);
  assert.equal(fast.boundBy, 'readers');
  assert.equal(fast.epochSeconds, 64);
  assert.equal(fast.flipsAtShare, 2);
  assert.equal(fast.fasterWaits, 0.5);
  assert.equal(fast.modelsForReaders, 1);
});

test('at the bandwidth that is named both sides are equal', () => {
  const { flipsAtShare } = judgePace(exercise, 10_000_000);
  const there = { ...exercise, bytesPerSecond: exercise.bytesPerSecond * flipsAtShare };
  assert.ok(Math.abs(sizeHandoff(there).readerRowsPerSecond / 10_000_000 - 1) < 1e-12);
  assert.equal(judgePace({ ...there, bytesPerSecond: there.bytesPerSecond * 1.01 }, 10_000_000).boundBy, 'model');
  assert.equal(judgePace({ ...there, bytesPerSecond: there.bytesPerSecond * 0.99 }, 10_000_000).boundBy, 'readers');
});

test('words: it flips at a tenth of the bandwidth only where the model side lies between', () => {
  const flips = paceSentence(exercise, 20_000_000);
  assert.match(flips, /model side sets the pace and the readers wait 36 % of the time \(2 model sides like this one/);
  assert.match(flips, /At a tenth of the bandwidth it flips: the readers set the pace/);
  assert.match(flips, /an epoch takes 640 s instead of 100 s\. Both sides are equal at 1\.3 GB\/s a reader\.$/);
  const slower = paceSentence(exercise, 1_000_000);
  assert.match(slower, /the model side still sets the pace, and an epoch still takes 33 min\./);
  const faster = paceSentence(exercise, 50_000_000);
  assert.match(faster, /the readers set the pace and the model side waits 38 % of the time\./);
  assert.match(faster, /the readers still set the pace, and an epoch takes 640 s instead of 64 s\./);
});

test('times and sizes as people say them', () => {
  const seconds = [0.256, 64, 640, 1_960, 8_000, 180_000];
  assert.deepEqual(seconds.map(formatSpan), ['0.256 s', '64 s', '640 s', '33 min', '2.2 h', '2.1 days']);
  const bytes = [0, 999, 1_024, 512e6, 2.048e12, 3e18];
  assert.deepEqual(bytes.map(formatSize), ['0 B', '999 B', '1.02 kB', '512 MB', '2.05 TB', '3000 PB']);
});
