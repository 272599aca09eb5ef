/** What all charts have in common. A chart is a Vega-Lite specification with its data inside, and no URL. */
import type { TopLevelSpec } from 'vega-lite';

export interface LegendEntry {
  readonly label: string;
  readonly colour: string;
  /** More than the label says. */
  readonly meaning?: string;
}

export interface Chart {
  /** Unique in the report. */
  readonly id: string;
  /** Read to whoever cannot see it. */
  readonly describe: string;
  readonly spec: TopLevelSpec;
  /** Its x axis runs from the parameters `from` to `to`, which buttons and clicks change. */
  readonly zooms?: boolean;
  /** Written below the chart by the page, which breaks lines where Vega's own legend does not. */
  readonly legend?: readonly LegendEntry[];
}

/** As wide as its place on the page. */
export const fitted = { width: 'container', autosize: { type: 'fit-x', contains: 'padding' } } as const;

/** Of shares. */
export const wholeDomain: number[] = [0, 1];

/** Values without an axis line, from 0 to 100 %. */
export const shareAxis = { format: '.0%', title: null, tickCount: 5, domain: false } as const;

/** Of bars: wide enough for the names of threads, so that charts below each other begin at the same place. */
export const nameAxis = {
  title: null,
  ticks: false,
  domain: false,
  minExtent: 58,
  labelPadding: 6,
  labelLimit: 120,
} as const;

/** Colours of devices and of series that are no part of a ledger. */
export const seriesColours = ['#3b7dd8', '#e0762f', '#2b9c70', '#a05cc2', '#c94f6d', '#8a8f2a', '#3aa6b9', '#8d6e5a'];

/** Colours by name, for a scale. */
export function colourScale(looks: readonly { readonly label: string; readonly colour: string }[]): {
  readonly domain: string[];
  readonly range: string[];
} {
  const byLabel = new Map(looks.map(({ label, colour }) => [label, colour]));
  return { domain: [...byLabel.keys()], range: [...byLabel.values()] };
}

/** Devices by their colours. */
export function seriesLegend(names: readonly string[], colours: readonly string[] = seriesColours): LegendEntry[] {
  return names.map((label, index) => ({ label, colour: colours[index % colours.length]! }));
}
