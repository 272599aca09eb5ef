/** Rows of the shards as input tensors, for trying the model before the run: row-major, whatever scores later. */
import { elementBytes, viewOf, type Chunk, type TensorLayout, type TensorValues } from '../batch.ts';
import type { ElementType } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import { estimateRows, slotBytesMax } from '../limits.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { createFeaturizer } from '../featurize/featurizer.ts';
import { columnBytes, type SourceTable } from '../read/footers.ts';
import { placeOfRow } from '../read/row-failure.ts';
import { countedBlocks } from '../relation.ts';
import type { MadeUpRows } from '../score/kernels/made-up.ts';
import type { ResolvedModel } from './model.ts';
import { usedColumns } from './schemas.ts';
import { planStretches, type SampledShard, type Stretch } from './stretches.ts';
import type { TableReader } from './tables.ts';

/** Input tensors of a table's first rows, in the plan's order. */
export interface FirstRows {
  readonly rowCount: number;
  readonly values: readonly TensorValues[];
}

/**
 * At least `rowsMin` rows, the last of them repeated where there are fewer; some more where they can be used, to time the
 * model on: one query gives both.
 * @throws BAD_ROW, BAD_SHARD for the first `rowsMin`
 */
export function readFirstRows(
  reader: TableReader,
  table: SourceTable,
  resolved: Pick<ResolvedModel, 'layouts' | 'requests' | 'schemas'>,
  rowsMin: number,
): FirstRows {
  const rowBytes = resolved.layouts.inputs.reduce(
    (sum, { width, elementType }) => sum + width * elementBytes[elementType],
    0,
  );
  const wanted = Math.min(estimateRows, table.rowCount, Math.floor(slotBytesMax / Math.max(1, rowBytes)));
  if (wanted > rowsMin) {
    try {
      return { rowCount: wanted, values: featurizeFirstRows(reader, table, resolved, wanted) };
    } catch (error) {
      if (!(error instanceof TandemError)) throw error;
      // One of the others: the run will say what is wrong with it.
    }
  }
  return { rowCount: rowsMin, values: featurizeFirstRows(reader, table, resolved, rowsMin) };
}

function featurizeFirstRows(
  reader: TableReader,
  table: SourceTable,
  resolved: Pick<ResolvedModel, 'layouts' | 'requests' | 'schemas'>,
  rowCount: number,
): TensorValues[] {
  const tensors = resolved.layouts.inputs;
  const values = tensors.map((tensor) => allocateTensor(tensor, rowCount));
  const projection = resolved.schemas.projection(table, resolved.requests);
  try {
    const source = reader.openFirst(table, projection, resolved.requests, rowCount);
    try {
      const chunk = source.next();
      if (chunk === undefined)
        throw new TandemError('BAD_SHARD', 'Expected rows, got none.', { place: { shard: table.name } });
      const here = Math.min(rowCount, chunk.rowCount);
      fill(tensors, chunk, 0, here, values, 0);
      for (let row = here; row < rowCount; row++) fill(tensors, chunk, here - 1, 1, values, row);
    } finally {
      source.close();
    }
  } catch (error) {
    throw firstRowsError(error, reader, table, resolved);
  }
  return values;
}

/** What goes wrong with a table's first rows, by its place. */
export function firstRowsError(
  error: unknown,
  reader: TableReader,
  table: SourceTable,
  { requests }: Pick<ResolvedModel, 'requests'>,
): unknown {
  if (!(error instanceof BadRowError)) return reader.explain(error, table, requests) ?? error;
  const { rowGroupRows = [] } = table;
  const row = reader.fileRow(table, error.rowInChunk);
  return new TandemError('BAD_ROW', error.message, {
    place: { ...placeOfRow({ name: table.name, rowGroupRows }, row), column: error.featureLabel },
    remedy: error.remedy,
    cause: error,
  });
}

/** Rows to try two ways of scoring on. */
export interface Sample {
  readonly rowCount: number;
  /** Of each input, in the plan's order. */
  readonly values: readonly TensorValues[];
  /** `row 17 of part-3.parquet` */
  readonly nameOf: (row: number) => string;
}

/** At most `rowsMax` rows from here and there, of each stretch those before the first one that cannot be used: the run will say what is wrong with it. */
export function readSample(
  reader: TableReader,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  rowsMax: number,
): Sample {
  const shards = tables.map((table) => ({
    ...sampledRows(table),
    bytes: columnBytes(table, usedColumns(resolved.requests, table.columns)),
  }));
  const values = resolved.layouts.inputs.map((tensor) => allocateTensor(tensor, rowsMax));
  const read: { readonly row: number; readonly table: SourceTable; readonly firstRow: number }[] = [];
  let rowCount = 0;
  for (const { shard, ...stretch } of planStretches(shards, rowsMax)) {
    const table = tables[shard]!;
    read.push({ row: rowCount, table, firstRow: stretch.firstRow });
    rowCount += readStretch(reader, table, resolved, stretch, values, rowCount);
  }
  const nameOf = (row: number): string => {
    const stretch = read.findLast((each) => each.row <= row)!;
    return `row ${reader.fileRow(stretch.table, row - stretch.row, stretch.firstRow)} of ${stretch.table.name}`;
  };
  return { rowCount, values, nameOf };
}

/** Where a table's rows lie in its file. Of a selection: up to its last block that has any. */
function sampledRows({
  numberedFrom,
  rowCount,
  rowGroupRows,
  takenBlocks,
}: SourceTable): Pick<SampledShard, 'rowCount' | 'rowGroupRows'> {
  if (numberedFrom === undefined || rowGroupRows === undefined) return { rowCount, rowGroupRows: undefined };
  if (takenBlocks === undefined || rowCount === 0) return { rowCount, rowGroupRows };
  const last = takenBlocks.findLastIndex((rows) => rows > 0);
  const end = countedBlocks(rowGroupRows)
    .slice(0, last + 1)
    .reduce((sum, rows) => sum + rows, 0);
  let before = 0;
  return { rowCount: end, rowGroupRows: rowGroupRows.filter((rows) => (before += rows) - rows < end) };
}

/** Into the rows of `values` from `row` on; returns how many. */
function readStretch(
  reader: TableReader,
  table: SourceTable,
  { layouts, requests, schemas }: ResolvedModel,
  { firstRow, rowCount }: Pick<Stretch, 'firstRow' | 'rowCount'>,
  values: readonly TensorValues[],
  row: number,
): number {
  let found = 0;
  try {
    const projection = schemas.projection(table, requests);
    const source =
      firstRow === 0
        ? reader.openFirst(table, projection, requests, rowCount)
        : reader.openStretch(table, projection, requests, firstRow, rowCount);
    try {
      for (let chunk = source.next(); chunk !== undefined && found < rowCount; chunk = source.next()) {
        const take = Math.min(chunk.rowCount, rowCount - found);
        fill(layouts.inputs, chunk, 0, take, values, row + found);
        found += take;
      }
    } finally {
      source.close();
    }
  } catch (error) {
    const isRow = error instanceof BadRowError || reader.explain(error, table, requests) !== undefined;
    if (!isRow) throw error;
  }
  return found;
}

/** Rows of a sample, changed, one after the other, again from the first one where they are fewer than the changes. */
export function makeUpSample(sample: Sample, inputs: readonly TensorLayout[], rows: MadeUpRows): Sample {
  const values = inputs.map((tensor, index) => {
    const { width } = tensor;
    const target = allocateTensor(tensor, rows.length);
    for (let row = 0; row < rows.length; row += sample.rowCount) {
      const count = Math.min(sample.rowCount, rows.length - row);
      copyValues(sample.values[index]!, 0, count * width, target, row * width);
    }
    return target;
  });
  const changed = new Set<number>();
  rows.forEach((changes, row) => {
    for (const { input, column, value, isFactor } of changes) {
      changed.add(input);
      const target = values[input] as Float64Array;
      const at = row * inputs[input]!.width + column;
      target[at] = isFactor ? target[at]! * value : value;
    }
  });
  const shown = (row: number): string[] =>
    [...changed].map((input) => {
      const { name, width } = inputs[input]!;
      return `${name} = [${shownValues((values[input] as Float64Array).subarray(row * width, (row + 1) * width))}]`;
    });
  return { rowCount: rows.length, values, nameOf: (row) => `a made-up row (${shown(row).join(', ')})` };
}

const shownValuesMax = 40;

function shownValues(values: Float64Array): string {
  const more = values.length > shownValuesMax ? `, and ${values.length - shownValuesMax} more` : '';
  return `${values.subarray(0, shownValuesMax).join(', ')}${more}`;
}

/** Both are of one class: tensors of one layout. */
export function copyValues(from: TensorValues, first: number, count: number, target: TensorValues, at: number): void {
  if (Array.isArray(from)) from.slice(first, first + count).forEach((text, index) => (target[at + index] = text));
  else (target as Float64Array).set(from.subarray(first, first + count) as Float64Array, at);
}

function fill(
  tensors: readonly TensorLayout[],
  chunk: Chunk,
  from: number,
  rowCount: number,
  values: readonly TensorValues[],
  row: number,
): void {
  let firstVector = 0;
  tensors.forEach((tensor, index) => {
    createFeaturizer(tensor, firstVector).fill(chunk, from, rowCount, values[index]!, row);
    firstVector += tensor.features.length;
  });
}

function allocateTensor(tensor: TensorLayout, rowCount: number): TensorValues {
  const length = rowCount * tensor.width;
  const elementType: ElementType = tensor.elementType;
  return elementType === 'string'
    ? new Array<string>(length).fill('')
    : viewOf(elementType, new ArrayBuffer(length * elementBytes[elementType]), 0, length);
}
