/** Random contracts over random chunks: the kernels against the reference, bit for bit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Chunk,
  codeNull,
  codeUnknown,
  type ColumnVector,
  elementBytes,
  type NumberArray,
  type TensorLayout,
  type TensorValues,
  type Validity,
  viewOf,
} from '../batch.ts';
import { type ElementType, type Feature, featureWidth, type NumericStep } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import { BadRowError } from './bad-row.ts';
import { createSharedMemory, kernelMemory, pageBytes, type KernelMemory } from '../engines/wasm.ts';
import { simdColumnsMax, wasmPagesMax } from '../limits.ts';
import { createFeaturizer, requestsOf, type Featurizer } from './featurizer.ts';
import { featurizeRow, type StoredValue } from './reference.ts';

/** Numbers in [0, 1), the same for the same seed: mulberry32. */
class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  below(n: number): number {
    return Math.floor(this.next() * n);
  }
  chance(probability: number): boolean {
    return this.next() < probability;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

const elementTypes: readonly ElementType[] = [
  'float32',
  'float64',
  'float16',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
  'string',
];
const arrayTypes = [
  'float32',
  'float64',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
] as const;
const wildNumbers = [NaN, Infinity, -Infinity, 0.5, -1, 2, 128, 256, 70_000, 2 ** 31, 2 ** 32, 2 ** 63, 2 ** 64, 1e300];
const floatNumbers = [0, -0, 1, 65_519.9, 65_520, 5e-324, 1e-40, 6e-8, 3.4028236e38, NaN, Infinity, -Infinity];
const rowCounts = [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 65, 131, 132, 133, 300];
const words = ['', 'ATL', 'ORD', 'Zürich', '東京', '😀', 'a longer text than the others'];

function isFloat(elementType: ElementType): boolean {
  return elementType.startsWith('float');
}

function randomSteps(dice: Dice, elementType: ElementType): NumericStep[] {
  const whole = dice.below(3);
  const boundaries = Array.from({ length: dice.below(6) }, () => Math.fround(dice.next() * 100 - 20));
  if (elementType === 'bool') return dice.chance(0.5) ? [] : [{ kind: 'bucketize', boundaries: [0.5] }];
  if (!isFloat(elementType)) {
    return dice.pick<NumericStep[]>([
      [],
      [{ kind: 'clip', low: 0, high: 90 }],
      [{ kind: 'bucketize', boundaries }],
      [
        { kind: 'standardize', mean: -whole, std: 1 },
        { kind: 'clip', low: 1, high: 50 },
      ],
    ]);
  }
  return Array.from({ length: dice.below(4) }, () =>
    dice.pick<NumericStep>([
      { kind: 'log1p' },
      { kind: 'standardize', mean: dice.next() * 10, std: dice.next() + 0.1 },
      { kind: 'minMax', min: dice.next(), max: 2 + dice.next() },
      { kind: 'clip', low: -3, high: dice.next() * 3 },
      { kind: 'bucketize', boundaries },
    ]),
  );
}

function randomFeature(dice: Dice, elementType: ElementType): Feature {
  const source = { column: `c${dice.below(1000)}` };
  const hasMissing = dice.chance(0.6);
  if (elementType === 'string') return { kind: 'text', source, missing: hasMissing ? 'none' : undefined };
  const missing = hasMissing ? dice.below(2) : undefined;
  const missingNumber = isFloat(elementType) && dice.chance(0.3) && hasMissing ? NaN : missing;
  const steps = randomSteps(dice, elementType);
  const isBool = elementType === 'bool';
  const count = isBool ? 1 : 1 + dice.below(20);
  const [categories, missingCategory] = dice.chance(0.5)
    ? [Array.from({ length: count }, (_, i) => `k${i}`), hasMissing ? dice.pick(['k0', 'not listed', 7]) : undefined]
    : [Array.from({ length: count }, (_, i) => i * 0.5), hasMissing ? dice.pick([0, 0.5, 77, 'k0']) : undefined];
  return dice.pick<Feature>([
    { kind: 'number', source, missing: missingNumber, steps },
    { kind: 'number', source, missing: missingNumber, steps },
    { kind: 'list', source, length: 1 + dice.below(5), missing: missingNumber, steps },
    { kind: 'length', source, missing },
    { kind: 'index', source, categories, unknown: dice.pick(['error', 'last', 'own']), missing: missingCategory },
    {
      kind: 'oneHot',
      source,
      categories,
      unknown: dice.pick(['error', 'zeros', 'last', 'own']),
      missing: missingCategory,
      dropLast: dice.chance(0.3),
    },
    { kind: 'hash', source, buckets: isBool ? 2 : 1 + dice.below(100), missing: hasMissing ? '' : undefined },
  ]);
}

function randomLayout(dice: Dice): TensorLayout {
  const elementType = dice.pick(elementTypes);
  const features: Feature[] = [];
  for (let left = 1 + dice.below(4); left > 0; left--) {
    const feature = randomFeature(dice, elementType);
    // Neighbours of one kind, enough for a group and not quite.
    const alike = dice.chance(0.02) ? 2 + simdColumnsMax : dice.pick([1, 1, 3, 4, 5, 9]);
    features.push(...Array.from({ length: alike }, () => feature));
  }
  if (dice.chance(0.3)) features.splice(1);
  const featureWidths = features.map((feature) => featureWidth(feature)!);
  const width = featureWidths.reduce((a, b) => a + b, 0);
  const layout: TensorLayout = { name: 'x', elementType, rowShape: [width], width, features, featureWidths };
  return dice.chance(0.3) ? { ...layout, order: 'columns' } : layout;
}

function randomValidity(dice: Dice, count: number, hasMissing: boolean): Validity {
  if (dice.chance(hasMissing ? 0.4 : 0.7)) return null;
  const bits = new Uint8Array((count >> 3) + 1).fill(255);
  const nullShare = hasMissing ? 0.3 : dice.pick([0, 0.002]);
  for (let i = 0; i < count; i++) if (dice.chance(nullShare)) bits[i >> 3]! &= ~(1 << (i & 7));
  return bits;
}

function randomNumbers(dice: Dice, elementType: ElementType, count: number, category: boolean): NumberArray {
  const arrayType =
    dice.chance(0.3) && elementType !== 'float16' && elementType !== 'bool' && elementType !== 'string'
      ? elementType
      : dice.pick(arrayTypes);
  const values = viewOf(arrayType, new ArrayBuffer(count * 8), 0, count);
  const wildShare = dice.pick([0, 0, 0.01]);
  for (let i = 0; i < count; i++) {
    let value = dice.below(elementType === 'bool' ? 2 : 100);
    if (category) value = dice.below(18) / (isFloat(arrayType) ? 2 : 1);
    else if (isFloat(elementType)) {
      value = dice.chance(0.1) ? dice.pick(floatNumbers) : (dice.next() - 0.3) * 10 ** dice.below(4);
    }
    if (dice.chance(wildShare)) value = dice.pick(wildNumbers);
    if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
      const anything = (BigInt(dice.below(2 ** 32)) << 32n) | BigInt(dice.below(2 ** 32));
      const anyShare = isFloat(elementType) || elementType === arrayType ? 0.5 : wildShare;
      values[i] = dice.chance(anyShare) ? anything : Number.isFinite(value) ? BigInt(Math.trunc(value)) : anything;
    } else values[i] = value;
  }
  return values;
}

function randomVector(
  dice: Dice,
  layout: TensorLayout,
  index: number,
  as: ColumnVector['kind'],
  rows: number,
): ColumnVector {
  const feature = layout.features[index]!;
  const hasMissing = feature.missing !== undefined;
  const nullShare = hasMissing ? 0.2 : dice.pick([0, 0, 0.002]);
  switch (as) {
    case 'number':
      return {
        kind: 'number',
        values: randomNumbers(dice, layout.elementType, rows, feature.kind !== 'number'),
        validity: randomValidity(dice, rows, hasMissing),
      };
    case 'category': {
      const unknownShare = 'unknown' in feature && feature.unknown !== 'error' ? 0.2 : 0.0005;
      const count = 'categories' in feature ? feature.categories.length : 0;
      return {
        kind: 'category',
        codes: Int32Array.from({ length: rows }, () =>
          dice.chance(nullShare) ? codeNull : dice.chance(unknownShare) ? codeUnknown : dice.below(count),
        ),
      };
    }
    case 'text':
      return {
        kind: 'text',
        values: Array.from({ length: rows }, () => (dice.chance(nullShare) ? null : dice.pick(words))),
      };
    case 'list': {
      const width = feature.kind === 'list' ? layout.featureWidths[index]! : 1;
      const [gapShare, wrongShare] = [dice.pick([0, 0.3]), dice.pick([0, 0, 0.002])];
      const offsets = new Int32Array(rows);
      const lengths = new Int32Array(rows);
      let end = dice.below(3);
      for (let row = 0; row < rows; row++) {
        if (dice.chance(gapShare)) end += dice.below(4);
        offsets[row] = end;
        lengths[row] = dice.chance(wrongShare) ? dice.below(width + 3) : width;
        end += lengths[row]!;
      }
      return {
        kind: 'list',
        offsets,
        lengths,
        values: randomNumbers(dice, layout.elementType, end, false),
        valueValidity: randomValidity(dice, end, hasMissing),
        validity: randomValidity(dice, rows, hasMissing),
      };
    }
  }
}

/** Where value j of a row lies in a target of so many rows. */
function placeOf({ order, width }: TensorLayout, slotRows: number, row: number, j: number): number {
  return order === 'columns' ? j * slotRows + row : row * width + j;
}

/** Rows of the range as the reference has them, up to the first bad one. */
function expectedRows(layout: TensorLayout, vectors: readonly ColumnVector[], from: number, end: number) {
  const rows: StoredValue[][] = [];
  for (let row = from; row < end; row++) {
    try {
      rows.push(featurizeRow(layout, vectors, row));
    } catch (error) {
      if (!(error instanceof BadRowError)) throw error;
      return { rows, bad: error };
    }
  }
  return { rows, bad: undefined };
}

/** Where SIMD kernels reach: what the vectors of a seed take, several times, at the end of the largest memory. */
const shared = createSharedMemory(wasmPagesMax * pageBytes);
const kernelsMax = 2 ** 24;

/** The same array where kernels reach it, with other bits around it. */
function moved<Values extends NumberArray | null>(values: Values, kernels: KernelMemory): Values {
  if (values === null) return values;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const at = kernels.allocate(values.byteLength + 64);
  new Uint8Array(kernels.memory.buffer, at, values.byteLength + 64).fill(0x55);
  new Uint8Array(kernels.memory.buffer, at).set(bytes);
  const { constructor } = values as { readonly constructor: Function };
  return Reflect.construct(constructor, [kernels.memory.buffer, at, values.length]) as Values;
}

function movedVector(vector: ColumnVector, kernels: KernelMemory): ColumnVector {
  switch (vector.kind) {
    case 'number':
      return { ...vector, values: moved(vector.values, kernels), validity: moved(vector.validity, kernels) };
    case 'category':
      return { ...vector, codes: moved(vector.codes, kernels) };
    case 'text':
      return vector;
    case 'list':
      return {
        kind: 'list',
        values: moved(vector.values, kernels),
        valueValidity: moved(vector.valueValidity, kernels),
        offsets: moved(vector.offsets, kernels),
        lengths: moved(vector.lengths, kernels),
        validity: moved(vector.validity, kernels),
      };
  }
}

function emptyTarget(elementType: ElementType, length: number, kernels: KernelMemory): TensorValues {
  if (elementType === 'string') return Array.from({ length }, () => 'untouched');
  const at = kernels.allocate(length * elementBytes[elementType] + 2 * aroundBytes);
  const target = viewOf(elementType, kernels.memory.buffer, at + aroundBytes, length);
  new Uint8Array(target.buffer, at, target.byteLength + 2 * aroundBytes).fill(0x55);
  return target;
}

/** Bytes beside a target, which may be another thread's. */
const aroundBytes = 72;

function isUntouchedAround(target: TensorValues): boolean {
  if (Array.isArray(target)) return true;
  const { buffer, byteOffset, byteLength } = target;
  const isUntouched = (at: number) => new Uint8Array(buffer, at, aroundBytes).every((byte) => byte === 0x55);
  return isUntouched(byteOffset - aroundBytes) && isUntouched(byteOffset + byteLength);
}

/** What a featurizer is given, and what it should make of it. */
interface Case {
  readonly place: string;
  readonly chunk: Chunk;
  readonly from: number;
  readonly end: number;
  readonly targetRow: number;
  readonly expected: ReturnType<typeof expectedRows>;
}

function expectFilled(featurizer: Featurizer, target: TensorValues, given: Case): void {
  const { layout } = featurizer;
  const { place, chunk, from, end, targetRow, expected } = given;
  const before = [...target];
  const fill = (): void => featurizer.fill(chunk, from, end - from, target, targetRow);
  const { rows, bad } = expected;
  if (bad === undefined) fill();
  else
    assert.throws(
      fill,
      (error) => error instanceof BadRowError && error.rowInChunk === bad.rowInChunk && error.message === bad.message,
      `${place}: ${bad.message}`,
    );
  assert.ok(isUntouchedAround(target), place);
  // Everything around the range is as it was; rows after a bad one may or may not be written.
  const slotRows = target.length / Math.max(1, layout.width);
  const wanted: unknown[] = before;
  for (let row = from; row < end; row++) {
    for (let j = 0; j < layout.width; j++) {
      const at = placeOf(layout, slotRows, targetRow + row - from, j);
      wanted[at] = row - from < rows.length ? rows[row - from]![j] : target[at];
    }
  }
  assert.deepEqual([...target], wanted, place);
}

test('loops and SIMD kernels give what the reference gives, for random contracts, types, nulls, lengths and offsets', () => {
  const seen = { good: 0, bad: 0, refused: 0, kernels: 0, loops: 0, settled: 0, again: 0, types: new Set<string>() };
  for (let seed = 1; seed <= 2000; seed++) {
    const dice = new Dice(seed);
    const layout = randomLayout(dice);
    const firstVector = dice.below(3);
    const kernels = kernelMemory(shared, shared.buffer.byteLength - kernelsMax, kernelsMax);
    let featurizers;
    try {
      featurizers = [createFeaturizer(layout, firstVector), createFeaturizer(layout, firstVector, kernels)] as const;
    } catch (error) {
      assert.ok(error instanceof TandemError && error.code === 'BAD_CONTRACT', `seed ${seed}: ${error}`);
      seen.refused++;
      continue;
    }
    // Two chunks through one featurizer: the second may need other kernels.
    for (let round = 0; round < 2; round++) {
      const rowCount = dice.pick(rowCounts);
      const vectors = requestsOf(layout).map(({ as }, i) => randomVector(dice, layout, i, as, rowCount));
      const ahead = Array.from({ length: firstVector }, (): ColumnVector => ({ kind: 'text', values: [] }));
      const from = dice.chance(0.5) ? 0 : dice.below(rowCount);
      const end = dice.chance(0.5) ? rowCount : from + dice.below(rowCount - from + 1);
      const targetRow = dice.below(3);
      const expected = expectedRows(layout, vectors, from, end);
      const againBefore = featurizers[1].againCount;
      for (const [index, featurizer] of featurizers.entries()) {
        const reached = vectors.map((vector) =>
          index === 0 || dice.chance(0.05) ? vector : movedVector(vector, kernels),
        );
        const chunk: Chunk = { rowCount, vectors: [...ahead, ...reached] };
        const target = emptyTarget(layout.elementType, (targetRow + rowCount + 1) * layout.width, kernels);
        const place = `seed ${seed} round ${round} ${layout.elementType} ${index === 0 ? 'loops' : 'kernels'}`;
        expectFilled(featurizer, target, { place, chunk, from, end, targetRow, expected });
        for (const reason of featurizer.reasons) seen[reason === undefined ? 'kernels' : 'loops']++;
      }
      seen[expected.bad === undefined ? 'good' : 'bad']++;
      if (expected.bad === undefined && end - from >= 4 && layout.elementType !== 'string') {
        seen[featurizers[1].againCount === againBefore ? 'settled' : 'again']++;
      }
      seen.types.add(layout.elementType);
    }
  }
  assert.equal(seen.types.size, elementTypes.length);
  assert.ok(seen.good > 1500 && seen.bad > 300, `${seen.good} good, ${seen.bad} bad, ${seen.refused} refused`);
  assert.ok(seen.kernels > 10_000, `${seen.kernels} of ${seen.kernels + seen.loops} features by kernels`);
  // Again by loops: whole numbers beyond 2^51 alone, where no row is bad.
  assert.ok(seen.settled > 1500 && seen.again < 100, `${seen.settled} chunks by kernels, ${seen.again} again by loops`);
});
