/**
 * Rows of one tensor by SIMD kernels, as far as its features have them: columns are made in a scratch of a few rows,
 * which stays in the cache, and go from there into the tensor's rows, four by four; in the order of columns they are
 * made in their place. What is left is for the JavaScript loops.
 */
import {
  type CategoryVector,
  type ColumnVector,
  elementBytes,
  type TensorLayout,
  type TensorValues,
} from '../../batch.ts';
import { alignedBytes, type KernelMemory, type SharedMemory } from '../../engines/wasm.ts';
import { simdBlockRows, simdColumnsMax, simdQuadFeaturesMin } from '../../limits.ts';
import type { LaneConstants } from '../kernels.ts';
import { constantBytes, SimdConstants } from './constants.ts';
import { formKey, formOf, laneRows, quadOf, type ColumnForm, type FeatureForm } from './form.ts';
import {
  formKernel,
  scatterKernel,
  transposeKernel,
  zeroKernel,
  type ElementSize,
  type KernelFunction,
} from './library.ts';

/** Kernel memory of one tensor. */
export function simdBytes(layout: TensorLayout): number {
  return constantBytes(layout) + alignedBytes(scratchBytes(layout));
}

/** A last block takes in what would be too few rows for a block of their own. */
const scratchRows = simdBlockRows + laneRows;

function scratchBytes({ elementType, features, order }: TensorLayout): number {
  if (order === 'columns') return 0;
  return Math.min(features.length, simdColumnsMax) * scratchRows * elementBytes[elementType];
}

/** One-hots of this share of a row or more: the rows are zeroed in one go, which the other features then overwrite. */
const zeroedRowsShare = 0.25;

/** Neighbouring features whose columns are made, and then put into rows, together. */
interface ColumnsPart {
  readonly kind: 'columns';
  readonly first: number;
  count: number;
  /** Neighbours of one form. */
  readonly groups: { readonly run: KernelFunction; readonly first: number; readonly count: number }[];
}

interface QuadsPart {
  readonly kind: 'quads';
  readonly first: number;
  readonly count: number;
  readonly run: KernelFunction;
}

interface OnePart {
  readonly kind: 'list' | 'oneHot';
  readonly first: number;
  readonly run: KernelFunction;
}

type Part = ColumnsPart | QuadsPart | OnePart;

/** Where rows go: addresses in bytes. */
interface Place {
  /** Of the first value of the first row. */
  readonly target: number;
  /** From a row to the next, and from a value of a row to the next. */
  readonly rowBytes: number;
  readonly stepBytes: number;
}

export class SimdRows {
  readonly #layout: TensorLayout;
  readonly #lanes: readonly LaneConstants[];
  readonly #offsets: readonly number[];
  readonly #memory: SharedMemory;
  readonly #constants: SimdConstants;
  readonly #scratch: number;
  readonly #size: ElementSize;
  readonly #zero: KernelFunction;
  /** Of the last chunk, by feature: the form, or why there is none. */
  readonly #forms: (FeatureForm | string)[];
  readonly #keys: string[];
  readonly #seen: (ColumnVector | undefined)[];
  #parts: readonly Part[] = [];
  #zeroesRows = false;

  /** @param offsets where each feature begins within a row */
  constructor(
    layout: TensorLayout,
    lanes: readonly LaneConstants[],
    offsets: readonly number[],
    kernels: KernelMemory,
  ) {
    this.#layout = layout;
    this.#lanes = lanes;
    this.#offsets = offsets;
    this.#memory = kernels.memory;
    this.#constants = new SimdConstants(layout, lanes, kernels);
    this.#scratch = kernels.allocate(scratchBytes(layout));
    this.#size = elementBytes[layout.elementType] as ElementSize;
    this.#zero = zeroKernel(this.#memory);
    this.#forms = layout.features.map(() => 'not read yet');
    this.#keys = layout.features.map(() => '');
    this.#seen = layout.features.map(() => undefined);
  }

  /** For each feature of the last chunk: undefined where a kernel makes it, else why not. */
  get reasons(): (string | undefined)[] {
    return this.#forms.map((form) => (typeof form === 'string' ? form : undefined));
  }

  /** Fits the kernels to a chunk's vectors. @returns whether the features that have kernels are others than before */
  prepare(vectors: readonly ColumnVector[], firstVector: number): boolean {
    let changed = false;
    for (let index = 0; index < this.#keys.length; index++) {
      const vector = vectors[firstVector + index]!;
      const seen = this.#seen[index];
      if (seen !== undefined && isSame(seen, vector)) continue;
      // Readers exchange the arrays of one and the same vector.
      this.#seen[index] = { ...vector };
      if (this.#setForm(index, vector)) changed = true;
    }
    if (changed) this.#plan();
    return changed;
  }

  #setForm(index: number, vector: ColumnVector): boolean {
    const feature = this.#layout.features[index]!;
    const isReachable = liesIn(this.#memory.buffer, vector, feature.kind === 'length');
    const form = isReachable ? formOf(feature, this.#layout, vector) : 'its column lies elsewhere';
    const key = typeof form === 'string' ? form : formKey(form);
    if (typeof form !== 'string') this.#constants.writeAddresses(index, vector);
    if (key === this.#keys[index]) return false;
    if (typeof form !== 'string') this.#constants.writeMissing(index, form);
    this.#keys[index] = key;
    this.#forms[index] = form;
    return true;
  }

  /** Many columns of one form go into rows four at a time; other neighbours go together, as far as the scratch takes them. */
  #plan(): void {
    const parts: Part[] = [];
    let onesWidth = 0;
    for (let first = 0, next = 0; first < this.#forms.length; first = next) {
      const form = this.#forms[first]!;
      next = first + 1;
      if (typeof form === 'string') continue;
      if (form.kind === 'column') {
        while (this.#keys[next] === this.#keys[first]) next++;
        this.#planColumns(parts, form, first, next - first);
      } else parts.push({ kind: form.kind, first, run: formKernel(this.#memory, form) });
      if (form.kind === 'oneHot') onesWidth += this.#layout.featureWidths[first]!;
    }
    this.#parts = parts;
    this.#zeroesRows = this.#layout.order !== 'columns' && onesWidth >= this.#layout.width * zeroedRowsShare;
  }

  #planColumns(parts: Part[], form: ColumnForm, first: number, count: number): void {
    const quad = this.#layout.order === 'columns' || count < simdQuadFeaturesMin ? undefined : quadOf(form);
    if (quad !== undefined) {
      parts.push({ kind: 'quads', first, count, run: formKernel(this.#memory, quad) });
      return;
    }
    const run = formKernel(this.#memory, form);
    for (let at = first, left = count; left > 0;) {
      let part = parts.at(-1);
      if (part?.kind !== 'columns' || part.first + part.count !== at || part.count === simdColumnsMax) {
        parts.push((part = { kind: 'columns', first: at, count: 0, groups: [] }));
      }
      const taken = Math.min(left, simdColumnsMax - part.count);
      part.groups.push({ run, first: at, count: taken });
      part.count += taken;
      at += taken;
      left -= taken;
    }
  }

  hasKernel(featureIndex: number): boolean {
    return typeof this.#forms[featureIndex] !== 'string';
  }

  /**
   * Rows [from, end) of the prepared chunk into rows from `targetRow` on, of the features that have kernels.
   * False: some rows are for the JavaScript loops, all of them; what was written then is to be written again.
   */
  fill(from: number, end: number, target: TensorValues, targetRow: number): boolean {
    const { width, order } = this.#layout;
    if (Array.isArray(target) || target.buffer !== this.#memory.buffer || end - from < laneRows) return false;
    if (this.#parts.length === 0) return true;
    const size = this.#size;
    if (order === 'columns') {
      const stepBytes = (target.length / width) * size;
      const place = { target: target.byteOffset + targetRow * size, rowBytes: size, stepBytes };
      return this.#fillBlock(from, end, place) === 0;
    }
    const rowBytes = width * size;
    let refused = 0;
    for (let start = from, at = target.byteOffset + targetRow * rowBytes; start < end;) {
      const stop = end - start < scratchRows ? end : start + simdBlockRows;
      refused |= this.#fillBlock(start, stop, { target: at, rowBytes, stepBytes: size });
      at += (stop - start) * rowBytes;
      start = stop;
    }
    return refused === 0;
  }

  #fillBlock(from: number, end: number, place: Place): number {
    let refused = 0;
    if (this.#zeroesRows) this.#zero(place.target, (end - from) * place.rowBytes, 1, 0);
    for (const part of this.#parts) {
      const target = place.target + this.#offsets[part.first]! * place.stepBytes;
      if (part.kind === 'quads') refused |= this.#makeQuads(part, from, end, { ...place, target });
      else if (part.kind === 'columns') refused |= this.#makeColumns(part, from, end, { ...place, target });
      else if (part.kind === 'oneHot') refused |= this.#makeOnes(part, from, end, { ...place, target });
      else {
        const width = this.#layout.featureWidths[part.first]!;
        refused |= part.run(this.#constants.entryAt(part.first), width, from, end, target, place.rowBytes);
      }
    }
    return refused;
  }

  #makeColumns({ groups, first, count }: ColumnsPart, from: number, end: number, place: Place): number {
    const isInPlace = this.#layout.order === 'columns';
    const rows = end - from;
    const columnBytes = isInPlace ? place.stepBytes : scratchRows * this.#size;
    const columns = isInPlace ? place.target : this.#scratch;
    let refused = 0;
    for (const group of groups) {
      const target = columns + (group.first - first) * columnBytes;
      refused |= group.run(this.#constants.entryAt(group.first), group.count, from, end, target, columnBytes);
    }
    if (isInPlace) return refused;
    if (count >= laneRows) {
      transposeKernel(this.#memory, this.#size)(columns, columnBytes, count, rows, place.target, place.rowBytes);
      return refused;
    }
    const scatter = scatterKernel(this.#memory, this.#size);
    for (let i = 0; i < count; i++) {
      scatter(columns + i * columnBytes, rows, place.target + i * place.stepBytes, place.rowBytes);
    }
    return refused;
  }

  #makeQuads(
    { first, count, run }: QuadsPart,
    from: number,
    end: number,
    { target, rowBytes, stepBytes }: Place,
  ): number {
    const refused = run(this.#constants.entryAt(first), count >> 2, from, end, target, rowBytes);
    if (count % laneRows === 0) return refused;
    // What is left over goes with some that are done a second time.
    const last = count - laneRows;
    return refused | run(this.#constants.entryAt(first + last), 1, from, end, target + last * stepBytes, rowBytes);
  }

  #makeOnes({ first, run }: OnePart, from: number, end: number, { target, rowBytes, stepBytes }: Place): number {
    const { ofNull, ofUnknown, width } = this.#lanes[first]!;
    const rows = end - from;
    if (width > 0 && !this.#zeroesRows) {
      if (this.#layout.order === 'columns') this.#zero(target, rows * this.#size, width, stepBytes);
      else this.#zero(target, width * this.#size, rows, rowBytes);
    }
    const { codes } = this.#seen[first] as CategoryVector;
    const at = codes.byteOffset + from * codes.BYTES_PER_ELEMENT;
    return run(at, rows, target, rowBytes, stepBytes, width, ofNull, ofUnknown);
  }
}

/** Whether a reader has put the vector into these very arrays. */
function isSame(seen: ColumnVector, vector: ColumnVector): boolean {
  switch (vector.kind) {
    case 'number':
      return seen.kind === 'number' && seen.values === vector.values && seen.validity === vector.validity;
    case 'category':
      return seen.kind === 'category' && seen.codes === vector.codes;
    case 'text':
      return seen.kind === 'text';
    case 'list':
      return (
        seen.kind === 'list' &&
        seen.values === vector.values &&
        seen.offsets === vector.offsets &&
        seen.lengths === vector.lengths &&
        seen.validity === vector.validity &&
        seen.valueValidity === vector.valueValidity
      );
  }
}

/**
 * Whether all that is read of the vector lies where kernels reach it; texts are not for them anyway.
 * @param isCounted only the lengths of its lists are read
 */
function liesIn(memory: ArrayBufferLike, vector: ColumnVector, isCounted: boolean): boolean {
  const isThere = (array: { readonly buffer: ArrayBufferLike } | null): boolean =>
    array === null || array.buffer === memory;
  switch (vector.kind) {
    case 'number':
      return isThere(vector.values) && isThere(vector.validity);
    case 'category':
      return isThere(vector.codes);
    case 'text':
      return true;
    case 'list': {
      const { values, offsets, lengths, validity, valueValidity } = vector;
      if (isCounted) return isThere(lengths) && isThere(validity);
      return [values, offsets, lengths, validity, valueValidity].every(isThere);
    }
  }
}
