/** The parts of a report that have charts. Each says in one line when it has nothing to show, and how to get it. */
import type { RunRecord, Utilization } from '../run-record.ts';
import type { Chart, LegendEntry } from './chart.ts';
import { flameChart } from './flame-chart.ts';
import { flameLayout } from './flame-layout.ts';
import {
  barChart,
  disagreements,
  firstBars,
  ledgerBarsMax,
  meanShares,
  measuresOf,
  scorerBars,
  threadBars,
  utilizationChart,
  utilizationRows,
  type BarPart,
} from './ledger-charts.ts';
import { markup, type Markup } from './markup.ts';
import { batchSizeChart, memoryChart, queueChart, rateChart, sharesChart } from './time-charts.ts';
import { timelineChart, timelineTracksMax } from './timeline-chart.ts';

export interface Section {
  readonly body: Markup;
  readonly charts: readonly Chart[];
}

/** @param prefix of the charts' names, different for each run of a report */
export function chartSections(record: RunRecord, prefix: string): Section[] {
  return [
    ledgerSection(record, prefix),
    timelineSection(record, prefix),
    overTimeSection(record, prefix),
    utilizationSection(record, prefix),
    flameSection(record, prefix),
  ];
}

function section(title: string, body: Markup | readonly Markup[], charts: readonly Chart[] = []): Section {
  return { body: markup`<section><h2>${title}</h2>${body}</section>\n`, charts };
}

function missing(title: string, sentence: string): Section {
  return section(title, markup`<p class="missing">${sentence}</p>`);
}

/** Where the browser draws a chart, under its title. */
function figure(chart: Chart, title?: string): Markup {
  const buttons = chart.zooms === true ? zoomButtons : markup``;
  const caption =
    title === undefined && chart.zooms !== true ? undefined : markup`<figcaption>${title}${buttons}</figcaption>`;
  const zooms = chart.zooms === true ? markup` data-zooms` : undefined;
  return markup`<figure>${caption}<div class="chart" id="${chart.id}" role="img" aria-label="${chart.describe}"${zooms}></div>${chart.legend === undefined ? undefined : legend(chart.legend)}</figure>`;
}

const zoomButtons = markup`<span class="buttons">
<button data-press="left" aria-label="to the left">←</button><button data-press="closer" aria-label="closer">+</button>
<button data-press="farther" aria-label="farther">−</button><button data-press="right" aria-label="to the right">→</button>
<button data-press="all">all</button></span>`;

function legend(looks: readonly LegendEntry[]): Markup {
  const byLabel = new Map(looks.map((look) => [look.label, look]));
  const entries = [...byLabel.values()].map(
    ({ label, colour, meaning }) =>
      markup`<li title="${meaning ?? label}"><i style="background:${colour}"></i>${label}</li>`,
  );
  return markup`<ul class="legend">${entries}</ul>`;
}

/** What the colours of bars mean, and their mean over all bars, the largest first. */
function meaningTable(bars: readonly BarPart[], meanOf: string): Markup {
  const rows = [...meanShares(bars)]
    .sort((a, b) => b.share - a.share)
    .map(
      ({ label, colour, share, meaning }) =>
        markup`<tr><td class="part"><i style="background:${colour}"></i>${label}</td><td class="number">${(share * 100).toFixed(1)} %</td><td class="name">${meaning}</td></tr>`,
    );
  return markup`<div class="scrolls"><table><thead><tr><th>part</th><th class="number">${meanOf}</th><th>this time</th></tr></thead>
<tbody>${rows}</tbody></table></div>`;
}

function barsShown(bars: readonly BarPart[]): string {
  const count = new Set(bars.map(({ name }) => name)).size;
  return count <= ledgerBarsMax ? '' : ` The first ${ledgerBarsMax} of ${count} are shown; the means are of all.`;
}

function ledgerSection({ result: { ledger, devices } }: RunRecord, prefix: string): Section {
  const title = 'Where every second went';
  if (ledger === undefined) {
    return missing(
      title,
      'There was nothing to score, so no time was divided; --overwrite scores finished shards again.',
    );
  }
  const scorers = scorerBars(ledger);
  const threads = threadBars(ledger);
  const who = devices.length > 0 ? 'GPU' : 'thread';
  const charts = [barChart(`${prefix}scorers`, `What each ${who} did with its time`, firstBars(scorers))];
  const body = [
    markup`<p>Wall time of each ${who === 'GPU' ? 'GPU' : 'scoring thread'} from start to end; the parts add up to 100 %.${barsShown(scorers)}</p>`,
    figure(charts[0]!),
    meaningTable(scorers, ledger.scorers.length > 1 ? 'mean' : 'share'),
  ];
  if (threads.length > 0) {
    const bars = barChart(`${prefix}threads`, 'What each thread did with its time', firstBars(threads));
    const chart = { ...bars, legend: threads };
    charts.push(chart);
    body.push(
      markup`<h3>The threads that feed the GPUs, and the writer</h3>
<p>Waiting for a GPU is good here: the loader could feed more.${barsShown(threads)}</p>`,
      figure(chart),
    );
  }
  body.push(storageLine(ledger.storage));
  return section(title, body, charts);
}

function storageLine(storage: NonNullable<RunRecord['result']['ledger']>['storage']): Markup {
  const toldApart = storage.isToldApart
    ? ''
    : ' This system does not tell waiting for storage from decoding: both count as decoding.';
  return markup`<p style="margin:12px 0 0">Storage: ${decimalBytes(storage.fetchedBytes)} read, ${decimalBytes(storage.storageBytes)} of them not in the page cache;
${decimalBytes(storage.bytesPerSecond)}/s while rows were scored, ${decimalBytes(storage.neededBytesPerSecond)}/s needed.${toldApart}</p>`;
}

/** In the units of storage, powers of 1,000: `2.05 GB`, `61 MB` */
function decimalBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

function timelineSection({ timeline, shards }: RunRecord, prefix: string): Section {
  const title = 'Which batch was where';
  const spanCount = timeline?.tracks.reduce((sum, { spans }) => sum + spans.length, 0) ?? 0;
  if (timeline === undefined || spanCount === 0) {
    return missing(title, 'No timeline was kept; `tandem score --report <file>` keeps a window of one.');
  }
  const chart = timelineChart(`${prefix}timeline`, timeline, shards);
  const left = timeline.tracks.length - timelineTracksMax;
  const hidden = left > 0 ? ` ${left} more tracks are in the record only.` : '';
  const window = `${Math.round(timeline.toMs - timeline.fromMs)} milliseconds from second ${(timeline.fromMs / 1000).toFixed(1)} on.`;
  return section(
    title,
    [markup`<p>${window} Point at a span: those with rows in common stay bright.${hidden}</p>`, figure(chart)],
    [chart],
  );
}

function overTimeSection(record: RunRecord, prefix: string): Section {
  const title = 'Over time';
  if (record.samples.length === 0) {
    return missing(title, 'No samples were taken: the run was shorter than the time between two of them.');
  }
  const figures = [
    { title: 'Rate', chart: rateChart(`${prefix}rate`, record) },
    { title: 'What the prep threads did', chart: sharesChart(`${prefix}shares`, record) },
    { title: 'Batch size', chart: batchSizeChart(`${prefix}batch-size`, record) },
    { title: 'Memory', chart: memoryChart(`${prefix}memory`, record) },
    { title: 'Queue', chart: queueChart(`${prefix}queue`, record) },
  ].flatMap(({ title, chart }) => (chart === undefined ? [] : [{ title, chart }]));
  return section(
    title,
    [markup`<div class="grid">${figures.map(({ title, chart }) => figure(chart, title))}</div>`, decisionTable(record)],
    figures.map(({ chart }) => chart),
  );
}

function decisionTable({ decisions }: RunRecord): Markup {
  if (decisions.length === 0) return markup``;
  const rows = decisions.map(
    ({ atSeconds, device, rows, reason }) =>
      markup`<tr><td class="number">${atSeconds.toFixed(1)}</td><td>${device}</td><td class="number">${rows.toLocaleString('en-US')}</td><td class="name">${reason}</td></tr>`,
  );
  return markup`<details><summary>${decisions.length} decisions about the batch size</summary><div class="scrolls"><table>
<thead><tr><th class="number">second</th><th>device</th><th class="number">rows</th><th>why</th></tr></thead><tbody>${rows}</tbody></table></div></details>`;
}

function utilizationSection({ result: { ledger } }: RunRecord, prefix: string): Section {
  const title = 'Utilization';
  const utilization = ledger?.utilization ?? [];
  const notes = utilization.flatMap(({ device, reported, notes }) => [
    ...(reported === undefined ? [] : [`${device}: reported is ${reported.counts}`]),
    ...notes.map((note) => `${device}: ${note}`),
  ]);
  const list = notes.length === 0 ? undefined : markup`<ul>${notes.map((note) => markup`<li>${note}</li>`)}</ul>`;
  if (utilizationRows(utilization).length === 0) {
    return section(title, [markup`<p class="missing">Not measured in this run.</p>`, list ?? markup``]);
  }
  const chart = utilizationChart(`${prefix}utilization`, utilization);
  const warnings = disagreements(utilization).map((warning) => markup`<p class="warning">${warning}</p>`);
  return section(
    title,
    [
      markup`<p>Each counts something else over the same time, so they are shown side by side.</p>`,
      ...warnings,
      measureTable(utilization),
      figure(chart),
      list ?? markup``,
    ],
    [chart],
  );
}

function measureTable(utilization: readonly Utilization[]): Markup {
  // A CPU and GPUs are never in one run, so the names of the first one's measures are those of all.
  const heads = measuresOf(utilization[0]!).map(
    ({ measure, colour }) => markup`<th class="number wraps"><i style="background:${colour}"></i>${measure}</th>`,
  );
  const rows = utilization.map((each) => {
    const cells = measuresOf(each).map(
      ({ share }) =>
        markup`<td class="number">${share === undefined ? 'not measured' : `${(share * 100).toFixed(1)} %`}</td>`,
    );
    return markup`<tr><td>${each.device}</td>${cells}</tr>`;
  });
  return markup`<div class="scrolls"><table><thead><tr><th></th>${heads}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function flameSection({ profiles }: RunRecord, prefix: string): Section {
  const title = 'CPU time by function';
  const threads = profiles.flatMap(({ thread, profile }) => {
    const frames = flameLayout(profile);
    return frames.length === 0 ? [] : [{ thread, frames }];
  });
  if (threads.length === 0) {
    return missing(title, 'No CPU profiles were taken; `tandem profile` takes one of every thread.');
  }
  const name = `${prefix}flame`;
  const charts = threads.map(({ thread, frames }, index) => flameChart(`${name}-${index}`, thread, frames));
  const options = threads.map(({ thread }) => markup`<option>${thread}</option>`);
  const choices = threads.map(
    ({ thread }, index) =>
      markup`<div data-choice="${name}" data-value="${thread}"${index === 0 ? undefined : markup` hidden`}>${figure(charts[index]!)}</div>`,
  );
  return section(
    title,
    [
      markup`<p>Callers above, callees below, as wide as the time they took. A click on a function makes it as wide as the page.</p>`,
      markup`<label class="choice">Thread <select data-chooses="${name}">${options}</select></label>`,
      ...choices,
    ],
    charts,
  );
}
