/**
 * The SIMD kernels against the JavaScript loops on the same columns, answers compared first: `npm run bench:kernels`.
 * Contestants take turns, so that both see the machine as it is; the median of the rounds counts.
 */
import { type Chunk, type ColumnVector, type TensorLayout, viewOf } from '../src/batch.ts';
import { type Feature, featureWidth } from '../src/contract/contract.ts';
import { alignedBytes, createKernelMemory, type KernelMemory } from '../src/engines/wasm.ts';
import { createFeaturizer, featurizerBytes, type Featurizer } from '../src/featurize/featurizer.ts';
import { featurizeRow } from '../src/featurize/reference.ts';
import { median, timeRate } from './measure.ts';

const rows = 2_048;
const rounds = 9;
const secondsMin = 0.05;

export interface KernelCase {
  readonly name: string;
  readonly features: readonly Feature[];
  readonly elementType: 'float32' | 'float16' | 'int64';
  readonly order?: 'columns';
}

function floats(count: number): Feature[] {
  return Array.from({ length: count }, (_, i) => ({
    kind: 'number',
    source: { column: `f${i}` },
    missing: undefined,
    steps: [
      { kind: 'standardize', mean: i / 2, std: 1 + i },
      { kind: 'clip', low: -3, high: 3 },
    ],
  }));
}

const categories = Array.from({ length: 50 }, (_, i) => `k${i}`);
const mixed: readonly Feature[] = [
  ...floats(8),
  ...Array.from({ length: 4 }, (_, i): Feature => {
    return {
      kind: 'number',
      source: { column: `int64 ${i}` },
      missing: undefined,
      steps: [{ kind: 'minMax', min: 0, max: 9 }],
    };
  }),
  ...Array.from({ length: 4 }, (_, i): Feature => {
    const steps = [{ kind: 'standardize', mean: 5, std: 2 } as const];
    return { kind: 'number', source: { column: `nullable ${i}` }, missing: 5, steps };
  }),
  { kind: 'oneHot', source: { column: 'code' }, categories, unknown: 'zeros', missing: undefined, dropLast: false },
  {
    kind: 'number',
    source: { column: 'bucket' },
    missing: undefined,
    steps: [{ kind: 'bucketize', boundaries: [1, 2, 3, 5, 8, 13, 21] }],
  },
];

export const kernelCases: readonly KernelCase[] = [
  { name: '32 floats: standardize, clip', features: floats(32), elementType: 'float32' },
  {
    name: 'mixed: 8 floats, 4 int64, 4 nullable doubles, one-hot of 50, 7 boundaries',
    features: mixed,
    elementType: 'float32',
  },
  { name: 'the same 32 floats, column by column', features: floats(32), elementType: 'float32', order: 'columns' },
  { name: '32 floats to float16', features: floats(32), elementType: 'float16' },
  ...[8, 32, 64, 128].map((count): KernelCase => {
    const boundaries = Array.from({ length: count }, (_, i) => (i * 40) / count);
    return {
      name: `8 of ${count} boundaries`,
      features: steps8({ kind: 'bucketize', boundaries }),
      elementType: 'float32',
    };
  }),
];

function steps8(step: Extract<Feature, { kind: 'number' }>['steps'][number]): Feature[] {
  return floats(8).map((feature) => ({ ...feature, steps: [step] }) as Feature);
}

/** A column as DuckDB gives it, where kernels reach it. */
function column({ kind, source, missing }: Feature, index: number, kernels: KernelMemory): ColumnVector {
  const { buffer } = kernels.memory;
  const value = (row: number): number => ((row * 7919 + index * 104_729) % 4001) / 100;
  if (kind === 'oneHot') {
    const codes = new Int32Array(buffer, kernels.allocate(rows * 4), rows);
    return { kind: 'category', codes: fill(codes, (row) => Math.trunc(value(row)) % 50) };
  }
  const name = 'column' in source ? source.column : '';
  const type = name.startsWith('int64') ? 'int64' : name.startsWith('nullable') ? 'float64' : 'float32';
  const values = viewOf(type, buffer, kernels.allocate(rows * 8), rows);
  for (let row = 0; row < rows; row++)
    values[row] = type === 'int64' ? BigInt(Math.trunc(value(row) * 1e6)) : value(row);
  if (missing === undefined) return { kind: 'number', values, validity: null };
  const validity = fill(new Uint8Array(buffer, kernels.allocate(rows / 8), rows / 8), (byte) => (byte * 37) | 1);
  return { kind: 'number', values, validity };
}

function fill<Values extends Int32Array | Uint8Array>(values: Values, valueOf: (index: number) => number): Values {
  for (let i = 0; i < values.length; i++) values[i] = valueOf(i);
  return values;
}

/** Contestants of a case, which have given the same answers. */
export function openCase({ features, elementType, order }: KernelCase): {
  readonly kernels: () => number;
  readonly loops: () => number;
} {
  const featureWidths = features.map((feature) => featureWidth(feature)!);
  const width = featureWidths.reduce((sum, each) => sum + each, 0);
  const layout: TensorLayout = {
    name: 'x',
    elementType,
    rowShape: [width],
    width,
    features,
    featureWidths,
    ...(order && { order }),
  };
  const bytes = featurizerBytes(layout) + alignedBytes(rows * width * 8) + features.length * alignedBytes(rows * 9);
  const memory = createKernelMemory(bytes);
  const [loops, kernels] = [createFeaturizer(layout, 0), createFeaturizer(layout, 0, memory)];
  const chunk: Chunk = { rowCount: rows, vectors: features.map((feature, i) => column(feature, i, memory)) };
  const target = viewOf(elementType, memory.memory.buffer, memory.allocate(rows * width * 8), rows * width);
  const work = (featurizer: Featurizer) => (): number => {
    featurizer.fill(chunk, 0, rows, target, 0);
    return rows;
  };
  for (const featurizer of [loops, kernels]) {
    target.fill(1 as never);
    work(featurizer)();
    for (let row = 0; row < rows; row++) {
      featurizeRow(layout, chunk.vectors, row).forEach((expected, j) => {
        const found = target[order === 'columns' ? j * rows + row : row * width + j];
        if (!Object.is(found, expected))
          throw new Error(`Expected value ${j} of row ${row} to be ${expected}, got ${found}.`);
      });
    }
  }
  return { kernels: work(kernels), loops: work(loops) };
}

export function compareKernels(each: KernelCase): {
  readonly kernels: number;
  readonly loops: number;
  readonly ratio: number;
} {
  const contestants = openCase(each);
  const rates = Array.from({ length: rounds + 1 }, () => ({
    kernels: timeRate(contestants.kernels, secondsMin),
    loops: timeRate(contestants.loops, secondsMin),
  })).slice(1);
  return {
    kernels: median(rates.map(({ kernels }) => kernels)),
    loops: median(rates.map(({ loops }) => loops)),
    ratio: median(rates.map(({ kernels, loops }) => kernels / loops)),
  };
}

if (process.argv[1] === import.meta.filename) {
  for (const each of kernelCases) {
    const { kernels, loops, ratio } = compareKernels(each);
    console.log(
      `${each.name}: kernels ${(kernels / 1e6).toFixed(1)}, loops ${(loops / 1e6).toFixed(1)} M rows/s, ${ratio.toFixed(2)} times`,
    );
  }
}
