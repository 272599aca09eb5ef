import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costPerMillionRows, judgeFusing, type FusingPoint } from './fusing.ts';

const prices = { gpuPerHour: 4, cpuPerHour: 1 };

/** A GPU that computes for a second; the slower of the two decides, nothing else takes time. */
function ideal(prepByGpu: number): FusingPoint {
  return {
    prepByGpu,
    together: { wallSeconds: Math.max(prepByGpu, 1), gpuHeldSeconds: Math.max(prepByGpu, 1), cpuHeldSeconds: 0 },
    apart: { wallSeconds: prepByGpu + 1, gpuHeldSeconds: 1, cpuHeldSeconds: prepByGpu },
    rowCount: 2e6,
  };
}

test('each machine costs its own time', () => {
  const time = { wallSeconds: 1, gpuHeldSeconds: 1800, cpuHeldSeconds: 3600 };
  assert.equal(costPerMillionRows(time, 2e6, prices), 1.5);
});

test('without overhead the costs meet where theory says', () => {
  const points = [0.5, 1, 1.2, 1.3, 1.4, 2, 8].map(ideal);
  const { costsMeetAt, costsMeetAtIdeally, sentence } = judgeFusing(points, prices);
  assert.equal(costsMeetAtIdeally, 4 / 3);
  assert.ok(Math.abs(costsMeetAt! - 4 / 3) < 0.01, `${costsMeetAt}`);
  assert.match(sentence, /ends sooner at every ratio .*\(0\.5 to 8\), and is cheaper up to a ratio of 1\.3/);
});

test('where the sides do not change, the sentence says whose it is', () => {
  assert.match(judgeFusing([ideal(0.2), ideal(1)], prices).sentence, /and is the cheaper way at any of them/);
  assert.match(judgeFusing([ideal(3), ideal(9)], prices).sentence, /is not the cheaper way at any of them/);
  const same = judgeFusing([ideal(3), ideal(9)], { gpuPerHour: 1, cpuPerHour: 1 });
  assert.equal(same.costsMeetAtIdeally, Infinity);
  assert.match(same.sentence, /is the cheaper way at any of them/);
});
