/** A vector of Spark's as features of the contract, and what the model must still do to them. */
import type { FeatureFile, StepFile } from '../../contract/schema.ts';
import { widthOf, type NumberColumn, type Piece, type Slot, type VectorColumn } from './columns.ts';
import type { Graph } from './graph.ts';
import { indexFeature } from './scalar-stages.ts';

/** Name of the model's input. */
export const inputName = 'features';

export interface WrittenFeatures {
  readonly features: readonly FeatureFile[];
  /** Values of the input in a row. */
  readonly width: number;
  /** The vector in the graph: [N, slots]. */
  readonly value: string;
}

/**
 * Scaling goes into the contract where it can express all of it; else the model does it. Its arithmetic is then Spark's to
 * the last bit, which the contract's, a division in place of a product with the reciprocal, is not.
 * @param isExact to the last bit: trees compare
 */
export function writeFeatures(vector: VectorColumn, graph: Graph, isExact: boolean): WrittenFeatures {
  const writer = new FeatureWriter(graph, isExact);
  const written = writer.prepare(vector);
  writer.place(written);
  const value = writer.write(written);
  return { features: writer.features, width: writer.width, value };
}

class FeatureWriter {
  readonly features: FeatureFile[] = [];
  width = 0;
  readonly #graph: Graph;
  readonly #isExact: boolean;
  /** First value of a feature in the input, by what it is. */
  readonly #starts = new Map<string, number>();

  constructor(graph: Graph, isExact: boolean) {
    this.#graph = graph;
    this.#isExact = isExact;
  }

  prepare(vector: VectorColumn): VectorColumn {
    const slots = vector.slots.map((slot): Slot => {
      if (slot.piece.kind !== 'computed') return slot;
      return { ...slot, piece: { ...slot.piece, vector: this.prepare(slot.piece.vector) } };
    });
    const takesSteps = ({ piece, scalings }: Slot): boolean =>
      scalings.length === 0 || (piece.kind === 'number' && scalings.every(({ step }) => step !== undefined));
    if (this.#isExact || !slots.every(takesSteps)) return { ...vector, slots };
    return { ...vector, slots: slots.map(withSteps) };
  }

  /** Gives each feature its place in the input. */
  place(vector: VectorColumn): void {
    for (const { piece } of vector.slots) {
      if (piece.kind === 'computed') this.place(piece.vector);
      else if (!this.#starts.has(keyOf(piece))) {
        this.#starts.set(keyOf(piece), this.width);
        this.features.push(featureOf(piece));
        this.width += widthOf(piece);
      }
    }
  }

  write(vector: VectorColumn): string {
    const known = new Map<Piece | typeof inputName, { readonly value: string; readonly start: number }>();
    let width = 0;
    const startOf = (source: Piece | typeof inputName, size: number, make: () => string): number => {
      const start = known.get(source)?.start ?? width;
      if (!known.has(source)) {
        known.set(source, { value: make(), start });
        width += size;
      }
      return start;
    };
    const places = vector.slots.map(({ piece, at }) => {
      if (piece.kind !== 'computed') {
        return startOf(inputName, this.width, () => inputName) + this.#starts.get(keyOf(piece))! + at;
      }
      return startOf(piece, piece.width, () => piece.compute(this.#graph, this.write(piece.vector))) + at;
    });
    const values = [...known.values()].map(({ value }) => value);
    const joined = values.length === 1 ? values[0]! : this.#graph.add('Concat', values, { axis: { int: 1 } });
    const isWhole = places.length === width && places.every((place, at) => place === at);
    const chosen = isWhole
      ? joined
      : this.#graph.add('Gather', [joined, this.#graph.places(places)], { axis: { int: 1 } });
    return this.#scaled(chosen, vector.slots);
  }

  #scaled(value: string, slots: readonly Slot[]): string {
    const depth = Math.max(...slots.map(({ scalings }) => scalings.length));
    let scaled = value;
    for (let level = 0; level < depth; level++) {
      const each = (key: 'subtract' | 'multiply' | 'add', nothing: number): void => {
        const numbers = slots.map(({ scalings }) => scalings[level]?.[key] ?? nothing);
        if (numbers.every((number) => number === nothing)) return;
        const op = { subtract: 'Sub', multiply: 'Mul', add: 'Add' }[key];
        scaled = this.#graph.add(op, [scaled, this.#graph.constant(numbers)]);
      };
      each('subtract', 0);
      each('multiply', 1);
      each('add', 0);
    }
    return scaled;
  }
}

type FeaturePiece = Exclude<Piece, { kind: 'computed' }>;

function keyOf(piece: FeaturePiece): string {
  return JSON.stringify(featureOf(piece));
}

function featureOf(piece: FeaturePiece): FeatureFile {
  switch (piece.kind) {
    case 'number':
      return numberFeature(piece);
    case 'index':
      return indexFeature(piece, 'index');
    case 'feature':
      return piece.feature;
  }
}

function numberFeature({ source, missing, boundaries }: NumberColumn): FeatureFile {
  return {
    ...source,
    ...(missing === undefined ? {} : { missing: Number.isNaN(missing) ? 'nan' : missing }),
    ...(boundaries === undefined ? {} : { bucketize: [...boundaries] }),
  };
}

/** The order in which the contract applies steps that are keys. */
const keyOrder: readonly (keyof StepFile)[] = ['log1p', 'bucketize', 'standardize', 'minMax', 'clip'];

function withSteps({ piece, at, scalings }: Slot): Slot {
  if (piece.kind !== 'number' || scalings.length === 0) return { piece, at, scalings };
  const { bucketize, ...feature } = numberFeature(piece);
  const steps: StepFile[] = bucketize === undefined ? [] : [{ bucketize }];
  for (const { step } of scalings) steps.push(step!);
  const order = steps.map((step) => keyOrder.indexOf(Object.keys(step)[0] as keyof StepFile));
  const isInOrder = order.every((place, i) => i === 0 || place > order[i - 1]!);
  const written = isInOrder ? Object.assign({}, ...steps) : { steps };
  return { piece: { kind: 'feature', feature: { ...feature, ...written }, width: 1 }, at, scalings: [] };
}
