import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../src/testing/shards.ts';
import { renderChart, type VegaLiteSpec } from './chart.ts';

const bars: VegaLiteSpec = {
  data: {
    values: [
      { way: 'row at a time', rate: 1 },
      { way: 'vectorized', rate: 50 },
    ],
  },
  mark: 'bar',
  encoding: {
    x: { field: 'rate', type: 'quantitative' },
    y: { field: 'way', type: 'nominal' },
  },
};

test('a chart is one SVG file that has a mark for each row and names what it shows', async (t) => {
  const path = join(tempDir(t), 'new', 'chart.svg');
  await renderChart(bars, path);
  const svg = readFileSync(path, 'utf8');
  assert.match(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.match(svg, /fill="white"/);
  assert.equal(svg.match(/aria-roledescription="bar"/g)?.length, 2);
  for (const text of ['row at a time', 'vectorized', 'rate']) assert.ok(svg.includes(`>${text}</text>`), text);
});

test('a long name is not cut', async (t) => {
  const path = join(tempDir(t), 'chart.svg');
  const way = 'a way of doing it whose name is longer than Vega lets a name be';
  await renderChart({ ...bars, data: { values: [{ way, rate: 1 }] } }, path);
  assert.ok(readFileSync(path, 'utf8').includes(`>${way}</text>`));
});

test('names are escaped', async (t) => {
  const path = join(tempDir(t), 'chart.svg');
  await renderChart({ ...bars, title: '<script>alert(1)</script> & co' }, path);
  const svg = readFileSync(path, 'utf8');
  assert.ok(!svg.includes('<script'));
  assert.ok(svg.includes('&lt;script&gt;'));
});

test('a field that no row has is an error, and leaves no file', async (t) => {
  const path = join(tempDir(t), 'chart.svg');
  const wrong = { ...bars, encoding: { x: { field: 'speed', type: 'quantitative' } } } as VegaLiteSpec;
  await assert.rejects(renderChart(wrong, path), /Expected a chart without complaints, got: .*speed/s);
  assert.ok(!existsSync(path));
});
