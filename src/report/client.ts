/**
 * What a report does in a browser: draws its charts in the colours of the page, again when these change. It is put into the
 * report as it was compiled, so it imports nothing; `charts` and `vegaEmbed` come before it.
 */

/** As much of a browser as is used here. */
interface PageElement {
  readonly id: string;
  readonly textContent: string;
  readonly dataset: Record<string, string | undefined>;
  readonly value: string;
  hidden: boolean;
  onclick: (() => void) | null;
  closest(selector: string): PageElement | null;
  querySelector(selector: string): PageElement | null;
  addEventListener(event: string, listener: () => void): void;
}
interface ChartView {
  signal(name: string): number;
  signal(name: string, value: number): ChartView;
  addEventListener(event: string, listener: (event: unknown, item: { datum?: Place } | null) => void): void;
  runAsync(): Promise<unknown>;
}
/** Of a frame of a flame graph. */
interface Place {
  readonly left?: number;
  readonly right?: number;
}
interface Embedded {
  readonly view: ChartView;
  finalize(): void;
}
declare const document: {
  readonly body: object;
  readonly documentElement: PageElement;
  getElementById(id: string): PageElement | null;
  querySelectorAll(selector: string): Iterable<PageElement>;
};
declare const getComputedStyle: (element: object) => { getPropertyValue(name: string): string };
declare const matchMedia: (query: string) => { addEventListener(event: 'change', listener: () => void): void };
declare const vegaEmbed: (element: PageElement, spec: unknown, options: object) => Promise<Embedded>;

const specs = JSON.parse(document.getElementById('charts')!.textContent) as Readonly<Record<string, unknown>>;
const shown = new Map<string, Embedded>();

/** Vega's configuration from the page's own colours. */
function look(): object {
  const style = getComputedStyle(document.body);
  const colour = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const text = { labelColor: colour('soft'), titleColor: colour('soft'), labelFontSize: 12, titleFontSize: 12 };
  return {
    background: 'transparent',
    font: style.getPropertyValue('font-family'),
    axis: {
      ...text,
      titleFontWeight: 400,
      gridColor: colour('line'),
      domainColor: colour('line'),
      tickColor: colour('line'),
    },
    axisY: { titleAnchor: 'end', titleAngle: 0, titleAlign: 'left', titleX: 0, titleY: -10 },
    view: { stroke: null },
    bar: { stroke: colour('card'), strokeWidth: 0.5 },
    rect: { stroke: colour('card'), strokeWidth: 0.75 },
  };
}

async function draw(place: PageElement): Promise<void> {
  shown.get(place.id)?.finalize();
  // No expression of Vega is compiled by eval, which the page's policy forbids.
  const embedded = await vegaEmbed(place, specs[place.id], {
    actions: false,
    renderer: 'svg',
    ast: true,
    config: look(),
    tooltip: { theme: 'custom' },
  });
  shown.set(place.id, embedded);
  if (place.dataset['zooms'] !== undefined) zoomable(place, embedded.view);
}

/** Buttons, and a click on a frame, change what the x axis shows. */
function zoomable(place: PageElement, view: ChartView): void {
  const first = { from: view.signal('from'), to: view.signal('to') };
  const show = (from: number, to: number): void => {
    const width = Math.min(to - from, first.to - first.from);
    const left = Math.min(Math.max(from, first.from), first.to - width);
    void view
      .signal('from', left)
      .signal('to', left + width)
      .runAsync();
  };
  const move = (change: (from: number, width: number) => readonly [from: number, to: number]) => () => {
    const from = view.signal('from');
    show(...change(from, view.signal('to') - from));
  };
  const buttons: Readonly<Record<string, () => void>> = {
    closer: move((from, width) => [from + width / 4, from + (width * 3) / 4]),
    farther: move((from, width) => [from - width / 2, from + width * 1.5]),
    left: move((from, width) => [from - width / 2, from + width / 2]),
    right: move((from, width) => [from + width / 2, from + width * 1.5]),
    all: () => show(first.from, first.to),
  };
  for (const [name, press] of Object.entries(buttons)) {
    const button = place.closest('figure')?.querySelector(`[data-press="${name}"]`);
    // Not a listener: a chart that is drawn again must not be moved by its predecessor too.
    if (button != null) button.onclick = press;
  }
  view.addEventListener('click', (_, item) => {
    const { left, right } = item?.datum ?? {};
    if (left !== undefined && right !== undefined) show(left, right);
  });
}

/** Charts that can be seen; a hidden one has no width to be drawn in. */
async function drawAll(): Promise<void> {
  for (const place of document.querySelectorAll('.chart')) if (place.closest('[hidden]') === null) await draw(place);
}

for (const select of document.querySelectorAll('select[data-chooses]')) {
  select.addEventListener('change', () => {
    for (const choice of document.querySelectorAll(`[data-choice="${select.dataset['chooses']}"]`)) {
      choice.hidden = choice.dataset['value'] !== select.value;
      const place = choice.hidden ? null : choice.querySelector('.chart');
      if (place !== null && !shown.has(place.id)) void draw(place);
    }
  });
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  // Those that nobody sees are drawn when they are chosen again.
  for (const [id, embedded] of shown) {
    embedded.finalize();
    shown.delete(id);
  }
  void drawAll();
});
await drawAll();
document.documentElement.dataset['drawn'] = 'true';
