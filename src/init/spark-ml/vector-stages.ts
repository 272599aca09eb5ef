/** Stages that make vectors: VectorAssembler, scalers, Normalizer, VectorSlicer, VectorIndexer. */
import { z } from 'zod';
import type { StepFile } from '../../contract/schema.ts';
import { TandemError } from '../../errors.ts';
import {
  mayBeNan,
  numberSql,
  slotsOf,
  sqlNumber,
  type Frame,
  type NumberColumn,
  type Piece,
  type Scaling,
  type Slot,
  type VectorColumn,
} from './columns.ts';
import type { Graph } from './graph.ts';
import { double, matrix, oneOf, paramsOf, vector, type SavedStage } from './saved.ts';
import { binarizeNumber, isListed, isNumber, pairsOf } from './scalar-stages.ts';

const inOut = z.object({ inputCol: z.string(), outputCol: z.string() });
const handleInvalid = z.enum(['error', 'skip', 'keep']);

/** A null or NaN among the inputs is an error, a row left out, or NaN. */
export function assemble(stage: SavedStage, frame: Frame): void {
  const form = z.object({ inputCols: z.array(z.string()), outputCol: z.string(), handleInvalid });
  const { inputCols, outputCol, handleInvalid: invalid } = paramsOf(stage, form);
  const slots: Slot[] = [];
  for (const input of inputCols) {
    const column = frame.column(input, stage);
    if (column.kind === 'vector') {
      slots.push(...column.slots);
      if (invalid === 'skip') frame.where.push(...column.nullable.map((sql) => `${sql} IS NOT NULL`));
      if (invalid === 'keep' && column.nullable.length > 0) {
        frame.notes.push(`Where ${input} is null, Spark scores NaN (${stage.uid}); Tandem stops and names the row.`);
      }
    } else if (column.kind === 'number' && !column.isComplete) {
      if (invalid === 'skip') frame.where.push(isNumber(column));
      if (invalid === 'error' && mayBeNan(column)) frame.nanColumns.add(input);
      slots.push(...slotsOf(invalid === 'keep' ? { ...column, missing: column.missing ?? NaN } : column));
    } else {
      slots.push(...slotsOf(column));
    }
  }
  frame.set(outputCol, { kind: 'vector', slots, nullable: [] });
}

const doNothing: Scaling = { subtract: 0, multiply: 1, add: 0, step: undefined };

/** A deviation of 0 makes 0 of everything. */
export function standardize(stage: SavedStage, frame: Frame): void {
  const { withMean, withStd } = paramsOf(stage, z.object({ withMean: z.boolean(), withStd: z.boolean() }));
  const { mean, std } = oneOf(stage, z.object({ mean: vector, std: vector }));
  scale(stage, frame, std.length, (at) => {
    const [center, deviation] = [withMean ? mean[at]! : 0, withStd ? std[at]! : 1];
    const step: StepFile | undefined = deviation > 0 ? { standardize: { mean: center, std: deviation } } : undefined;
    return { subtract: center, multiply: deviation === 0 ? 0 : 1 / deviation, add: 0, step };
  });
}

/** What was the same in all rows becomes the middle of the new range. */
export function scaleToRange(stage: SavedStage, frame: Frame): void {
  const { min, max } = paramsOf(stage, z.object({ min: double, max: double }));
  const { originalMin, originalMax } = oneOf(stage, z.object({ originalMin: vector, originalMax: vector }));
  scale(stage, frame, originalMin.length, (at) => {
    const [low, high] = [originalMin[at]!, originalMax[at]!];
    if (high === low) return { subtract: 0, multiply: 0, add: (min + max) / 2, step: undefined };
    const step: StepFile | undefined = min === 0 && max === 1 ? { minMax: [low, high] } : undefined;
    return { subtract: low, multiply: (max - min) / (high - low), add: min, step };
  });
}

export function scaleByLargest(stage: SavedStage, frame: Frame): void {
  const { maxAbs } = oneOf(stage, z.object({ maxAbs: vector }));
  scale(stage, frame, maxAbs.length, (at) => {
    const largest = maxAbs[at]! === 0 ? 1 : maxAbs[at]!;
    return { ...doNothing, multiply: 1 / largest, step: { standardize: { mean: 0, std: largest } } };
  });
}

function scale(stage: SavedStage, frame: Frame, size: number, scalingOf: (at: number) => Scaling): void {
  const { inputCol, outputCol } = paramsOf(stage, inOut);
  const input = frame.vector(inputCol, size, stage);
  const slots = input.slots.map((slot, at) => ({ ...slot, scalings: [...slot.scalings, scalingOf(at)] }));
  frame.set(outputCol, { ...input, slots });
}

/** Spark's RobustScaler: what had no range becomes 0. */
export function scaleByQuantiles(stage: SavedStage, frame: Frame): void {
  const form = z.object({ withCentering: z.boolean(), withScaling: z.boolean() });
  const { withCentering, withScaling } = paramsOf(stage, form);
  const { range, median } = oneOf(stage, z.object({ range: vector, median: vector }));
  scale(stage, frame, range.length, (at) => {
    const [center, width] = [withCentering ? median[at]! : 0, withScaling ? range[at]! : 1];
    const step: StepFile | undefined = width > 0 ? { standardize: { mean: center, std: width } } : undefined;
    return { subtract: center, multiply: width === 0 ? 0 : 1 / width, add: 0, step };
  });
}

export function multiply(stage: SavedStage, frame: Frame): void {
  const { scalingVec } = paramsOf(stage, z.object({ scalingVec: vector }));
  scale(stage, frame, scalingVec.length, (at) => ({ ...doNothing, multiply: scalingVec[at]! }));
}

function compute(
  stage: SavedStage,
  frame: Frame,
  size: number | undefined,
  make: (graph: Graph, x: string) => string,
  width?: number,
): void {
  const { inputCol, outputCol } = paramsOf(stage, inOut);
  const input = frame.vector(inputCol, size, stage);
  const piece: Piece = { kind: 'computed', vector: input, width: width ?? input.slots.length, compute: make };
  frame.set(outputCol, { ...input, slots: slotsOf(piece) });
}

/** What is all zeros stays so. */
export function normalize(stage: SavedStage, frame: Frame): void {
  const { p } = paramsOf(stage, z.object({ p: double }));
  compute(stage, frame, undefined, (graph, x) => {
    if (p === 1 || p === 2) return graph.add('LpNormalization', [x], { axis: { int: 1 }, p: { int: p } });
    const sizes = graph.add('Abs', [x]);
    let norm: string;
    if (p === Infinity) {
      // Spark looks for the largest among the numbers, whatever is NaN.
      const numbers = graph.add('Where', [graph.add('IsNaN', [x]), graph.constant([0]), sizes]);
      norm = graph.add('ReduceMax', [numbers], { axes: { ints: [1] }, keepdims: { int: 1 } });
    } else {
      const sum = graph.sum(graph.add('Pow', [sizes, graph.constant([p])]), 1, true);
      norm = graph.add('Pow', [sum, graph.constant([1 / p])]);
    }
    const isZero = graph.add('Equal', [norm, graph.constant([0])]);
    return graph.add('Div', [x, graph.add('Where', [isZero, graph.constant([1]), norm])]);
  });
}

export function project(stage: SavedStage, frame: Frame): void {
  const { pc } = oneOf(stage, z.object({ pc: matrix }));
  const width = pc[0]!.length;
  const weights = pc.flat();
  compute(
    stage,
    frame,
    pc.length,
    (graph, x) => graph.add('MatMul', [x, graph.constant(weights, [pc.length, width])]),
    width,
  );
}

/** Of single numbers {@link binarizeNumber}. */
export function binarize(stage: SavedStage, frame: Frame): void {
  const form = z.object({ threshold: double, thresholds: z.array(double).optional() });
  const { threshold, thresholds } = paramsOf(stage, form);
  pairsOf(stage).forEach(([input, output], at) => {
    const column = frame.column(input, stage);
    const least = thresholds?.[at] ?? threshold;
    if (column.kind === 'number') {
      frame.set(output, binarizeNumber(column, least));
      return;
    }
    const vector: VectorColumn =
      column.kind === 'vector' ? column : { kind: 'vector', slots: slotsOf(column), nullable: [] };
    // Below 0 Spark looks for what is no more than the threshold, which NaN is not.
    const above = (graph: Graph, x: string): string =>
      least >= 0
        ? graph.above(x, least)
        : graph.asNumber(graph.add('Not', [graph.add('LessOrEqual', [x, graph.constant([least])])]));
    const piece: Piece = { kind: 'computed', vector, width: vector.slots.length, compute: above };
    frame.set(output, { ...vector, slots: slotsOf(piece) });
  });
}

/** ChiSqSelector and its successors. */
export function select(stage: SavedStage, frame: Frame): void {
  const { featuresCol, outputCol } = paramsOf(stage, z.object({ featuresCol: z.string(), outputCol: z.string() }));
  const { selectedFeatures } = oneOf(stage, z.object({ selectedFeatures: z.array(z.number()) }));
  const input = frame.vector(featuresCol, undefined, stage);
  const indices = selectedFeatures.toSorted((one, other) => one - other);
  frame.set(outputCol, { ...input, slots: indices.map((index) => input.slots[index]!) });
}

export function slice(stage: SavedStage, frame: Frame): void {
  const form = inOut.extend({ indices: z.array(z.number()), names: z.array(z.string()) });
  const { inputCol, outputCol, indices, names } = paramsOf(stage, form);
  const input = frame.vector(inputCol, undefined, stage);
  if (names.length > 0) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected stage ${stage.uid} to choose by indices, got names ${names.join(', ')}.`,
      {
        remedy: 'Fit it with indices: names are not saved with the vector.',
      },
    );
  }
  frame.set(outputCol, { ...input, slots: indices.map((index) => input.slots[index]!) });
}

const categoryMaps = z.record(z.string(), z.record(z.string(), z.number()));

/** Values with few different numbers become their places among these. */
export function indexVector(stage: SavedStage, frame: Frame): void {
  const { inputCol, outputCol, handleInvalid: invalid } = paramsOf(stage, inOut.extend({ handleInvalid }));
  const saved = oneOf(stage, z.object({ numFeatures: z.number(), categoryMaps }));
  const input = frame.vector(inputCol, saved.numFeatures, stage);
  const slots = input.slots.map((slot, at): Slot => {
    const map = saved.categoryMaps[at];
    if (map === undefined) return slot;
    const categories = Object.entries(map)
      .sort(([, one], [, other]) => one - other)
      .map(([value]) => Number(value));
    const { piece } = slot;
    if (piece.kind === 'number' && slot.scalings.length === 0) {
      if (invalid === 'skip') frame.where.push(`${numberSql(piece)} IN (${categories.map(sqlNumber).join(', ')})`);
      return slotsOf(placeAmong(piece, categories, invalid))[0]!;
    }
    const isSame = slot.scalings.length === 0 && categories.every((value, place) => value === place);
    if (isSame && piece.kind === 'index' && categories.length >= piece.labels.length) {
      // Spark meets the index of what is unknown here, unless it was there when the stage was fitted.
      if (piece.unknown === 'error' || invalid === 'keep' || categories.length > piece.labels.length) return slot;
      if (invalid === 'skip') frame.where.push(isListed(piece));
      return { ...slot, piece: { ...piece, unknown: 'error' } };
    }
    if (isSame && piece.kind === 'feature' && piece.feature.oneHot !== undefined) return slot;
    throw notIndexed(stage, at);
  });
  frame.set(outputCol, { ...input, slots });
}

function placeAmong(number: NumberColumn, categories: readonly number[], invalid: 'error' | 'skip' | 'keep'): Piece {
  const { source, boundaries, missing } = number;
  const isNan = missing !== undefined && Number.isNaN(missing);
  const read =
    boundaries === undefined ? source : { sql: numberSql({ ...number, missing: isNan ? undefined : missing }) };
  // NaN, which a null may be, is no category; a number that is none either stands for it.
  const none = isNan ? { missing: Math.max(...categories) + 1 } : {};
  const filled = boundaries === undefined && missing !== undefined ? { missing, ...none } : none;
  const unknown = invalid === 'keep' ? { unknown: 'own' as const } : {};
  return { kind: 'feature', feature: { ...read, ...filled, index: [...categories], ...unknown }, width: 1 };
}

function notIndexed({ uid }: SavedStage, at: number): TandemError {
  return new TandemError('BAD_MODEL', `Expected value ${at} of the vector that stage ${uid} indexes to be a number.`, {
    remedy: 'Fit the pipeline with VectorIndexer before its scalers, or with a smaller maxCategories.',
  });
}
