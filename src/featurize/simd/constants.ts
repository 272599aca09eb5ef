/** The constants of a tensor's features in kernel memory, and the entries by which kernels find them and the vectors. */
import type { ColumnVector, TensorLayout } from '../../batch.ts';
import { alignedBytes, type KernelMemory } from '../../engines/wasm.ts';
import { bug } from '../../errors.ts';
import type { LaneConstants } from '../kernels.ts';
import { storedValue } from '../reference.ts';
import { entry } from './column-code.ts';
import { isExact, type FeatureForm } from './form.ts';
import { cellBytes } from './value-code.ts';

/** One for the missing value, two for each step. */
function cellsOf(feature: TensorLayout['features'][number]): number {
  return 1 + ('steps' in feature ? 2 * feature.steps.length : 0);
}

function boundariesOf(feature: TensorLayout['features'][number]): number {
  const steps = 'steps' in feature ? feature.steps : [];
  return steps.reduce((sum, step) => sum + (step.kind === 'bucketize' ? step.boundaries.length : 0), 0);
}

/** Bytes that {@link SimdConstants} takes. */
export function constantBytes({ features }: TensorLayout): number {
  const cells = features.reduce((sum, feature) => sum + cellsOf(feature) + boundariesOf(feature), 0);
  return alignedBytes(features.length * entry.bytes + cells * cellBytes);
}

export class SimdConstants {
  readonly #layout: TensorLayout;
  readonly #lanes: readonly LaneConstants[];
  readonly #memory: KernelMemory;
  readonly #start: number;
  readonly #entries: Int32Array;
  /** Byte offset of each feature's cells. */
  readonly #cells: readonly number[];

  constructor(layout: TensorLayout, lanes: readonly LaneConstants[], memory: KernelMemory) {
    this.#layout = layout;
    this.#lanes = lanes;
    this.#memory = memory;
    this.#start = memory.allocate(constantBytes(layout));
    const count = layout.features.length;
    const { buffer } = memory.memory;
    this.#entries = new Int32Array(buffer, this.#start, (count * entry.bytes) / Int32Array.BYTES_PER_ELEMENT);
    let next = this.#start + count * entry.bytes;
    this.#cells = layout.features.map((feature, index) => {
      const at = next;
      next += (cellsOf(feature) + boundariesOf(feature)) * cellBytes;
      this.#writeSteps(index, at);
      this.#put(index, entry.constants, at);
      return at;
    });
  }

  /** Address of a feature's entry. */
  entryAt(featureIndex: number): number {
    return this.#start + featureIndex * entry.bytes;
  }

  /** Notes what the form takes for a null: its representation depends on the column's type. */
  writeMissing(featureIndex: number, form: FeatureForm): void {
    const { buffer } = this.#memory.memory;
    const at = this.#cells[featureIndex]!;
    const { numbers, ofNull, ofUnknown } = this.#lanes[featureIndex]!;
    if (form.kind === 'oneHot') return;
    if (form.source === 'code') new Int32Array(buffer, at, 2).set([ofNull, ofUnknown]);
    else if (isExact(form)) {
      const missing = storedValue(this.#layout.elementType, numbers[0]!);
      if (typeof missing !== 'bigint') throw bug(`A missing value of ${this.#layout.name} does not fit`);
      new BigInt64Array(buffer, at, 1)[0] = BigInt.asIntN(64, missing);
    } else new Float64Array(buffer, at, 1)[0] = numbers[0]!;
  }

  /** Where the vector of the feature lies. */
  writeAddresses(featureIndex: number, vector: ColumnVector): void {
    switch (vector.kind) {
      case 'number':
        this.#put(featureIndex, entry.values, vector.values.byteOffset);
        this.#put(featureIndex, entry.validity, vector.validity?.byteOffset ?? 0);
        return;
      case 'category':
        return this.#put(featureIndex, entry.values, vector.codes.byteOffset);
      case 'list': {
        const counts = this.#layout.features[featureIndex]!.kind === 'length';
        this.#put(featureIndex, entry.values, (counts ? vector.lengths : vector.values).byteOffset);
        this.#put(featureIndex, entry.validity, (counts ? vector.validity : vector.valueValidity)?.byteOffset ?? 0);
        this.#put(featureIndex, entry.offsets, vector.offsets.byteOffset);
        this.#put(featureIndex, entry.lengths, vector.lengths.byteOffset);
        return this.#put(featureIndex, entry.rowValidity, vector.validity?.byteOffset ?? 0);
      }
      case 'text':
        throw bug('Kernels read no text');
    }
  }

  #put(featureIndex: number, field: number, address: number): void {
    this.#entries[(featureIndex * entry.bytes + field) / Int32Array.BYTES_PER_ELEMENT] = address;
  }

  #writeSteps(featureIndex: number, at: number): void {
    const feature = this.#layout.features[featureIndex]!;
    const { buffer } = this.#memory.memory;
    const { numbers, boundaries } = this.#lanes[featureIndex]!;
    let [cell, number, list] = [at + cellBytes, 1, 0];
    let boundariesAt = at + cellsOf(feature) * cellBytes;
    for (const step of 'steps' in feature ? feature.steps : []) {
      if (step.kind === 'log1p') continue;
      if (step.kind === 'bucketize') {
        const values = boundaries[list++]!;
        new Float64Array(buffer, boundariesAt, values.length).set(values);
        new Int32Array(buffer, cell, 2).set([boundariesAt, values.length]);
        boundariesAt += values.byteLength;
        cell += cellBytes;
      } else {
        new Float64Array(buffer, cell, 2).set([numbers[number++]!, numbers[number++]!]);
        cell += 2 * cellBytes;
      }
    }
  }
}
