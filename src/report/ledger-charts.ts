/** The ledger as bars: what each scorer and each thread did with its time. */
import type { Ledger, RunRecord, Utilization } from '../run-record.ts';
import { colourScale, fitted, seriesColours, nameAxis, shareAxis, wholeDomain, type Chart } from './chart.ts';
import { lookOfActivity, lookOfPart, type PartLook } from './parts.ts';

/** Bars of a chart: beyond this nobody reads them one by one. */
export const ledgerBarsMax = 24;

/** One part of one bar; the parts of a bar lie side by side from 0 to 1. */
export interface BarPart extends PartLook {
  /** Of the bar. */
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly share: number;
  readonly seconds: number;
}

/** Of each scorer, in the order of the ledger; a part that took no time is left out. */
export function scorerBars({ scorers }: Pick<Ledger, 'scorers'>): BarPart[] {
  return scorers.flatMap(({ name, parts }) =>
    sideBySide(
      name,
      parts.map((part) => ({ ...part, look: lookOfPart(part.name) })),
    ),
  );
}

/** Of each prep thread and of the writer. */
export function threadBars({ prep, writer }: Pick<Ledger, 'prep' | 'writer'>): BarPart[] {
  const threads = writer === undefined ? prep : [...prep, writer];
  return threads.flatMap(({ name, parts }) =>
    sideBySide(
      name,
      parts.map((part) => ({ ...part, look: lookOfActivity(part.activity) })),
    ),
  );
}

/** One bar for each run: the mean over its scorers. Runs that scored nothing are left out. */
export function runBars(runs: readonly { readonly name: string; readonly record: RunRecord }[]): BarPart[] {
  return runs.flatMap(({ name, record: { result } }) => {
    const { ledger, wallSeconds } = result;
    const means = ledger === undefined ? [] : meanShares(scorerBars(ledger));
    return sideBySide(
      name,
      means.map((look) => ({ share: look.share, seconds: look.share * wallSeconds, look })),
    );
  });
}

function sideBySide(
  name: string,
  parts: readonly { readonly share: number; readonly seconds: number; readonly look: PartLook }[],
): BarPart[] {
  let from = 0;
  return parts
    .filter(({ share }) => share > 0)
    .map(({ share, seconds, look }) => {
      const part = { ...look, name, from, to: from + share, share, seconds };
      from += share;
      return part;
    });
}

/** Mean share of each part that took any time, in the order of the bars' parts. */
export function meanShares(bars: readonly BarPart[]): readonly (PartLook & { readonly share: number })[] {
  const barCount = new Set(bars.map(({ name }) => name)).size;
  const means = new Map<string, PartLook & { share: number }>();
  for (const { label, meaning, colour, share } of bars) {
    const mean = means.get(label) ?? { label, meaning, colour, share: 0 };
    means.set(label, { ...mean, share: mean.share + share / barCount });
  }
  return [...means.values()];
}

/** The first bars that fit into a chart. */
export function firstBars(bars: readonly BarPart[]): BarPart[] {
  const names = new Set([...new Set(bars.map(({ name }) => name))].slice(0, ledgerBarsMax));
  return bars.filter(({ name }) => names.has(name));
}

export function barChart(id: string, describe: string, bars: readonly BarPart[]): Chart {
  const x = {
    field: 'from',
    type: 'quantitative',
    scale: { domain: wholeDomain, nice: false },
    axis: shareAxis,
  } as const;
  const y = { field: 'name', type: 'nominal', sort: null, axis: nameAxis } as const;
  return {
    id,
    describe,
    spec: {
      ...fitted,
      height: 32 * new Set(bars.map(({ name }) => name)).size,
      data: { values: [...bars] },
      layer: [
        {
          mark: { type: 'bar', height: { band: 0.78 } },
          encoding: {
            x,
            x2: { field: 'to' },
            y,
            color: { field: 'label', type: 'nominal', scale: colourScale(bars), legend: null },
            tooltip: [
              { field: 'name', title: 'who' },
              { field: 'label', title: 'what' },
              { field: 'share', title: 'share', format: '.1%' },
              { field: 'seconds', title: 'seconds', format: ',.2f' },
              { field: 'meaning', title: 'this time' },
            ],
          },
        },
        {
          transform: [
            // The middle of the part, as long as its share can be read there.
            { calculate: '(datum.from + datum.to) / 2', as: 'middle' },
            { filter: 'datum.share >= 0.08' },
          ],
          mark: { type: 'text', color: 'white', fontWeight: 600, tooltip: null },
          encoding: { x: { ...x, field: 'middle' }, y, text: { field: 'share', type: 'quantitative', format: '.0%' } },
        },
      ],
    },
  };
}

/** The three measures of a device by their honest names; undefined: not measured. */
export function measuresOf({ device, computeBusy, reported, efficiency }: Utilization): readonly Measure[] {
  const isCpu = device === 'cpu';
  const [own, reports, rate] = seriesColours as [string, string, string];
  return [
    { measure: isCpu ? 'lanes ran the model' : 'the model ran (own events)', colour: own, share: computeBusy },
    { measure: isCpu ? 'cores were busy' : 'busy, as the driver reports it', colour: reports, share: reported?.share },
    { measure: 'rate, of that from device memory', colour: rate, share: efficiency },
  ];
}

export interface Measure {
  readonly measure: string;
  readonly colour: string;
  readonly share: number | undefined;
}

/** One line for each measure of each device that was taken. */
export function utilizationRows(
  utilization: readonly Utilization[],
): readonly { readonly device: string; readonly label: string; readonly colour: string; readonly share: number }[] {
  return utilization.flatMap((each) =>
    measuresOf(each).flatMap(({ measure, colour, share }) =>
      share === undefined ? [] : [{ device: each.device, label: measure, colour, share }],
    ),
  );
}

export function utilizationChart(id: string, utilization: readonly Utilization[]): Chart {
  const rows = utilizationRows(utilization);
  const measures = new Set(rows.map(({ label }) => label));
  return {
    id,
    describe: 'Measures of utilization of each device',
    spec: {
      ...fitted,
      height: 22 * measures.size * utilization.length,
      data: { values: [...rows] },
      mark: { type: 'bar', clip: true },
      encoding: {
        x: { field: 'share', type: 'quantitative', scale: { domain: wholeDomain }, axis: shareAxis },
        y: { field: 'device', type: 'nominal', sort: null, axis: nameAxis },
        yOffset: { field: 'label', type: 'nominal', sort: null },
        color: { field: 'label', type: 'nominal', scale: colourScale(rows), legend: null },
        tooltip: [
          { field: 'device', title: 'device' },
          { field: 'label', title: 'measure' },
          { field: 'share', title: 'share', format: '.1%' },
        ],
      },
    },
  };
}
