import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain, type Evidence, type Rates } from './explain.ts';

const sizes: Rates = [
  { value: 2048, rowsPerSecond: 910 },
  { value: 4096, rowsPerSecond: 1000 },
  { value: 8192, rowsPerSecond: 1010 },
];
const growing: Rates = [
  { value: 4, rowsPerSecond: 500 },
  { value: 8, rowsPerSecond: 950 },
];
const flat: Rates = [
  { value: 4, rowsPerSecond: 990 },
  { value: 8, rowsPerSecond: 1000 },
];
const evidence: Evidence = {
  onGpu: true,
  batchSizes: sizes,
  batchSize: 4096,
  threadCounts: growing,
  threads: 8,
  modelShare: 0.4,
};
const knee = 'Batches of 4,096 rows are the knee: 8,192 rows gain 1 %, 2,048 rows lose 9 %. ';

const cases: readonly (readonly [string, Partial<Evidence>, string])[] = [
  [
    'a loader that cannot feed the GPU',
    {},
    'The loader is the limit (the GPU computes 40 % of the time), 8 threads score 1.90 times what 4 do: ' +
      'a faster GPU gains nothing, more cores would.',
  ],
  [
    'a GPU that is busy',
    { modelShare: 0.97, threadCounts: flat },
    'The model is the limit (the GPU computes 97 % of the time): more threads gain nothing, a faster GPU would.',
  ],
  [
    'neither of them',
    { threadCounts: flat, threads: 4 },
    'The way between threads and GPU, or storage, is the limit (the GPU computes 40 % of the time), ' +
      '8 threads score 1.01 times what 4 do: more threads than 4 gain nothing.',
  ],
  [
    'a GPU whose own rate is not known',
    { modelShare: undefined, threadCounts: flat },
    'The model, or the way to the GPU, is the limit, 8 threads score 1.01 times what 4 do: more threads gain nothing.',
  ],
  [
    'nothing known',
    { modelShare: undefined, threadCounts: [] },
    'What the limit is does not show: neither the GPU nor more threads were timed.',
  ],
  [
    'a CPU that computes',
    { onGpu: false, modelShare: 0.7 },
    "The model is the limit: it takes 70 % of the threads' time.",
  ],
  [
    'a CPU that reads, with threads to spare',
    { onGpu: false, modelShare: 0.2, threadCounts: flat, threads: 4 },
    "The loader is the limit (reading, featurizing, writing): the model takes 20 % of the threads' time. " +
      'More threads than 4 gain nothing: they share memory or storage.',
  ],
];
for (const [what, changes, expected] of cases) {
  test(what, () => assert.equal(explain({ ...evidence, ...changes }), knee + expected));
}

test('a best one at the end of what was tried, and none', () => {
  const at = (batchSize: number) => explain({ ...evidence, batchSize });
  assert.match(at(8192), /^Batches of 8,192 rows are the largest that were tried: 4,096 rows lose 1 %\. The/);
  assert.match(at(2048), /^Batches of 2,048 rows are the knee: 4,096 rows gain 10 %\. The/);
  assert.match(at(77), /^The loader/);
  assert.match(explain({ ...evidence, batchSizes: sizes.slice(1, 2) }), /^The loader/);
});
