/** Scores as Arrow columns. */
import {
  Field,
  FixedSizeList,
  RecordBatch,
  Schema,
  Struct,
  makeData,
  vectorFromArray,
  Bool,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  Uint16,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
  type Data,
  type DataType,
} from 'apache-arrow';
import { elementBytes, viewOf, type NumberArray, type TensorValues } from '../batch.ts';
import type { ElementType } from '../contract/contract.ts';
import { float16Value } from '../float16.ts';
import type { ScoredValues } from '../messages.ts';
import type { ModelPlan } from '../plan.ts';

/** Room for the scores of so many rows: one stretch for each output. */
export function roomForScores({ outputs }: Pick<ModelPlan, 'outputs'>, rowCount: number): ScoredValues[] {
  return outputs.map(({ elementType, width }) => {
    const length = rowCount * width;
    if (elementType === 'string') return new Array<string>(length);
    return viewOf(elementType, new ArrayBuffer(length * elementBytes[elementType]), 0, length);
  });
}

/** Copies scores of consecutive rows to their place in the room for all. */
export function putScores(
  { outputs }: Pick<ModelPlan, 'outputs'>,
  room: readonly ScoredValues[],
  firstRow: number,
  rowCount: number,
  scores: readonly TensorValues[],
): void {
  room.forEach((target, output) => {
    const { width } = outputs[output]!;
    const source = scores[output]!;
    if (Array.isArray(target)) {
      for (let index = 0; index < rowCount * width; index++)
        target[firstRow * width + index] = (source as string[])[index]!;
      return;
    }
    const values = (source as NumberArray).subarray(0, rowCount * width);
    (target as Float64Array).set(values as Float64Array, firstRow * width);
  });
}

/** Scores of a batch without rows. */
export function noScores(model: Pick<ModelPlan, 'outputs'>): readonly ScoredValues[] {
  return roomForScores(model, 0);
}

/** The batch with its score columns; their buffers are `values`, where the types allow it. */
export function withScores(batch: RecordBatch, model: ModelPlan, values: readonly ScoredValues[]): RecordBatch {
  const columns = model.columns.map(({ name, output, position }) => {
    const { elementType, width } = model.outputs[output]!;
    const all = values[output]!;
    const picked = position === undefined || width === 1 ? all : pickPosition(all, width, position);
    const data = toData(elementType, picked, position === undefined ? width : 1, batch.numRows);
    return { field: new Field(name, data.type, false), data };
  });
  const schema = new Schema([...batch.schema.fields, ...columns.map(({ field }) => field)], batch.schema.metadata);
  const children = [...batch.data.children, ...columns.map(({ data }) => data)];
  const type = new Struct(schema.fields);
  return new RecordBatch(schema, makeData({ type, length: batch.numRows, nullCount: 0, children }));
}

function pickPosition(values: ScoredValues, width: number, position: number): ScoredValues {
  const rowCount = values.length / width;
  if (Array.isArray(values)) return Array.from({ length: rowCount }, (_, row) => values[row * width + position]!);
  const picked = values.slice(0, rowCount);
  for (let row = 0; row < rowCount; row++) picked[row] = values[row * width + position]!;
  return picked;
}

function toData(elementType: ElementType, values: ScoredValues, width: number, rowCount: number): Data {
  const element = elementData(elementType, values);
  if (width === 1) return element;
  const type = new FixedSizeList(width, new Field('item', element.type, false));
  return makeData({ type, length: rowCount, nullCount: 0, child: element });
}

function elementData(elementType: ElementType, values: ScoredValues): Data {
  if (Array.isArray(values)) return vectorFromArray(values, new Utf8()).data[0]!;
  if (elementType === 'bool') {
    const flags = Array.from(values as Uint8Array, (value) => value !== 0);
    return vectorFromArray(flags, new Bool()).data[0]!;
  }
  if (elementType === 'float16') {
    return numberData(new Float32(), Float32Array.from(values as Uint16Array, float16Value));
  }
  return numberData(arrowTypes[elementType as keyof typeof arrowTypes], values);
}

const arrowTypes = {
  float32: new Float32(),
  float64: new Float64(),
  int8: new Int8(),
  int16: new Int16(),
  int32: new Int32(),
  int64: new Int64(),
  uint8: new Uint8(),
  uint16: new Uint16(),
  uint32: new Uint32(),
  uint64: new Uint64(),
};

function numberData(type: DataType, data: Exclude<ScoredValues, string[]>): Data {
  return makeData({ type: type as Float32, length: data.length, nullCount: 0, data: data as Float32Array });
}
