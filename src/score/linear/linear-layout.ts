/** Where a linear model's constants and intermediate values lie: byte offsets. */
import { alignedBytes } from '../../engines/wasm.ts';
import type { LinearModel } from './linear-model.ts';

/** Rows of a block, in vectors of four. */
export const blockRows = 16;
/** Of one column or target of a block. */
export const blockBytes = 4 * blockRows;
/** Targets that are summed up side by side: more accumulators do not fit into 16 registers. */
export const targetsAtOnce = 2;

export interface LinearLayout {
  /** In the tables: each group of targets has its weights column by column. */
  readonly weights: number;
  readonly intercepts: number;
  /** Of each step of the front, pairs of offset and scale. */
  readonly front: readonly number[];
  /** Of each step, pairs of scale and offset; int64 labels. */
  readonly outputs: readonly { readonly steps: readonly number[]; readonly labels: number }[];
  readonly tableBytes: number;
  /** In the scratch: addresses of the columns come first. */
  readonly scratch: { readonly x: number; readonly z: number; readonly work: number; readonly bytes: number };
}

export function layOutLinear({ columns, front, targetCount, outputs }: LinearModel): LinearLayout {
  let at = 0;
  const place = (bytes: number): number => {
    const start = at;
    at += alignedBytes(bytes);
    return start;
  };
  const weights = place(4 * columns.length * targetCount);
  const intercepts = place(4 * targetCount);
  const frontPlaces = front.map((step) => place(step.kind === 'scale' ? 8 * columns.length : 0));
  const outputPlaces = outputs.map((output) => ({
    steps: output.steps.map((step) => place(step.kind === 'affine' ? 8 * step.scales.length : 0)),
    labels: place(output.kind === 'label' ? 8 * output.labels.length : 0),
  }));
  const tableBytes = at;
  at = 0;
  place(4 * columns.length);
  const x = place(front.length === 0 ? 0 : columns.length * blockBytes);
  const z = place(targetCount * blockBytes);
  // One target may become two.
  const work = place(Math.max(2, targetCount) * blockBytes);
  return {
    weights,
    intercepts,
    front: frontPlaces,
    outputs: outputPlaces,
    tableBytes,
    scratch: { x, z, work, bytes: at },
  };
}

/** The bytes of the tables. */
export function linearTables(model: LinearModel): Uint8Array<SharedArrayBuffer> {
  const layout = layOutLinear(model);
  const { columns, front, targetCount, weights, intercepts, outputs } = model;
  const buffer = new SharedArrayBuffer(layout.tableBytes);
  const floats = (place: number, count: number): Float32Array => new Float32Array(buffer, place, count);
  const grouped = floats(layout.weights, weights.length);
  let at = 0;
  for (let first = 0; first < targetCount; first += targetsAtOnce) {
    const last = Math.min(targetCount, first + targetsAtOnce);
    for (let column = 0; column < columns.length; column++) {
      for (let target = first; target < last; target++) grouped[at++] = weights[target * columns.length + column]!;
    }
  }
  floats(layout.intercepts, targetCount).set(intercepts);
  front.forEach((step, index) => {
    if (step.kind === 'scale') writePairs(floats(layout.front[index]!, 2 * columns.length), step.offsets, step.scales);
  });
  outputs.forEach((output, index) => {
    const places = layout.outputs[index]!;
    output.steps.forEach((step, position) => {
      if (step.kind !== 'affine') return;
      writePairs(floats(places.steps[position]!, 2 * step.scales.length), step.scales, step.offsets);
    });
    if (output.kind !== 'label') return;
    new BigInt64Array(buffer, places.labels, output.labels.length).set(output.labels.map(BigInt));
  });
  return new Uint8Array(buffer);
}

function writePairs(into: Float32Array, first: Float32Array, second: Float32Array): void {
  first.forEach((value, index) => {
    into[2 * index] = value;
    into[2 * index + 1] = second[index]!;
  });
}
