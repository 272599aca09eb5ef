import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../src/testing/shards.ts';
import { renderChart, type VegaLiteSpec } from '../chart.ts';
import { costChart, memoryChart, zoneChart } from './spark-charts.ts';
import { costTable, sweepTable, trialTable } from './spark-report.ts';
import type { Trial } from './spark-trial.ts';
import { costNames, type CostName } from './stacks.ts';

const kinds = { jvm: 0, worker: 0, driver: 0, tandem: 0, tools: 0 };
const mebi = 2 ** 20;

function trialOf(contestant: Trial['contestant'], given: Partial<Trial> = {}): Trial {
  return {
    contestant,
    table: '32 floats a row',
    outcome: 'done',
    rows: 2_000_000,
    wallSeconds: 20,
    steadySeconds: 4,
    cpuSeconds: 30,
    cpuSecondsByKind: { ...kinds, jvm: 20, worker: 8 },
    peaks: {
      jvm: 900 * mebi,
      heapUsed: 0,
      jvmBeyondHeap: NaN,
      arrow: 0,
      largestWorker: 0,
      workers: 0,
      total: 1_000 * mebi,
    },
    othersShare: 0.5,
    versions: {},
    memory: [1, 2].map((second) => ({
      at: 1e9 + second,
      bytes: { ...kinds, jvm: second, worker: 2 },
      largestWorker: 1,
    })),
    jvmMemory: [{ at: 1e9 + 1, heapUsed: 1, heapCommitted: 2, direct: 0, arrow: 1 }],
    ...given,
  };
}

const shares = Object.fromEntries(costNames.map((name) => [name, 1 / costNames.length])) as Record<CostName, number>;
const failed = trialOf('pandas_udf', { outcome: 'failed', reason: 'malloc of size 64 failed', steadySeconds: NaN });
const points = [
  { records: undefined, label: 'tandem', trial: trialOf('tandem') },
  { records: 100, label: 'pandas_udf', trial: trialOf('pandas_udf') },
  { records: 1_000, label: 'pandas_udf', trial: failed },
];

async function textOf(t: Parameters<typeof tempDir>[0], spec: VegaLiteSpec): Promise<string> {
  const path = join(tempDir(t), 'chart.svg');
  await renderChart(spec, path);
  return readFileSync(path, 'utf8');
}

test('every cost has its bar, with and without start', async (t) => {
  const svg = await textOf(t, costChart([{ contestant: 'mapInPandas', shares }], 'two cores'));
  assert.equal(svg.match(/aria-roledescription="bar"/g)?.length, 2 * costNames.length);
  assert.match(svg, /share of CPU time: 9\.0\d*%; contestant: mapInPandas; cost: predict;/);
  assert.match(svg, /share of CPU time: 10\.0*%; contestant: mapInPandas, without start; cost: predict;/);
  assert.ok(svg.includes('two cores'));
});

test('memory of Spark and of Tandem over time', async (t) => {
  const svg = await textOf(t, memoryChart([trialOf('mapInPandas'), trialOf('tandem')], 'two cores'));
  for (const name of ['heap in use', 'largest Python worker', 'Tandem']) assert.ok(svg.includes(name), name);
});

test('a run that failed is a cross without a rate; Tandem, whose batch size is its own, is a line over all sizes', async (t) => {
  const svg = await textOf(t, zoneChart(points, 'two cores'));
  const crosses = svg.match(/aria-label="[^"]*: failed"/g) ?? [];
  assert.equal(crosses.length, 2);
  assert.ok(crosses.some((label) => /rows a second[^;]*: 0;/.test(label)));
  assert.equal(svg.match(/aria-label="records in a batch, at most: 1000;[^"]*tandem/g)?.length, 2);
});

test('tables: rates, shares without what is paid once, and why a run failed', () => {
  const dissections = [{ trial: trialOf('mapInPandas', { differenceMax: 0 }), shares }, { trial: failed }];
  assert.match(trialTable(dissections), /mapInPandas +100,000 rows\/s +500,000 rows\/s +15\.0 +10\.0 +4\.0 /);
  assert.match(trialTable(dissections), /failed: malloc of size 64 failed/);
  assert.match(costTable(dissections), /predict +9 % +10 %/);
  assert.match(sweepTable(points), /pandas_udf +100 +500,000 rows\/s/);
  assert.match(sweepTable(points), /pandas_udf +1,000 +- .*malloc of size 64 failed/);
});
