/** Output tensors as columns that parquetjs-lite writes. */
import type { TensorValues } from '../../batch.ts';
import type { RawColumn, RawValue } from '../../engines/parquetjs/file.ts';
import type { Leaf, ParquetColumn } from '../../engines/parquetjs/schema.ts';
import type { ModelPlan, OutputLayout } from '../../plan.ts';

type ElementType = OutputLayout['elementType'];

const leafTypes: Readonly<Record<ElementType, Pick<Leaf, 'physical' | 'converted' | 'type'>>> = {
  float32: { physical: 'FLOAT', converted: undefined, type: 'FLOAT' },
  float64: { physical: 'DOUBLE', converted: undefined, type: 'DOUBLE' },
  float16: { physical: 'FLOAT', converted: undefined, type: 'FLOAT' },
  int8: { physical: 'INT32', converted: 'INT_8', type: 'TINYINT' },
  int16: { physical: 'INT32', converted: 'INT_16', type: 'SMALLINT' },
  int32: { physical: 'INT32', converted: 'INT_32', type: 'INTEGER' },
  int64: { physical: 'INT64', converted: 'INT_64', type: 'BIGINT' },
  uint8: { physical: 'INT32', converted: 'UINT_8', type: 'UTINYINT' },
  uint16: { physical: 'INT32', converted: 'UINT_16', type: 'USMALLINT' },
  uint32: { physical: 'INT32', converted: 'UINT_32', type: 'UINTEGER' },
  uint64: { physical: 'INT64', converted: 'UINT_64', type: 'UBIGINT' },
  bool: { physical: 'BOOLEAN', converted: undefined, type: 'BOOLEAN' },
  string: { physical: 'BYTE_ARRAY', converted: 'UTF8', type: 'VARCHAR' },
};

/** A column of scores, and how many values a row of it has. */
export interface ScoreField {
  readonly column: ParquetColumn & { readonly leaf: Leaf };
  readonly elementType: ElementType;
  readonly width: number;
}

/** No score is null: scalars and lists of several values are required. */
export function scoreFields(model: Pick<ModelPlan, 'outputs' | 'columns'>): ScoreField[] {
  return model.columns.map(({ name, output, position }) => {
    const { elementType, width } = model.outputs[output]!;
    const value = leafTypes[elementType];
    if (position !== undefined || width === 1) {
      const leaf = { ...value, path: [name], rLevelMax: 0, dLevelMax: 0 };
      return { column: { name, type: value.type, leaf, list: undefined }, elementType, width: 1 };
    }
    const leaf = { ...value, path: [name, 'list', 'element'], rLevelMax: 1, dLevelMax: 1 };
    const list = { presentLevel: 0, entryLevel: 1 };
    return { column: { name, type: `${value.type}[]`, leaf, list }, elementType, width };
  });
}

/** Values of whole rows, ready to be encoded. */
export function rawScores(field: ScoreField, rowCount: number, pieces: readonly TensorValues[]): RawColumn {
  const {
    column: { leaf },
    elementType,
    width,
  } = field;
  const convert = signed[elementType] ?? ((value) => value);
  const values = pieces.flatMap((piece) => Array.from(piece as ArrayLike<RawValue>, convert));
  const levels = new Array<number>(values.length).fill(leaf.dLevelMax);
  const repetitions =
    width === 1 ? new Array<number>(rowCount).fill(0) : levels.map((_, index) => (index % width === 0 ? 0 : 1));
  return { leaf, definitionLevels: levels, repetitionLevels: repetitions, values };
}

/** Pages hold the bits of unsigned integers as signed ones. */
const signed: Partial<Record<ElementType, (value: RawValue) => RawValue>> = {
  uint32: (value) => Number(value) | 0,
  uint64: (value) => BigInt.asIntN(64, value as bigint),
};
