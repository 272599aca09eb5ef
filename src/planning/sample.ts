/** Rows of the shards as input tensors, for trying the model before the run: row-major, whatever scores later. */
import { elementBytes, viewOf, type Chunk, type TensorLayout, type TensorValues } from '../batch.ts';
import type { ElementType } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { createFeaturizer } from '../featurize/featurizer.ts';
import type { SourceTable } from '../read/footers.ts';
import { placeOfRow } from '../read/row-failure.ts';
import type { ResolvedModel } from './model.ts';
import type { TableReader } from './tables.ts';

/** Input tensors of a shard's first rows, the last of them repeated where there are fewer. @throws BAD_ROW, BAD_SHARD */
export function featurizeFirstRows(
  reader: TableReader,
  table: SourceTable,
  resolved: ResolvedModel,
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
      for (let row = 0; row < rowCount; row++) fill(tensors, chunk, Math.min(row, chunk.rowCount - 1), 1, values, row);
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
}

/** A shard's first rows, at most `rowsMax`, up to the first one that cannot be used: the run will say what is wrong with it. */
export function readSample(reader: TableReader, table: SourceTable, resolved: ResolvedModel, rowsMax: number): Sample {
  const tensors = resolved.layouts.inputs;
  const values = tensors.map((tensor) => allocateTensor(tensor, rowsMax));
  let rowCount = 0;
  try {
    const projection = resolved.schemas.projection(table, resolved.requests);
    const source = reader.openFirst(table, projection, resolved.requests, rowsMax);
    try {
      for (let chunk = source.next(); chunk !== undefined && rowCount < rowsMax; chunk = source.next()) {
        const take = Math.min(chunk.rowCount, rowsMax - rowCount);
        fill(tensors, chunk, 0, take, values, rowCount);
        rowCount += take;
      }
    } finally {
      source.close();
    }
  } catch (error) {
    const isRow = error instanceof BadRowError || reader.explain(error, table, resolved.requests) !== undefined;
    if (!isRow) throw error;
  }
  return { rowCount, values };
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
