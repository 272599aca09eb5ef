/** The place of a chart on the page: title, buttons, chart, legend. */
import type { Chart, LegendEntry } from './chart.ts';
import { markup, type Markup } from './markup.ts';
import { swatch } from './table.ts';

/** Where the browser draws a chart, under its title. */
export function figure(chart: Chart, title?: string): Markup {
  const buttons = chart.zooms === true ? zoomButtons : markup``;
  const caption =
    title === undefined && chart.zooms !== true ? undefined : markup`<figcaption>${title}${buttons}</figcaption>`;
  const zooms = chart.zooms === true ? markup` data-zooms` : undefined;
  const key = chart.legend === undefined ? undefined : legend(chart.legend);
  return markup`<figure>${caption}
<div class="chart" id="${chart.id}" role="img" aria-label="${chart.describe}"${zooms}></div>${key}</figure>`;
}

const zoomButtons = markup`<span class="buttons">
<button data-press="left" aria-label="to the left">←</button><button data-press="closer" aria-label="closer">+</button>
<button data-press="farther" aria-label="farther">−</button><button data-press="right" aria-label="to the right">→</button>
<button data-press="all">all</button></span>`;

function legend(looks: readonly LegendEntry[]): Markup {
  const byLabel = new Map(looks.map((look) => [look.label, look]));
  const entries = [...byLabel.values()].map(
    ({ label, colour, meaning }) => markup`<li title="${meaning ?? label}">${swatch(colour)}${label}</li>`,
  );
  return markup`<ul class="legend">${entries}</ul>`;
}
