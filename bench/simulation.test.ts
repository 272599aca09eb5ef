import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  boundsOf,
  modelFactors,
  newestRates,
  shardRows,
  simulate,
  simulateSequence,
  type CoreRates,
  type Setup,
} from './simulation.ts';

const rates: CoreRates = { decode: 10e6, featurize: 10e6, write: 10e6, source: 'the test' };

function boundOf(setup: Setup): number {
  return Math.min(...Object.values(boundsOf(setup)));
}

function rateOf(setup: Setup): number {
  return simulate(setup).run.rowsPerSecond;
}

test('no schedule is faster than its slowest stage, and most come close to it', () => {
  for (const modelFactor of modelFactors) {
    for (const gpus of [1, 4]) {
      for (const cores of [2, 16]) {
        const setup = { rates, cores, gpus, modelFactor };
        const share = rateOf(setup) / boundOf(setup);
        const what = `${modelFactor} x the MLP, ${gpus} GPUs, ${cores} cores: ${share} of the bound`;
        assert.ok(share <= 1 + 1e-9, what);
        assert.ok(share > 0.75, what);
      }
    }
  }
});

test('more cores help until the GPU binds, and do no harm from there on', () => {
  for (const modelFactor of modelFactors) {
    const setups = [1, 2, 4, 8, 16].map((cores): Setup => ({ rates, cores, gpus: 1, modelFactor }));
    setups.slice(1).forEach((setup, index) => {
      const [before, after] = [rateOf(setups[index]!), rateOf(setup)];
      const { cores, compute } = boundsOf(setup);
      const least = cores < 0.9 * compute ? 1.5 : 0.97;
      assert.ok(
        after >= least * before,
        `${modelFactor} x the MLP, ${setup.cores} cores: ${before}, then ${after} rows/s`,
      );
    });
  }
});

test('more buffers are never slower, and what is prepared first is never sooner', () => {
  for (const modelFactor of modelFactors) {
    const setup = { rates, cores: 16, gpus: 1, modelFactor };
    const [one, two, three] = [1, 2, 3].map((buffers) => rateOf({ ...setup, buffers })) as [number, number, number];
    assert.ok(two >= 0.999 * one && three >= 0.999 * two, `${modelFactor} x the MLP: ${one}, ${two}, ${three} rows/s`);
    const { prepareSeconds, scoring } = simulateSequence(setup);
    const { makespanSeconds, rowCount } = simulate(setup).run;
    assert.equal(scoring.rowCount, rowCount);
    assert.ok(prepareSeconds + scoring.makespanSeconds >= 0.99 * makespanSeconds);
    assert.ok(
      scoring.rowsPerSecond <= boundOf({ ...setup, rates: { ...rates, decode: Infinity, featurize: Infinity } }),
    );
  }
});

test('every row counts, in small shards too', () => {
  const { run } = simulate({ rates, cores: 16, gpus: 2, modelFactor: 1, rowsPerShard: shardRows / 16 });
  assert.equal(run.rowCount, 64 * shardRows);
  assert.equal(run.slotsReturned, run.slotsHandedOver);
});

test('rates come from a benchmark that is there', () => {
  const { decode, featurize, write, source } = newestRates();
  for (const rate of [decode, featurize, write]) assert.ok(rate > 1e5 && rate < 1e9, `${rate} rows/s in ${source}`);
});
