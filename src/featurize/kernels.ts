/**
 * The hot loops. Each distinct shape of work becomes one small generated JavaScript function, which every feature of
 * that shape shares: it sees one class of array only, so V8 compiles it without checks of types. No text of a contract
 * is ever part of the code; constants are passed as numbers.
 */
import type { ColumnVector, NumberArray, TensorValues } from '../batch.ts';
import type { ElementType, NumericStep } from '../contract/contract.ts';
import { bug } from '../errors.ts';
import { float16Bits } from '../float16.ts';
import { hashBucket } from './murmur3.ts';

const arrayClasses = [
  Float32Array,
  Float64Array,
  Int8Array,
  Int16Array,
  Int32Array,
  BigInt64Array,
  Uint8Array,
  Uint16Array,
  Uint32Array,
  BigUint64Array,
  Array,
] as const;
const classIndices: ReadonlyMap<unknown, number> = new Map(arrayClasses.map((arrayClass, i) => [arrayClass, i]));

/** What a kernel starts from; `code` are positions of text categories, `lookup` numbers that are categories. */
export type KernelSource = 'number' | 'length' | 'code' | 'lookup' | 'hash' | 'text' | 'list';

/** All that the generated code depends on, apart from the vector at hand. */
export interface KernelShape {
  readonly source: KernelSource;
  readonly oneHot: boolean;
  readonly steps: readonly NumericStep['kind'][];
  readonly elementType: ElementType;
  /** Of numbers, lengths, lists and texts: a null becomes a value. (Categories and hashes: `LaneConstants.ofNull`.) */
  readonly hasMissing: boolean;
  /** How the values of a row lie: side by side, or each in its own column. */
  readonly order: 'rows' | 'columns';
}

/** The numbers that a kernel takes for one feature. */
export interface LaneConstants {
  /** What a null becomes, before the steps; then the constants of the steps in order. */
  readonly numbers: Float64Array;
  /** Of each `bucketize`, in order: ascending, without NaN. */
  readonly boundaries: readonly Float64Array[];
  readonly positions: ReadonlyMap<number, number>;
  /** Positions of a null and of an unlisted value: {@link badPosition}, {@link zerosPosition} or 0..n. */
  readonly ofNull: number;
  readonly ofUnknown: number;
  readonly missingText: string;
  readonly buckets: number;
  readonly width: number;
}
export const badPosition = -1;
/** Beyond every width: nothing is set. */
export const zerosPosition = 2 ** 30;

/**
 * Rows [from, end) of `vectors[a]`, `vectors[a + 1]`, ... (as many as the kernel has lanes, with the constants
 * `lanes[b]`, `lanes[b + 1]`, ...) into `target`, the first value at `at`, the next row's `stride` values on, the row's
 * next value `step` values on (1 in the order of rows).
 * Returns `end`, or the first bad row; the rows before it are written then.
 */
export type Kernel = (
  vectors: readonly ColumnVector[],
  a: number,
  lanes: readonly LaneConstants[],
  b: number,
  from: number,
  end: number,
  target: TensorValues,
  at: number,
  stride: number,
  step: number,
) => number;

/** Neighbouring features that one kernel does row by row: a fifth faster than one by one; 8 are no faster than 4. */
export const laneGroup = 4;

/** The code for one class of array, with nulls or without. Neighbours that share it may be grouped. */
export interface KernelVariant {
  readonly one: Kernel;
  /** For {@link laneGroup} features of width 1; lists and one-hots have none. */
  readonly group: Kernel | undefined;
}

/** All that features of one shape share: its variants by array class and nulls, made when they are first needed. */
export interface KernelFamily {
  readonly shape: KernelShape;
  readonly variants: (KernelVariant | undefined)[];
}

const families = new Map<string, KernelFamily>();

export function kernelFamily(shape: KernelShape): KernelFamily {
  const { source, oneHot, steps, elementType, hasMissing, order } = shape;
  const key = [source, oneHot, steps.join('+'), elementType, hasMissing, order].join(' ');
  let family = families.get(key);
  if (family === undefined) {
    family = { shape, variants: [] };
    families.set(key, family);
  }
  return family;
}

/** The variant for vectors whose values lie in an array of the class of `values`. */
export function variantOf(
  family: KernelFamily,
  values: NumberArray | (string | null)[],
  nullable: boolean,
): KernelVariant {
  const classIndex = classIndices.get(values.constructor);
  if (classIndex === undefined) throw bug(`There is no kernel for values in a ${values.constructor.name}`);
  const index = classIndex * 2 + (nullable ? 1 : 0);
  let variant = family.variants[index];
  if (variant === undefined) {
    const { shape } = family;
    const { name } = arrayClasses[classIndex]!;
    variant = {
      one: compiled(kernelText(shape, name, nullable, 1)),
      group:
        shape.source === 'list' || shape.oneHot ? undefined : compiled(kernelText(shape, name, nullable, laneGroup)),
    };
    family.variants[index] = variant;
  }
  return variant;
}

function compiled(text: string): Kernel {
  const make = new Function('half', 'bucket', 'countUpTo', `${text}\n//# sourceURL=generated:featurize`) as (
    half: typeof float16Bits,
    bucket: typeof hashBucket,
    count: typeof countUpTo,
  ) => Kernel;
  return make(float16Bits, hashBucket, countUpTo);
}

/** How many of the ascending boundaries are <= x; NaN stays NaN. */
function countUpTo(boundaries: Float64Array, x: number): number {
  if (x !== x) return x;
  let low = 0;
  let high = boundaries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (boundaries[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The code of a kernel. `%` in the parts of a lane stands for the lane's number. */
function kernelText(shape: KernelShape, arrayClass: string, nullable: boolean, lanes: number): string {
  const setup = laneSetup(shape, arrayClass, nullable);
  const row = shape.source === 'list' ? listRow(shape, arrayClass, nullable) : scalarRow(shape, arrayClass, nullable);
  const eachLane = (text: string): string =>
    Array.from({ length: lanes }, (_, lane) => text.replaceAll('%', `${lane}`)).join('\n');
  return `'use strict';
return function kernel(vectors, a, lanes, b, from, end, t, at, stride, step) {
${isWide(shape.elementType) ? 'const tw = new Uint32Array(t.buffer, t.byteOffset, t.length * 2);' : ''}
${eachLane(setup)}
${shape.oneHot ? zeroFill(shape) : ''}
for (let i = from, o = at; i < end; i++, o += stride) {
${eachLane(`{ ${row} }`)}
}
return end;
}`;
}

function laneSetup(shape: KernelShape, arrayClass: string, nullable: boolean): string {
  const values = shape.source === 'code' ? 'codes' : shape.source === 'length' ? 'lengths' : 'values';
  const parts = [`const s% = vectors[a + %], k% = lanes[b + %], c% = k%.numbers, v% = s%.${values};`];
  if (nullable) parts.push('const n% = s%.validity;');
  if (isBig(arrayClass)) {
    const half = arrayClass === 'BigInt64Array' ? 'Int32Array' : 'Uint32Array';
    parts.push(`const w% = new ${half}(v%.buffer, v%.byteOffset, v%.length * 2);`);
  }
  if (shape.hasMissing) parts.push('const m% = c%[0];');
  if (shape.source === 'list') {
    parts.push('const f% = s%.offsets, l% = s%.lengths, z% = k%.width;');
    if (nullable) parts.push('const nv% = s%.valueValidity;');
  }
  let constant = 1;
  let boundaries = 0;
  shape.steps.forEach((step, index) => {
    if (step === 'bucketize') parts.push(`const p%_${index} = k%.boundaries[${boundaries++}];`);
    if (step === 'log1p' || step === 'bucketize') return;
    parts.push(`const p%_${index} = c%[${constant++}], q%_${index} = c%[${constant++}];`);
  });
  return parts.join('\n');
}

/** Where the row's value of that number goes, counted from its first. */
function placeOf(shape: KernelShape, number: string): string {
  return shape.order === 'rows' ? `o + ${number}` : `o + ${number} * step`;
}

/** One value of one row into its lane's place; a one-hot's 1 into the row's zeros. */
function scalarRow(shape: KernelShape, arrayClass: string, nullable: boolean): string {
  const valid = '((n%[i >> 3] >> (i & 7)) & 1) !== 0';
  const place = placeOf(shape, '%');
  switch (shape.source) {
    case 'number':
    case 'length': {
      const found = load(arrayClass, 'i');
      if (isExact(shape, arrayClass)) {
        const copy = copyWords(shape.elementType, arrayClass, 'i', place);
        if (!nullable) return copy;
        return `if (${valid}) { ${copy} } else { ${shape.hasMissing ? calculate(shape, 'm%', place) : 'return i;'} }`;
      }
      if (!nullable) return calculate(shape, found, place);
      if (shape.hasMissing) return calculate(shape, `${valid} ? ${found} : m%`, place);
      return `if (!(${valid})) return i; ${calculate(shape, found, place)}`;
    }
    case 'code':
      return `let x = v%[i]; if (x < 0) { x = x === -1 ? k%.ofNull : k%.ofUnknown; if (x < 0) return i; }
        ${storePosition(shape, place)}`;
    case 'lookup': {
      const found = `x = k%.positions.get(${load(arrayClass, 'i')}); if (x === undefined) x = k%.ofUnknown;`;
      return `let x; ${nullable ? `if (!(${valid})) x = k%.ofNull; else { ${found} }` : found}
        if (x < 0) return i; ${storePosition(shape, place)}`;
    }
    case 'hash':
      return `const text = v%[i]; const x = text === null ? k%.ofNull : bucket(text, k%.buckets); if (x < 0) return i;
        ${store(shape.elementType, place)}`;
    case 'text':
      return `const text = v%[i];
        if (text !== null) { if (text.includes("\\u0000")) return i; t[${place}] = text; }
        else ${shape.hasMissing ? `t[${place}] = k%.missingText;` : 'return i;'}`;
    case 'list':
      return listRow(shape, arrayClass, nullable);
  }
}

/** One list of one row. Lists come one lane at a time. */
function listRow(shape: KernelShape, arrayClass: string, nullable: boolean): string {
  const place = placeOf(shape, 'j');
  const value = isExact(shape, arrayClass)
    ? copyWords(shape.elementType, arrayClass, 'g', place)
    : calculate(shape, load(arrayClass, 'g'), place);
  const whole = 'if (l%[i] !== z%) return i; let g = f%[i];';
  if (!nullable) return `${whole} for (let j = 0; j < z%; j++, g++) { ${value} }`;
  const missing = shape.hasMissing ? `{ ${calculate(shape, 'm%', place)} }` : 'return i;';
  return `if (n% !== null && ((n%[i >> 3] >> (i & 7)) & 1) === 0) {
      ${shape.hasMissing ? `for (let j = 0; j < z%; j++) ${missing}` : missing}
    } else {
      ${whole}
      for (let j = 0; j < z%; j++, g++) {
        if (nv% !== null && ((nv%[g >> 3] >> (g & 7)) & 1) === 0) ${missing}
        else { ${value} }
      }
    }`;
}

function load(arrayClass: string, index: string): string {
  // A 64 bit integer from its halves, the lower one first, rounded once: as Number(bigint) does, without a bigint.
  return isBig(arrayClass) ? `w%[2 * (${index}) + 1] * 4294967296 + (w%[2 * (${index})] >>> 0)` : `v%[${index}]`;
}

/** The number `found` through the steps and into its place. */
function calculate(shape: KernelShape, found: string, place: string): string {
  const lines = shape.steps.map((step, index) => {
    const [x, p, q] = [`x${index}`, `p%_${index}`, `q%_${index}`];
    const result = {
      log1p: `Math.log1p(${x})`,
      standardize: `(${x} - ${p}) / ${q}`,
      minMax: `(${x} - ${p}) / ${q}`,
      clip: `${x} < ${p} ? ${p} : ${x} > ${q} ? ${q} : ${x}`,
      bucketize: `countUpTo(${p}, ${x})`,
    }[step];
    return `const x${index + 1} = ${result};`;
  });
  return `const x0 = ${found}; ${lines.join(' ')} const x = x${shape.steps.length}; ${store(shape.elementType, place)}`;
}

/** Stores the number x, or returns where it does not fit. */
function store(elementType: ElementType, place: string): string {
  const bad = (fits: string): string => `if (!(${fits})) return i;`;
  const words = (low: string, high: string): string => `tw[2 * (${place})] = ${low}; tw[2 * (${place}) + 1] = ${high};`;
  // Storing a number to a Uint32Array keeps its lower 32 bits, so the halves of a whole number need no bigint.
  const anyWords = words('x', 'Math.floor(x / 4294967296)');
  const value = `t[${place}] = x;`;
  switch (elementType) {
    case 'float32':
    case 'float64':
      return value;
    case 'float16':
      return `t[${place}] = half(x);`;
    case 'int8':
      return `${bad('(x << 24 >> 24) === x')} ${value}`;
    case 'int16':
      return `${bad('(x << 16 >> 16) === x')} ${value}`;
    case 'int32':
      return `${bad('(x | 0) === x')} ${value}`;
    case 'uint8':
      return `${bad('(x & 255) === x')} ${value}`;
    case 'uint16':
      return `${bad('(x & 65535) === x')} ${value}`;
    case 'uint32':
      return `${bad('(x >>> 0) === x')} ${value}`;
    case 'bool':
      return `${bad('x === 0 || x === 1')} ${value}`;
    case 'int64':
      return `if ((x | 0) === x) { ${words('x', 'x >> 31')} }
      else { ${bad(`x >= ${-(2 ** 63)} && x < ${2 ** 63} && Math.floor(x) === x`)} ${anyWords} }`;
    case 'uint64':
      return `if ((x >>> 0) === x) { ${words('x', '0')} }
      else { ${bad(`x >= 0 && x < ${2 ** 64} && Math.floor(x) === x`)} ${anyWords} }`;
    case 'string':
      return `t[${place}] = text;`;
  }
}

/** A 64 bit integer bit for bit; between signed and unsigned only below 2^63. */
function copyWords(elementType: ElementType, arrayClass: string, index: string, place: string): string {
  const sameSign = (elementType === 'int64') === (arrayClass === 'BigInt64Array');
  return `${sameSign ? '' : `if ((w%[2 * (${index}) + 1] | 0) < 0) return i;`}
    tw[2 * (${place})] = w%[2 * (${index})]; tw[2 * (${place}) + 1] = w%[2 * (${index}) + 1];`;
}

function storePosition(shape: KernelShape, place: string): string {
  if (!shape.oneHot) return store(shape.elementType, place);
  const one = { int64: '1n', uint64: '1n', float16: `${float16Bits(1)}` }[shape.elementType as string] ?? '1';
  return `if (x < k%.width) t[${placeOf(shape, 'x')}] = ${one};`;
}

/** Zeros for the one-hot rows: in one go where they lie together. */
function zeroFill({ elementType, order }: KernelShape): string {
  const zero = isWide(elementType) ? '0n' : '0';
  const width = 'const width = k0.width;';
  if (order === 'columns') {
    return `${width} for (let j = 0, o = at; j < width; j++, o += step) t.fill(${zero}, o, o + end - from);`;
  }
  return `${width}
if (width === stride) t.fill(${zero}, at, at + (end - from) * width);
else if (width > 16) for (let i = from, o = at; i < end; i++, o += stride) t.fill(${zero}, o, o + width);
else for (let i = from, o = at; i < end; i++, o += stride) for (let j = 0; j < width; j++) t[o + j] = ${zero};`;
}

/** Integers of 64 bit that nothing rounds. */
function isExact(shape: KernelShape, arrayClass: string): boolean {
  return isWide(shape.elementType) && isBig(arrayClass) && shape.steps.length === 0;
}

function isBig(arrayClass: string): boolean {
  return arrayClass === 'BigInt64Array' || arrayClass === 'BigUint64Array';
}

/** Elements of 64 bit integers are written as two words: a bigint for each value would be made and thrown away. */
function isWide(elementType: ElementType): boolean {
  return elementType === 'int64' || elementType === 'uint64';
}
