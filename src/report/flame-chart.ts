/** A thread's flame graph, root on top. */
import { colourScale, fitted, type Chart, type LegendEntry } from './chart.ts';
import type { FlameFrame, Library } from './flame-layout.ts';

const libraryLooks: readonly (LegendEntry & { readonly label: Library })[] = [
  { label: 'DuckDB', colour: '#c98a1b', meaning: 'reads and writes Parquet' },
  { label: 'ONNX Runtime', colour: '#2b9c70', meaning: 'runs the model' },
  { label: 'Tandem', colour: '#4f79b7', meaning: 'everything between, generated loops included' },
  { label: 'Node', colour: '#8a93a0', meaning: 'V8, Node and its packages' },
];

/** Width of a frame in pixels, in an expression of Vega. */
const pixels = 'width * (min(datum.right, to) - max(datum.left, from)) / (to - from)';

export function flameChart(id: string, thread: string, frames: readonly FlameFrame[]): Chart {
  const x = {
    field: 'left',
    type: 'quantitative',
    scale: { domain: { expr: '[from, to]' } as never, nice: false, zero: false },
    axis: null,
  } as const;
  const y = { field: 'depth', type: 'ordinal', axis: null } as const;
  return {
    id,
    describe: `Flame graph of ${thread}: functions under their callers, as wide as the time they took`,
    zooms: true,
    legend: libraryLooks,
    spec: {
      ...fitted,
      height: 20 * (1 + Math.max(...frames.map(({ depth }) => depth))),
      data: { values: [...frames] },
      params: [
        { name: 'from', value: 0 },
        { name: 'to', value: 1 },
      ],
      layer: [
        {
          mark: { type: 'rect', clip: true, cursor: 'pointer' },
          encoding: {
            x,
            x2: { field: 'right' },
            y,
            color: { field: 'library', type: 'nominal', scale: colourScale(libraryLooks), legend: null },
            tooltip: [
              { field: 'name', title: 'function' },
              { field: 'place', title: 'where' },
              { field: 'library', title: 'whose' },
              { field: 'totalMs', title: 'total ms', format: ',.1f' },
              { field: 'selfMs', title: 'self ms', format: ',.1f' },
            ],
          },
        },
        {
          transform: [{ calculate: 'max(datum.left, from)', as: 'textLeft' }],
          mark: {
            type: 'text',
            align: 'left',
            baseline: 'middle',
            dx: 4,
            clip: true,
            color: 'white',
            fontSize: 11,
            tooltip: null,
            limit: { expr: `max(1, ${pixels} - 8)` },
            opacity: { expr: `${pixels} < 28 ? 0 : 1` },
          },
          encoding: { x: { ...x, field: 'textLeft' }, y, text: { field: 'name', type: 'nominal' } },
        },
      ],
    },
  };
}
