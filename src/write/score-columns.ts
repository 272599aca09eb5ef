/** Output tensors as columns of the output file. */
import type { NumberArray, TensorValues } from '../batch.ts';
import { duckDbType } from '../engines/duckdb/types.ts';
import type { TableColumn, TableValues } from '../engines/duckdb/table-function.ts';
import { float16Value } from '../float16.ts';
import type { ModelPlan, OutputLayout, ScoreColumn } from '../plan.ts';

const typeOf: Readonly<Record<OutputLayout['elementType'], number>> = {
  float32: duckDbType.FLOAT,
  float64: duckDbType.DOUBLE,
  float16: duckDbType.FLOAT,
  int8: duckDbType.TINYINT,
  int16: duckDbType.SMALLINT,
  int32: duckDbType.INTEGER,
  int64: duckDbType.BIGINT,
  uint8: duckDbType.UTINYINT,
  uint16: duckDbType.USMALLINT,
  uint32: duckDbType.UINTEGER,
  uint64: duckDbType.UBIGINT,
  bool: duckDbType.BOOLEAN,
  string: duckDbType.VARCHAR,
};

/** Column types: a scalar, or a fixed-size list where a whole row of several values is written. */
export function tableColumns(model: Pick<ModelPlan, 'outputs' | 'columns'>): TableColumn[] {
  return model.columns.map((column) => {
    const output = model.outputs[column.output]!;
    return {
      name: column.name,
      type: typeOf[output.elementType],
      arrayLength: isList(column, output) ? output.width : undefined,
    };
  });
}

/** [N, K] with K > 1, or more dimensions than two. [N] and [N, 1] are scalars. */
function isList(column: ScoreColumn, output: OutputLayout): boolean {
  return column.position === undefined && output.width !== 1;
}

/** Values of rows [firstRow, firstRow + rowCount) for each column. Views where the column is a whole tensor. */
export function sliceColumns(
  model: Pick<ModelPlan, 'outputs' | 'columns'>,
  outputs: readonly TensorValues[],
  firstRow: number,
  rowCount: number,
): TableValues[] {
  return model.columns.map((column) => {
    const { width, elementType } = model.outputs[column.output]!;
    const values = outputs[column.output]!;
    const whole = column.position === undefined || width === 1;
    const slice = whole
      ? sliceOf(values, firstRow * width, rowCount * width)
      : pick(values, width, column.position!, firstRow, rowCount);
    return elementType === 'float16' ? Float32Array.from(slice as Uint16Array, float16Value) : slice;
  });
}

function sliceOf(values: TensorValues, from: number, length: number): NumberArray | string[] {
  return Array.isArray(values) ? values.slice(from, from + length) : values.subarray(from, from + length);
}

/** One position of each row. */
function pick(
  values: TensorValues,
  width: number,
  position: number,
  firstRow: number,
  rowCount: number,
): NumberArray | string[] {
  if (Array.isArray(values))
    return Array.from({ length: rowCount }, (_, row) => values[(firstRow + row) * width + position]!);
  const picked = values.slice(0, rowCount);
  for (let row = 0, at = firstRow * width + position; row < rowCount; row++, at += width) picked[row] = values[at]!;
  return picked;
}
