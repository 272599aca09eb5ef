/** What changed while the run went on: rate, threads, batch size, memory, queues. */
import type { TopLevelSpec } from 'vega-lite';
import type { Activity } from '../measure/activities.ts';
import type { RunRecord } from '../run-record.ts';
import {
  colourScale,
  fitted,
  seriesColours,
  seriesLegend,
  shareAxis,
  wholeDomain,
  type Chart,
  type LegendEntry,
} from './chart.ts';
import { lookOfActivity } from './parts.ts';

/** One of several marks in a chart. */
type Layer = Extract<TopLevelSpec, { layer: unknown }>['layer'][number];
type Sampled = Pick<RunRecord, 'samples' | 'decisions' | 'result'>;

const height = 170;
/** Of what is context for the rest. */
const quietColour = '#8a93a0';
const memoryColours = [quietColour, ...seriesColours];
const time = {
  field: 'atSeconds',
  type: 'quantitative',
  scale: { nice: false, zero: true },
  axis: { title: 'seconds since the start', grid: false, tickCount: 6 },
} as const;
const seconds = { field: 'atSeconds', title: 'at second', format: ',.1f' } as const;

export function rateChart(id: string, { samples }: Sampled): Chart {
  const values = samples.map(({ atSeconds, rowsPerSecond, rowsDone }) => ({ atSeconds, rowsPerSecond, rowsDone }));
  return {
    id,
    describe: 'Rows a second over time',
    spec: {
      ...fitted,
      height,
      data: { values },
      mark: {
        type: 'area',
        line: { color: seriesColours[0]! },
        color: seriesColours[0]!,
        fillOpacity: 0.2,
        tooltip: true,
      },
      encoding: {
        x: time,
        y: {
          field: 'rowsPerSecond',
          type: 'quantitative',
          axis: { title: 'rows a second', format: '.2~s', tickCount: 4 },
        },
        tooltip: [
          seconds,
          { field: 'rowsPerSecond', title: 'rows a second', format: ',.0f' },
          { field: 'rowsDone', title: 'rows so far', format: ',' },
        ],
      },
    },
  };
}

/** Of all prep threads' time; undefined: no sample says what they did. */
export function sharesChart(id: string, { samples }: Sampled): Chart | undefined {
  const values = samples.flatMap(({ atSeconds, shares }) =>
    (Object.entries(shares) as [Activity, number][]).map(([activity, share]) => ({
      atSeconds,
      share,
      order: activityOrder.indexOf(activity),
      ...lookOfActivity(activity),
    })),
  );
  if (values.length === 0) return undefined;
  return {
    id,
    describe: "Shares of the prep threads' time over time, by activity",
    legend: values.filter(({ share }) => share > 0).sort((a, b) => a.order - b.order),
    spec: {
      ...fitted,
      height,
      data: { values },
      mark: { type: 'area', interpolate: 'step', strokeWidth: 0, tooltip: true },
      encoding: {
        x: time,
        y: { field: 'share', type: 'quantitative', stack: 'zero', scale: { domain: wholeDomain }, axis: shareAxis },
        order: { field: 'order', type: 'quantitative' },
        color: {
          field: 'label',
          type: 'nominal',
          scale: colourScale([...values].sort((a, b) => a.order - b.order)),
          legend: null,
        },
        tooltip: [seconds, { field: 'label', title: 'activity' }, { field: 'share', title: 'share', format: '.1%' }],
      },
    },
  };
}

/** What works for the scores comes first, waiting last. */
const activityOrder: readonly Activity[] = [
  'compute',
  'newShapes',
  'search',
  'featurize',
  'decode',
  'storage',
  'write',
  'writeStorage',
  'waitForRoom',
  'waitForRows',
  'waitForScores',
  'handOver',
  'warmUp',
  'idle',
];

/** Undefined: the batch size was never known. */
export function batchSizeChart(id: string, { samples, decisions }: Sampled): Chart | undefined {
  const sizes = samples.flatMap(({ atSeconds, batchSize }) =>
    batchSize === undefined ? [] : [{ atSeconds, rows: batchSize }],
  );
  if (sizes.length === 0 && decisions.length === 0) return undefined;
  const axis = { title: 'rows of a batch', format: ',d', tickCount: 5 } as const;
  const y = { field: 'rows', type: 'quantitative', scale: { type: 'log', base: 2 }, axis } as const;
  const line: Layer = {
    data: { values: sizes },
    mark: { type: 'line', interpolate: 'step-after', color: quietColour, strokeWidth: 1.5, tooltip: true },
    encoding: { x: time, y, tooltip: [seconds, { field: 'rows', title: 'rows of a batch', format: ',' }] },
  };
  return {
    id,
    describe: 'Batch size over time, with the decisions about it',
    ...(decisions.length === 0 ? {} : { legend: decisionLegend(decisions) }),
    spec: {
      ...fitted,
      height,
      layer: [...(sizes.length === 0 ? [] : [line]), ...(decisions.length === 0 ? [] : [decisionPoints(decisions, y)])],
    },
  };
}

function decisionLegend(decisions: Sampled['decisions']): LegendEntry[] {
  const devices = [...new Set(decisions.map(({ device }) => device))];
  const what = 'circles: steps of the search; diamonds: decided';
  return [...seriesLegend(devices), { label: what, colour: quietColour }];
}

function decisionPoints(decisions: Sampled['decisions'], y: object): Layer {
  const [step, decided] = ['a step of the search', 'decided'];
  const devices = [...new Set(decisions.map(({ device }) => device))];
  return {
    data: { values: decisions.map((decision) => ({ ...decision, what: decision.isSearch ? step : decided })) },
    mark: { type: 'point', filled: true, size: 55, opacity: 0.9 },
    encoding: {
      x: time,
      y,
      color: { field: 'device', type: 'nominal', scale: { domain: devices, range: seriesColours }, legend: null },
      shape: {
        field: 'what',
        type: 'nominal',
        scale: { domain: [step, decided], range: ['circle', 'diamond'] },
        legend: null,
      },
      tooltip: [
        seconds,
        { field: 'device', title: 'device' },
        { field: 'rows', title: 'rows', format: ',' },
        { field: 'what', title: 'what' },
        { field: 'reason', title: 'why' },
      ],
    },
  };
}

export function memoryChart(id: string, { samples, decisions, result }: Sampled): Chart {
  const values = samples.flatMap(({ atSeconds, residentBytes, deviceBytes }) => [
    { atSeconds, who: 'this process (resident)', gibibytes: residentBytes / 2 ** 30 },
    ...deviceBytes.map((bytes, index) => ({
      atSeconds,
      who: result.devices[index]?.name ?? `GPU ${index}`,
      gibibytes: bytes / 2 ** 30,
    })),
  ]);
  const who = [...new Set(values.map((value) => value.who))];
  const events = decisions.filter(({ isSearch }) => !isSearch);
  return {
    id,
    describe: 'Memory of the process and of its GPUs over time',
    legend: seriesLegend(who, memoryColours),
    spec: {
      ...fitted,
      height,
      layer: [
        ...(events.length === 0 ? [] : [decisionRules(events)]),
        {
          data: { values },
          mark: { type: 'line', strokeWidth: 2, tooltip: true, ...(samples.length === 1 ? { point: true } : {}) },
          encoding: {
            x: time,
            y: { field: 'gibibytes', type: 'quantitative', axis: { title: 'GiB', tickCount: 4 } },
            color: {
              field: 'who',
              type: 'nominal',
              scale: { domain: who, range: memoryColours },
              legend: null,
            },
            tooltip: [seconds, { field: 'who', title: 'where' }, { field: 'gibibytes', title: 'GiB', format: ',.2f' }],
          },
        },
      ],
    },
  };
}

function decisionRules(decisions: Sampled['decisions']): Layer {
  const tooltip = [seconds, { field: 'device', title: 'device' }, { field: 'reason', title: 'why' }];
  return {
    data: { values: [...decisions] },
    mark: { type: 'rule', strokeDash: [3, 3], color: quietColour },
    encoding: { x: time, tooltip },
  };
}

/** Undefined: no GPU was waited for. */
export function queueChart(id: string, { samples, result }: Sampled): Chart | undefined {
  const values = samples.flatMap(({ atSeconds, queueDepths }) =>
    queueDepths.map((slots, index) => ({ atSeconds, slots, device: result.devices[index]?.name ?? `GPU ${index}` })),
  );
  if (values.length === 0) return undefined;
  const devices = [...new Set(values.map(({ device }) => device))];
  return {
    id,
    describe: "Slots in each GPU's hands over time",
    legend: seriesLegend(devices),
    spec: {
      ...fitted,
      height,
      data: { values },
      // Depths jump from sample to sample: their moving mean is what can be read, the samples stay behind it.
      transform: [
        {
          window: [{ op: 'mean', field: 'slots', as: 'mean' }],
          frame: [-4, 4],
          groupby: ['device'],
          sort: [{ field: 'atSeconds' }],
        },
      ],
      encoding: {
        x: time,
        color: { field: 'device', type: 'nominal', scale: { domain: devices, range: seriesColours }, legend: null },
      },
      layer: [
        {
          mark: { type: 'line', strokeWidth: 1, opacity: 0.3 },
          encoding: {
            y: { field: 'slots', type: 'quantitative', axis: { title: 'slots with the GPU', tickCount: 4 } },
          },
        },
        {
          mark: { type: 'line', strokeWidth: 2, tooltip: true },
          encoding: {
            y: { field: 'mean', type: 'quantitative' },
            tooltip: [
              seconds,
              { field: 'device', title: 'device' },
              { field: 'slots', title: 'slots' },
              { field: 'mean', title: 'mean of 9 samples', format: '.1f' },
            ],
          },
        },
      ],
    },
  };
}
