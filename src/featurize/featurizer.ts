/** Columns of a chunk to the rows of one input tensor. */
import {
  type Chunk,
  type ColumnRequest,
  type ColumnVector,
  elementBytes,
  type ListVector,
  type NumberArray,
  type TensorLayout,
  type TensorValues,
  viewOf,
} from '../batch.ts';
import type { KernelMemory } from '../engines/wasm.ts';
import { bug } from '../errors.ts';
import {
  type Kernel,
  type KernelFamily,
  kernelFamily,
  type KernelVariant,
  type LaneConstants,
  laneGroup,
  variantOf,
} from './kernels.ts';
import { checkFeature, kernelShape, laneConstants, vectorKindOf } from './lanes.ts';
import { featurizeRow } from './reference.ts';
import { simdBytes, SimdRows } from './simd/simd-rows.ts';

export interface Featurizer {
  readonly layout: TensorLayout;
  /** For each feature: undefined where a SIMD kernel made it of the last chunk, else why a JavaScript loop did. */
  readonly reasons: readonly (string | undefined)[];
  /** Times that SIMD kernels left rows, which they could not settle, to the JavaScript loops. */
  readonly againCount: number;
  /**
   * Rows [from, from + rowCount) of the chunk become rows targetRow, targetRow + 1, ... of the tensor, in the layout's
   * order. `target` is an array of the class that `viewOf` gives for the element type (strings: an ordinary array), and
   * as long as a whole number of rows; only those rows are written, and neither the chunk nor the target is kept.
   * Throws BadRowError for the lowest bad row (of its features, the first); the rows before it are written then.
   */
  fill(chunk: Chunk, from: number, rowCount: number, target: TensorValues, targetRow: number): void;
}

/** What a reader has to deliver for the features of a tensor, in their order. */
export function requestsOf(layout: TensorLayout): ColumnRequest[] {
  // Kernels round an integer of 64 bits themselves, faster than a cast in SQL.
  return layout.features.map((feature) => ({
    feature,
    as: vectorKindOf(feature),
    exactIntegers: feature.kind === 'number' || feature.kind === 'list',
  }));
}

/** Kernel memory that a tensor's featurizer takes. */
export function featurizerBytes(layout: TensorLayout): number {
  return layout.elementType === 'string' || layout.features.length === 0 ? 0 : simdBytes(layout);
}

/**
 * The featurizer of one tensor; `chunk.vectors[firstVector + i]` belongs to its feature i.
 * Throws BAD_CONTRACT where the features cannot feed the tensor's element type.
 * @param kernels memory for {@link featurizerBytes}; vectors and targets that lie in the same memory are for SIMD kernels
 */
export function createFeaturizer(layout: TensorLayout, firstVector: number, kernels?: KernelMemory): Featurizer {
  const widthSum = layout.featureWidths.reduce((sum, width) => sum + width, 0);
  if (layout.featureWidths.length !== layout.features.length || widthSum !== layout.width) {
    throw bug(`The widths of the features of ${layout.name} do not add up to ${layout.width}`);
  }
  layout.features.forEach((_, i) => checkFeature(layout, i));
  return new KernelFeaturizer(layout, firstVector, kernels);
}

/** A block of rows stays in a core's cache while its features are written one after another. */
const blockBytes = 256 * 1024;
const blockRowsMin = 64;

/** A kernel and the feature with which it starts. */
interface Part {
  readonly kernel: Kernel;
  readonly featureIndex: number;
}

/** JavaScript loops of some features: their variants for the last chunk, and the parts that follow from them. */
interface Loops {
  readonly features: readonly number[];
  readonly variants: KernelVariant[];
  parts: readonly Part[];
}

class KernelFeaturizer implements Featurizer {
  readonly layout: TensorLayout;
  readonly #firstVector: number;
  readonly #families: readonly KernelFamily[];
  readonly #lanes: readonly LaneConstants[];
  /** Where each feature begins within a row. */
  readonly #offsets: readonly number[];
  readonly #blockRows: number;
  /** Constructor of the target's array; undefined: strings. */
  readonly #arrayClass: unknown;
  readonly #simd: SimdRows | undefined;
  /** The loops of all features, and of those that have no SIMD kernel. */
  readonly #all: Loops;
  #rest: Loops;
  #againCount = 0;
  #isCopied = false;

  constructor(layout: TensorLayout, firstVector: number, kernels: KernelMemory | undefined) {
    this.layout = layout;
    this.#firstVector = firstVector;
    this.#families = layout.features.map((feature) => kernelFamily(kernelShape(feature, layout)));
    this.#lanes = layout.features.map((feature, i) => laneConstants(feature, layout.featureWidths[i]!));
    const { elementType } = layout;
    this.#arrayClass = elementType === 'string' ? undefined : viewOf(elementType, new ArrayBuffer(0), 0, 0).constructor;
    let offset = 0;
    this.#offsets = layout.featureWidths.map((width) => (offset += width) - width);
    const rowBytes = layout.width * Math.max(1, elementBytes[elementType]);
    this.#blockRows = Math.max(blockRowsMin, Math.floor(blockBytes / Math.max(1, rowBytes)));
    if (kernels !== undefined && elementType !== 'string') {
      this.#simd = new SimdRows(layout, this.#lanes, this.#offsets, kernels);
    }
    this.#all = { features: layout.features.map((_, index) => index), variants: [], parts: [] };
    this.#rest = this.#all;
  }

  get againCount(): number {
    return this.#againCount;
  }

  get reasons(): readonly (string | undefined)[] {
    if (this.#isCopied) return ['its values are copied as they are'];
    return this.#simd?.reasons ?? this.layout.features.map(() => 'no memory for kernels');
  }

  fill(chunk: Chunk, from: number, rowCount: number, target: TensorValues, targetRow: number): void {
    const { name, width } = this.layout;
    if (from + rowCount > chunk.rowCount) throw bug(`Input ${name} was to read past a chunk of ${chunk.rowCount} rows`);
    this.#checkTarget(target, (targetRow + rowCount) * width);
    this.#isCopied = this.#copies(chunk, from, rowCount, target, targetRow);
    if (this.#isCopied) return;
    const end = from + rowCount;
    if (this.#simd === undefined) return this.#loop(this.#all, chunk, from, end, target, targetRow);
    if (this.#simd.prepare(chunk.vectors, this.#firstVector)) this.#rest = this.#loopsBesideKernels(this.#simd);
    const settled = this.#simd.fill(from, end, target, targetRow);
    if (!settled) this.#againCount++;
    this.#loop(settled ? this.#rest : this.#all, chunk, from, end, target, targetRow);
  }

  #loopsBesideKernels(simd: SimdRows): Loops {
    const features = this.#all.features.filter((index) => !simd.hasKernel(index));
    return { features, variants: [], parts: [] };
  }

  #loop(loops: Loops, chunk: Chunk, from: number, end: number, target: TensorValues, targetRow: number): void {
    if (loops.features.length === 0) return;
    const { width, order } = this.layout;
    const [stride, step] = order === 'columns' ? [1, target.length / width] : [width, 1];
    this.#fit(loops, chunk);
    for (let start = from; start < end; start += this.#blockRows) {
      const blockEnd = Math.min(end, start + this.#blockRows);
      const at = (targetRow + start - from) * stride;
      // A bad row ends the block for the features after it, so the lowest bad row is what is left.
      let goodEnd = blockEnd;
      for (const { kernel, featureIndex } of loops.parts) {
        goodEnd = kernel(
          chunk.vectors,
          this.#firstVector + featureIndex,
          this.#lanes,
          featureIndex,
          start,
          goodEnd,
          target,
          at + this.#offsets[featureIndex]! * step,
          stride,
          step,
        );
      }
      if (goodEnd < blockEnd) this.#explain(chunk, goodEnd);
    }
  }

  #checkTarget(target: TensorValues, length: number): void {
    const { name, elementType, width } = this.layout;
    const fits = Array.isArray(target) ? elementType === 'string' : target.constructor === this.#arrayClass;
    if (!fits) throw bug(`Input ${name} is ${elementType} and cannot be written to a ${target.constructor.name}`);
    if (!Array.isArray(target) && target.length < length) {
      throw bug(`Input ${name} needs room for ${length} values, got ${target.length}`);
    }
    if (target.length % Math.max(1, width) !== 0)
      throw bug(`Input ${name} of width ${width} got a target of ${target.length} values`);
  }

  /** The kernels for the classes of arrays and the nulls that this chunk has. */
  #fit(loops: Loops, chunk: Chunk): void {
    let changed = false;
    loops.features.forEach((featureIndex, i) => {
      const family = this.#families[featureIndex]!;
      const variant = this.#variantFor(family, chunk.vectors[this.#firstVector + featureIndex], featureIndex);
      if (loops.variants[i] === variant) return;
      loops.variants[i] = variant;
      changed = true;
    });
    if (changed) loops.parts = grouped(loops.features, loops.variants);
  }

  #variantFor(family: KernelFamily, vector: ColumnVector | undefined, featureIndex: number): KernelVariant {
    const feature = this.layout.features[featureIndex]!;
    if (vector?.kind !== vectorKindOf(feature)) {
      throw bug(`Feature ${featureIndex} of ${this.layout.name} got a ${vector?.kind} vector`);
    }
    switch (vector.kind) {
      case 'number':
        return variantOf(family, vector.values, vector.validity !== null);
      case 'category':
        return variantOf(family, vector.codes, false);
      case 'text':
        return variantOf(family, vector.values, false);
      case 'list':
        return feature.kind === 'length'
          ? variantOf(family, vector.lengths, vector.validity !== null)
          : variantOf(family, vector.values, vector.validity !== null || vector.valueValidity !== null);
    }
  }

  /** A tensor of one feature whose values already lie as the tensor wants them is copied in one go. */
  #copies(chunk: Chunk, from: number, rowCount: number, target: TensorValues, targetRow: number): boolean {
    const {
      features: [feature, second],
      elementType,
      width,
      order,
    } = this.layout;
    if (feature === undefined || second !== undefined || Array.isArray(target)) return false;
    if (order === 'columns' && width !== 1) return false;
    if ((feature.kind !== 'number' && feature.kind !== 'list') || feature.steps.length > 0) return false;
    // Their arrays also hold what is neither a half nor a boolean.
    if (elementType === 'float16' || elementType === 'bool') return false;
    const vector = chunk.vectors[this.#firstVector];
    if (vector?.kind !== feature.kind || vector.validity !== null) return false;
    if (vector.values.constructor !== target.constructor) return false;
    let first = from;
    if (vector.kind === 'list') {
      if (vector.valueValidity !== null || !liesTogether(vector, from, rowCount, width)) return false;
      first = vector.offsets[from] ?? 0;
    }
    copy(vector.values, first, rowCount * width, target, targetRow * width);
    return true;
  }

  /** Throws what is wrong with a row that a kernel refused. */
  #explain(chunk: Chunk, row: number): never {
    featurizeRow(this.layout, chunk.vectors.slice(this.#firstVector), row);
    throw bug(`A kernel of ${this.layout.name} refused row ${row}, which the reference accepts`);
  }
}

/** Neighbours that share a variant go together, as far as there are enough of them. */
function grouped(features: readonly number[], variants: readonly KernelVariant[]): Part[] {
  const parts: Part[] = [];
  for (let i = 0; i < variants.length;) {
    const { one, group } = variants[i]!;
    const featureIndex = features[i]!;
    let alike = 1;
    const continues = (): boolean =>
      variants[i + alike] === variants[i] && features[i + alike] === featureIndex + alike;
    while (alike < laneGroup && continues()) alike++;
    const takesGroup = group !== undefined && alike === laneGroup;
    parts.push({ kernel: takesGroup ? group : one, featureIndex });
    i += takesGroup ? laneGroup : 1;
  }
  return parts;
}

/** Whether the lists of these rows are of full length and follow one another without a gap. */
function liesTogether(vector: ListVector, from: number, rowCount: number, width: number): boolean {
  const { offsets, lengths } = vector;
  for (let row = from, offset = offsets[from]; row < from + rowCount; row++, offset! += width) {
    if (lengths[row] !== width || offsets[row] !== offset) return false;
  }
  return true;
}

/** The caller has checked that both arrays are of one class. */
function copy(values: NumberArray, first: number, count: number, target: NumberArray, at: number): void {
  (target as Float64Array).set(values.subarray(first, first + count) as Float64Array, at);
}
