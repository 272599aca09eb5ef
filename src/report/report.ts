/** Runs as one HTML file: nothing is fetched, and nothing but its own scripts can run in it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toJson } from '../json.ts';
import { TandemError } from '../errors.ts';
import type { RunRecord } from '../run-record.ts';
import { placeOf } from '../place.ts';
import type { Chart } from './chart.ts';
import { compareRuns } from './comparison.ts';
import { comparisonPart, environmentPart, shardPart, verdictPart } from './facts.ts';
import { figure } from './figure.ts';
import { barChart, runBars } from './ledger-charts.ts';
import { markup, Markup, scriptJson } from './markup.ts';
import { chartSections, type Section } from './sections.ts';
import { style } from './style.ts';

/** The element that holds the records; {@link file://./read-record.ts} looks for it. */
export const recordsElement = '<script type="application/json" id="records">';

/**
 * One self-contained HTML file: the first run's verdict on top, with several runs what differs from the first one.
 * @param names of the runs where there are several
 */
export function renderReport(records: readonly RunRecord[], names: readonly string[] = []): string {
  const runs = records.map((record, index) => ({
    record,
    name: names[index] ?? `run ${index + 1}`,
    sections: chartSections(record, `run${index}-`),
  }));
  const [first, ...others] = runs;
  const comparisons = others.map((other, index) => comparisonOf(first!, other, `both${index}-ledger`));
  const charts = [...comparisons, ...runs.flatMap(({ sections }) => sections)].flatMap((section) => section.charts);
  const parts = runs.map(
    ({ record, name, sections }) =>
      markup`<article>${runs.length > 1 ? markup`<hr><h1>${name}</h1>` : undefined}
<header>${verdictPart(record)}</header>
${sections.map(({ body }) => body)}${shardPart(record)}${environmentPart(record)}</article>`,
  );
  return page(
    titleOf(runs.map(({ record }) => record)),
    markup`${comparisons.map(({ body }) => body)}${parts}`,
    charts,
    records,
  );
}

interface NamedRun {
  readonly name: string;
  readonly record: RunRecord;
}

function comparisonOf(before: NamedRun, after: NamedRun, chartId: string): Section {
  const bars = runBars([before, after]);
  const charts = bars.length === 0 ? [] : [{ ...barChart(chartId, 'The ledgers of both runs', bars), legend: bars }];
  const ledgers = markup`${charts.map((chart) => figure(chart))}`;
  const comparison = compareRuns(before.record, after.record);
  return { body: comparisonPart(comparison, [before.name, after.name], ledgers), charts };
}

function titleOf(records: readonly RunRecord[]): string {
  return records.length === 1
    ? `Tandem run of ${records[0]!.startedAt.replace('T', ' ').slice(0, 16)}`
    : `${records.length} Tandem runs`;
}

function page(title: string, body: Markup, charts: readonly Chart[], records: readonly RunRecord[]): string {
  const specs = Object.fromEntries(charts.map(({ id, spec }) => [id, spec]));
  const scripts = scriptPlaces().map(readScript);
  const [vega, vegaLite, vegaEmbed, client] = scripts as [string, string, string, string];
  // Scripts run by their hashes alone: markup that got in by a fault of ours would be shown, and still not run.
  const policy = [
    "default-src 'none'",
    `script-src ${scripts.map(hashSource).join(' ')}`,
    "style-src 'unsafe-inline'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return markup`<!doctype html>
<!-- Written by Tandem -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
${body}
<footer>Written by Tandem. The records of the runs are in this file: <code>tandem report</code> reads them back.</footer>
</main>
${new Markup(recordsElement)}${scriptJson(toJson(records))}</script>
<script type="application/json" id="charts">${scriptJson(toJson(specs))}</script>
<script>${new Markup(vega)}</script>
<script>${new Markup(vegaLite)}</script>
<script>${new Markup(vegaEmbed)}</script>
<script type="module">${new Markup(client)}</script>
</body>
</html>
`.text;
}

/** The first three leave one global each, in the order in which they need each other. */
function scriptPlaces(): URL[] {
  return [
    new URL('vega.min.js', import.meta.resolve('vega')),
    new URL('vega-lite.min.js', import.meta.resolve('vega-lite')),
    new URL('vega-embed.min.js', import.meta.resolve('vega-embed')),
    placeOf('./report/client.js'),
  ];
}

/** Without the reference to a source map, which a report has no place for. */
function readScript(place: URL): string {
  try {
    const text = readFileSync(place, 'utf8').replace(/\n?\/\/# sourceMappingURL=.*\s*$/, '');
    // What would end the script element, or hide what follows, can stand in strings and regular expressions only.
    return text.replace(/<(?=\/script|!--)/gi, '\\x3c');
  } catch (cause) {
    throw new TandemError('ENVIRONMENT', `Expected ${fileURLToPath(place)} to be readable, got ${String(cause)}.`, {
      remedy: 'Reports need the packages vega, vega-lite and vega-embed: run `npm ci` again.',
      cause,
    });
  }
}

function hashSource(script: string): string {
  return `'sha256-${createHash('sha256').update(script).digest('base64')}'`;
}
