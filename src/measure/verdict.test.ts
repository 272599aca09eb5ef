import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Verdict } from '../run-record.ts';
import { runVirtually, type VirtualOptions, type VirtualRun } from '../testing/virtual-device.ts';
import { readingOf } from '../testing/virtual-ledger.ts';
import { byActivity, type Activity } from './activities.ts';
import { ledgerOf, type CrewReading } from './ledger.ts';

const cores = 64;

/** A GPU that scores 8 million rows a second, fed by threads of a million rows a second each. */
function virtualRun(
  threads: number,
  changes: { readonly gpus?: number; readonly computeRate?: number } = {},
): VirtualRun {
  const { gpus = 1, computeRate = 8e6 } = changes;
  const copy = { bytesPerSecond: 50e9, latencySeconds: 10e-6 };
  const options: VirtualOptions = {
    prep: {
      threads,
      slotsPerThread: 4,
      slotRows: 16_384,
      fillSecondsPerRow: 0.9e-6,
      writeSecondsPerRow: 0.1e-6,
      spanRows: Array.from({ length: 4 * threads }, () => 1_000_000),
    },
    gpus: Array.from({ length: gpus }, () => ({
      buffers: 3,
      bufferRows: 65_536,
      batchSize: 65_536,
      copyIn: { ...copy, bytesPerRow: 128 },
      copyOut: { ...copy, bytesPerRow: 4 },
      computeSeconds: (rows) => 10e-6 + rows / computeRate,
    })),
    handOver: 'fewestRows',
  };
  return runVirtually(options);
}

function verdictOf(run: VirtualRun, coreCount = cores): Verdict {
  return ledgerOf(readingOf(run, 0.75), { cores: coreCount }).verdict;
}

test('what more threads would bring is what they bring when the change is made', () => {
  for (const [threads, gpus] of [
    [1, 1],
    [2, 1],
    [3, 1],
    [5, 1],
    [2, 2],
    [6, 2],
    [9, 4],
  ] as const) {
    const run = virtualRun(threads, { gpus });
    const { bottleneck, sentence, whatIf } = verdictOf(run);
    assert.equal(bottleneck, 'decode', sentence);
    assert.match(
      sentence,
      /^cuda:\d waited \d+ % of the time, \d+ points for decode: \d+ more prep threads? would remove/,
    );
    const added = Number(/^(\d+) more prep thread/.exec(whatIf!.change)![1]);
    const changed = virtualRun(threads + added, { gpus });
    const ratio = changed.rowsPerSecond / whatIf!.rowsPerSecond;
    assert.ok(Math.abs(ratio - 1) <= 0.15, `${threads} threads, ${gpus} GPUs, ${added} more: ${ratio}`);
    const points = Number(/remove about (\d+) point/.exec(sentence)![1]);
    const removed = run.gpus[0]!.compute.forRows - changed.gpus[0]!.compute.forRows;
    assert.ok(Math.abs(removed * 100 - points) <= 15, `${threads} threads, ${gpus} GPUs: ${removed} against ${points}`);
  }
});

test('more threads than cores are not what it asks for', () => {
  const { sentence, whatIf } = verdictOf(virtualRun(4), 4);
  assert.match(sentence, /more cores with a prep thread each would remove about/);
  assert.match(whatIf!.change, /more cores with/);
});

test('where the GPU computes all the time the model is the bottleneck, and what the loader could feed is true', () => {
  const { bottleneck, sentence, whatIf } = verdictOf(virtualRun(8, { computeRate: 3e6 }));
  assert.equal(bottleneck, 'model', sentence);
  const fed = virtualRun(8, { computeRate: 100e6 }).rowsPerSecond;
  assert.ok(Math.abs(whatIf!.rowsPerSecond / fed - 1) <= 0.15, `${whatIf!.rowsPerSecond} against ${fed}`);
  assert.match(sentence, /the loader could feed 2\.\d times as much/);
});

/** Lanes on the CPU: shares of a second of each thread. */
function lanes(shares: Partial<Record<Activity, number>>, threads = 2): CrewReading {
  const parts = byActivity((activity) => 1000 * (shares[activity] ?? 0));
  const bytes = { fetchedBytes: 1e8, storageBytes: 0, tellsStorage: true };
  const sheet = { atMs: 0, parts, activity: 'idle' as const, rowCount: 500_000, shapes: 1, ...bytes };
  return { wallMs: 1000, prep: Array.from({ length: threads }, () => sheet), writer: undefined, devices: [] };
}

test('on the CPU the largest share of the threads says what the limit is', () => {
  const cases: readonly (readonly [Partial<Record<Activity, number>>, string, RegExp])[] = [
    [
      { compute: 0.75, decode: 0.15, featurize: 0.1 },
      'model',
      /75 % of the threads' time: the loader could feed 4\.0 times/,
    ],
    [{ compute: 0.2, decode: 0.6, featurize: 0.2 }, 'decode', /decoding is the bottleneck, 60 % .* 2\.5 times as fast/],
    [
      { compute: 0.1, storage: 0.8, decode: 0.1 },
      'storage',
      /^storage: 0\.20 of the 1\.0 GB\/s needed; the threads slept 80 %/,
    ],
    [{ compute: 0.1, write: 0.3, waitForRoom: 0.5, decode: 0.1 }, 'writer', /writing is the bottleneck, 80 %/],
    [{ warmUp: 0.7, compute: 0.3 }, 'warmUp', /starting took 70 %/],
  ];
  for (const [shares, bottleneck, sentence] of cases) {
    const { verdict } = ledgerOf(lanes(shares), { cores: 2 });
    assert.equal(verdict.bottleneck, bottleneck, verdict.sentence);
    assert.match(verdict.sentence, sentence);
  }
});

test('cores without a thread are told', () => {
  const { verdict } = ledgerOf(lanes({ compute: 0.8, decode: 0.2 }), { cores: 8 });
  assert.match(verdict.sentence, /6 cores of 8 had no thread/);
  assert.deepEqual(verdict.whatIf, { change: '6 more threads', rowsPerSecond: 4e6 });
});

test('threads that memory or shards bound are not asked for without a word about that', () => {
  const bound = 'memory: 3 threads would not fit into 512MiB (--memory)';
  const ofLanes = (threadsBound: string): Verdict =>
    ledgerOf(lanes({ compute: 0.8, decode: 0.2 }), { cores: 8, threadsBound }).verdict;
  assert.equal(ofLanes('--threads').whatIf!.change, '6 more threads');
  assert.equal(ofLanes(bound).whatIf!.change, `6 more threads (bound by ${bound})`);
  assert.ok(ofLanes(bound).sentence.endsWith(`: 6 cores of 8 had no thread (bound by ${bound})`));
  const { verdict } = ledgerOf(readingOf(virtualRun(2), 0.75), {
    cores,
    threadsBound: '2 shards that cannot be split',
  });
  assert.match(verdict.sentence, /more prep threads \(bound by 2 shards that cannot be split\) would remove about/);
  const allBusy = ledgerOf(readingOf(virtualRun(2), 0.75), { cores: 2, threadsBound: "the machine's 2 cores" }).verdict;
  assert.doesNotMatch(allBusy.sentence, /bound by/);
});

test('parts that do not add up are a bug', () => {
  assert.throws(() => ledgerOf(lanes({ compute: 0.5 }), { cores: 2 }), /add up to 1 s, got 0\.5\. This is a bug/);
});
