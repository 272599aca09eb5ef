import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { renderChart, type VegaLiteSpec } from '../../bench/chart.ts';
import type { RunRecord } from '../run-record.ts';
import { hostile, hostileRunRecord } from '../testing/hostile-record.ts';
import { cpuRunRecord, gpuRunRecord } from '../testing/run-records.ts';
import { tempDir } from '../testing/shards.ts';
import { readRecords } from './read-record.ts';
import { renderReport } from './report.ts';
import { chartSections } from './sections.ts';
import { checkSideFile } from '../write/side-file.ts';
import { writeReport } from './write-report.ts';

/** What JSON makes of it: undefined fields are left out. */
function plain(record: RunRecord): unknown {
  return JSON.parse(JSON.stringify(record)) as unknown;
}

test('nothing from outside is markup, whatever it is called', () => {
  const html = renderReport([hostileRunRecord(), hostileRunRecord()], [hostile, hostile]);
  const ours = renderReport([gpuRunRecord(), gpuRunRecord()]);
  for (const tag of ['<script', '</script', '<img', '<svg', '\u2028']) {
    assert.equal(html.split(tag).length, ours.split(tag).length, tag);
  }
  assert.equal(html.split('</script>').length - 1, 6);
  // It is all there, as text.
  assert.ok(html.includes('&lt;img src=x onerror=alert(1)&gt;&lt;/script&gt;'));
});

test('only its own scripts may run, and it may fetch nothing', () => {
  const html = renderReport([cpuRunRecord()]);
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(html)![1]!.replaceAll('&#39;', "'");
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe-eval|script-src[^;]*unsafe|https?:/);
  const scripts = [...html.matchAll(/<script(?: type="module")?>([\s\S]*?)<\/script>/g)].map(([, text]) => text!);
  assert.equal(scripts.length, 4);
  for (const script of scripts) {
    assert.ok(policy.includes(`'sha256-${createHash('sha256').update(script).digest('base64')}'`), script.slice(0, 60));
  }
  assert.doesNotMatch(html, /<(?:link|iframe|object|embed|base)\b|<script[^>]+src=/);
});

test('every chart is drawn without a complaint and with marks', async (t) => {
  const folder = tempDir(t);
  const records = { gpu: gpuRunRecord(), cpu: cpuRunRecord(), hostile: hostileRunRecord() };
  for (const [name, record] of Object.entries(records)) {
    const charts = chartSections(record, `${name}-`).flatMap((section) => section.charts);
    assert.ok(charts.length >= 6, name);
    for (const { id, spec } of charts) {
      const path = join(folder, `${id}.svg`);
      // There is no page here whose width it could take.
      await renderChart({ ...spec, width: 640, autosize: 'pad' } as VegaLiteSpec, path);
      const svg = readFileSync(path, 'utf8');
      const marks = svg.match(/role="graphics-symbol" aria-roledescription="(?!title|axis|legend)/g) ?? [];
      assert.ok(marks.length > 0, id);
      assert.ok(!svg.includes('<img'), id);
      assert.ok(!/NaN|Infinity/.test(svg.replaceAll(/<text.*?<\/text>|aria-label="[^"]*"/g, '')), id);
    }
  }
});

test("a GPU's figures go by its name, in whatever order the GPUs ended", () => {
  const record = gpuRunRecord();
  const { result, samples } = record;
  const turned: RunRecord = { ...record, result: { ...result, devices: [...result.devices].reverse() } };
  const last = samples.at(-1)!;
  const figures = { memory: `"gibibytes":${last.deviceBytes[1]! / 2 ** 30}`, queue: `"slots":${last.queueDepths[1]!}` };
  const charts = chartSections(turned, '').flatMap((section) => section.charts);
  for (const [id, figure] of Object.entries(figures)) {
    const chart = charts.find((each) => each.id === id)!;
    const rows = JSON.stringify(chart.spec).match(/\{"atSeconds":[^}]*"cuda:1"[^}]*\}/g)!;
    assert.ok(rows.at(-1)!.includes(figure), `${id}: ${rows.at(-1)}`);
    assert.deepEqual(
      chart.legend!.map(({ label }) => label).filter((label) => label.startsWith('cuda')),
      ['cuda:0', 'cuda:1'],
    );
  }
});

test('sections without data say so, and how to get it', () => {
  const bare: RunRecord = {
    ...cpuRunRecord(),
    command: undefined,
    ended: 'STOPPED',
    result: { ...cpuRunRecord().result, ledger: undefined },
    shards: [],
    samples: [],
    timeline: undefined,
  };
  const text = renderReport([bare]).replace(/<script[\s\S]*?<\/script>/g, '');
  for (const sentence of [
    'This run ended with STOPPED',
    'There was nothing to score',
    'No timeline was kept; <code>tandem score --report FILE</code>',
    'No samples were taken',
    'Not measured in this run',
    'No CPU profiles were taken; <code>tandem profile</code>',
    'No shard was finished',
    'From TypeScript, not by a command',
  ]) {
    assert.ok(text.includes(sentence), sentence);
  }
  assert.ok(!text.includes('class="chart"'));
});

test('a report says what its window is: of a profile, and of the timeline', () => {
  const record = gpuRunRecord();
  const window = { fromSeconds: 7.25, seconds: 10, missing: ['prep 3'], heaps: [] };
  const textOf = (shown: RunRecord): string => renderReport([shown]).replace(/<script[\s\S]*?<\/script>/g, '');
  const whole = textOf(record);
  assert.match(
    whole,
    /120 milliseconds of the run, from 24\.0 s after its start on, as near to its middle as was kept/,
  );
  assert.match(whole, /They hold [\d,]+ stretches of time/);
  assert.match(whole, /Wall time of each GPU from start to end/);
  const part = textOf({ ...record, window });
  assert.match(part, /profile of 10\.0 s, from second 7\.3 of the run on, 403,200,000 rows/);
  assert.match(part, /prep 3 ended no batch in that time: it has no CPU profile/);
  assert.match(part, /Wall time of each GPU while it was profiled/);
  assert.match(part, /Of the whole run until the end of the profile/);
});

test('the records in a report are read back as they were', (t) => {
  const path = join(tempDir(t), 'run.html');
  const records = [hostileRunRecord(), cpuRunRecord()];
  writeReport(path, records);
  assert.deepEqual(readRecords(path), records.map(plain));
  assert.deepEqual(readdirSync(join(path, '..')), ['run.html'], 'no temporary file stays');
});

test('a place that cannot take a report is found out before the run', (t) => {
  const folder = tempDir(t);
  const output = join(folder, 'scores');
  mkdirSync(output);
  const refuses = (path: string, message: RegExp): void =>
    assert.throws(() => checkSideFile('--report', path, output), { code: 'USAGE', message });
  refuses(join(output, 'run.html'), /outside of the output folder/);
  refuses(join(folder, 'none', 'run.html'), /to be a file that can be written, got `.*run\.html` \(ENOENT/);
  refuses(folder, /\(a folder\)/);
  const path = join(folder, 'run.html');
  checkSideFile('--report', path, output);
  writeReport(path, [cpuRunRecord()]);
  checkSideFile('--report', path, output);
  for (const other of ['PAR1', '{"version":1}', '<!doctype html><p>mine</p>']) {
    writeFileSync(path, other);
    refuses(path, /which holds something else/);
  }
});
