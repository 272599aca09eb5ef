/** The parts of a report that have charts. Each says in one line when it has nothing to show, and how to get it. */
import type { RunRecord, Utilization } from '../run-record.ts';
import { counted, formatCount } from '../cli/format.ts';
import type { Chart } from './chart.ts';
import { figure } from './figure.ts';
import { flameChart } from './flame-chart.ts';
import { flameLayout } from './flame-layout.ts';
import {
  barChart,
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
import { numberColumn, reportTable, swatch } from './table.ts';
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

function missing(title: string, sentence: string | Markup): Section {
  return section(title, markup`<p class="missing">${sentence}</p>`);
}

/** What the colours of bars mean, and their mean over all bars, the largest first. */
function meaningTable(bars: readonly BarPart[], meanOf: string): Markup {
  const rows = [...meanShares(bars)]
    .sort((a, b) => b.share - a.share)
    .map(({ label, colour, share, meaning }) => [markup`${swatch(colour)}${label}`, percent(share), meaning]);
  return reportTable(
    [{ title: 'part', kind: 'part' }, numberColumn(meanOf), { title: 'this time', kind: 'name' }],
    rows,
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function barsShown(bars: readonly BarPart[]): string {
  const count = new Set(bars.map(({ name }) => name)).size;
  return count <= ledgerBarsMax ? '' : ` The first ${ledgerBarsMax} of ${count} are shown; the means are of all.`;
}

function ledgerSection({ result: { ledger, devices }, window }: RunRecord, prefix: string): Section {
  const title = 'Where every second went';
  if (ledger === undefined) {
    return missing(
      title,
      'There was nothing to score, so no time was divided; with --overwrite finished shards are scored again.',
    );
  }
  const scorers = scorerBars(ledger);
  const threads = threadBars(ledger);
  const who = devices.length > 0 ? 'GPU' : 'thread';
  const charts = [barChart(`${prefix}scorers`, `What each ${who} did with its time`, firstBars(scorers))];
  const whose = who === 'GPU' ? 'GPU' : 'scoring thread';
  const when = window === undefined ? 'from start to end' : 'while it was profiled';
  const body = [
    markup`<p>Wall time of each ${whose} ${when}; the parts add up to 100 %.${barsShown(scorers)}</p>`,
    figure(charts[0]!),
    meaningTable(scorers, ledger.scorers.length > 1 ? 'mean' : 'share'),
  ];
  if (threads.length > 0) {
    const bars = barChart(`${prefix}threads`, 'What each thread did with its time', firstBars(threads));
    const chart = { ...bars, legend: threads };
    charts.push(chart);
    body.push(
      ledger.prep.length > 0
        ? markup`<h3>The threads that feed the GPUs${ledger.writer === undefined ? '' : ', and the writer'}</h3>
<p>Waiting for a GPU is good here: the loader could feed more.${barsShown(threads)}</p>`
        : markup`<h3>The writer</h3><p>It writes the scores of shards that several threads score; waiting for them is good.</p>`,
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
  const read = `${decimalBytes(storage.fetchedBytes)} read, ${decimalBytes(storage.storageBytes)} of them not in the page cache`;
  const rates = [storage.bytesPerSecond, storage.neededBytesPerSecond].map(decimalBytes);
  return markup`<p style="margin:12px 0 0">Storage: ${read}; ${rates[0]}/s while rows were scored, ${rates[1]}/s needed.${toldApart}</p>`;
}

/** In the units of storage, powers of 1,000: `2.05 GB`, `61 MB` */
function decimalBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

function timelineSection({ timeline, shards, result, window: profiled }: RunRecord, prefix: string): Section {
  const title = 'Which batch was where';
  const spanCount = timeline?.tracks.reduce((sum, { spans }) => sum + spans.length, 0) ?? 0;
  if (timeline === undefined || spanCount === 0) {
    return missing(
      title,
      markup`No timeline was kept; <code>tandem score --report FILE</code> keeps one of a moment of the run.`,
    );
  }
  const chart = timelineChart(`${prefix}timeline`, timeline, shards);
  const left = timeline.tracks.length - timelineTracksMax;
  const hidden = left > 0 ? ` ${left} more tracks are in the record only.` : '';
  const { fromMs, toMs } = timeline;
  const isAll = profiled === undefined && fromMs === 0 && toMs >= result.wallSeconds * 1000;
  const lasts = toMs - fromMs < 10 ? (toMs - fromMs).toFixed(1) : formatCount(toMs - fromMs);
  const window = isAll
    ? 'All of the run.'
    : `${lasts} milliseconds of the run, from ${(fromMs / 1000).toFixed(1)} s after its start on, as near to its middle as was kept. ` +
      `They hold ${formatCount(spanCount)} stretches of time: more could not be told apart.`;
  return section(
    title,
    [markup`<p>${window} Point at a stretch: those about the same rows stay bright.${hidden}</p>`, figure(chart)],
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
    [
      ...(record.window === undefined ? [] : [markup`<p>Of the whole run until the end of the profile.</p>`]),
      markup`<div class="grid">${figures.map(({ title, chart }) => figure(chart, title))}</div>`,
      decisionTable(record),
    ],
    figures.map(({ chart }) => chart),
  );
}

function decisionTable({ decisions }: RunRecord): Markup {
  if (decisions.length === 0) return markup``;
  const columns = [
    numberColumn('second'),
    { title: 'device' },
    numberColumn('rows'),
    { title: 'why', kind: 'name' } as const,
  ];
  const rows = decisions.map(({ atSeconds, device, rows, reason }) => [
    atSeconds.toFixed(1),
    device,
    formatCount(rows),
    reason,
  ]);
  const title = markup`<summary>${counted(decisions.length, 'decision')} about the batch size</summary>`;
  return markup`<details>${title}${reportTable(columns, rows)}</details>`;
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
  return section(
    title,
    [
      markup`<p>Each counts something else over the same time, so they are shown side by side.</p>`,
      measureTable(utilization),
      figure(chart),
      list ?? markup``,
    ],
    [chart],
  );
}

function measureTable(utilization: readonly Utilization[]): Markup {
  // A CPU and GPUs are never in one run, so the names of the first one's measures are those of all.
  const columns = measuresOf(utilization[0]!).map(({ measure, colour }) => ({
    title: markup`${swatch(colour)}${measure}`,
    kind: 'number' as const,
    wraps: true,
  }));
  const rows = utilization.map((each) => [
    each.device,
    ...measuresOf(each).map(({ share }) => (share === undefined ? 'not measured' : percent(share))),
  ]);
  return reportTable([{ title: '' }, ...columns], rows);
}

function flameSection({ profiles }: RunRecord, prefix: string): Section {
  const title = 'CPU time by function';
  const threads = profiles.flatMap(({ thread, profile }) => {
    const frames = flameLayout(profile);
    return frames.length === 0 ? [] : [{ thread, frames }];
  });
  if (threads.length === 0) {
    return missing(title, markup`No CPU profiles were taken; <code>tandem profile</code> takes one of every thread.`);
  }
  const name = `${prefix}flame`;
  const charts = threads.map(({ thread, frames }, index) => flameChart(`${name}-${index}`, thread, frames));
  // The main thread conducts, and sleeps: whoever looks wants the others.
  const shown = Math.max(
    0,
    threads.findIndex(({ thread }) => thread !== 'main'),
  );
  const options = threads.map(
    ({ thread }, index) => markup`<option${index === shown ? markup` selected` : undefined}>${thread}</option>`,
  );
  const choices = threads.map(
    ({ thread }, index) =>
      markup`<div data-choice="${name}" data-value="${thread}"${index === shown ? undefined : markup` hidden`}>${figure(charts[index]!)}</div>`,
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
