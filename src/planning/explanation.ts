/** How the input tensors are made: what SQL selects, which kernel computes, and at what rate on this machine. */
import { type Chunk, type ColumnVector, elementBytes, type NumberArray, type TensorLayout, viewOf } from '../batch.ts';
import { vectorRows } from '../engines/duckdb/types.ts';
import { alignedBytes, createKernelMemory, type KernelMemory } from '../engines/wasm.ts';
import { createFeaturizer, type Featurizer } from '../featurize/featurizer.ts';
import { explainSeconds, explainStretches } from '../limits.ts';
import type { TensorExplanation } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import { createVectorPlaces } from '../read/vector-places.ts';
import { slotBytes } from '../score/scorer.ts';
import { slotRowsFor } from './allocate.ts';
import { kernelBytes } from './kernel-bytes.ts';
import type { ResolvedModel } from './model.ts';
import { firstRowsError } from './sample.ts';
import type { TableReader } from './tables.ts';

/**
 * Featurizes the first rows of the first table that has any, as a run would, and no more than a slot holds; none: no
 * table has rows.
 * @param inputs as the run lays them out
 * @throws BAD_ROW, BAD_COLUMN, BAD_SHARD
 */
export function explainInputs(
  reader: TableReader,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  inputs: readonly TensorLayout[],
): TensorExplanation[] {
  const table = tables.find((candidate) => candidate.rowCount > 0);
  if (table === undefined) return [];
  const { requests, schemas } = resolved;
  const tensors = { inputs, outputs: [] };
  const rowsMax = Math.min(vectorRows, slotRowsFor(slotBytes(tensors, 64) / 64, undefined));
  const targets = slotBytes(tensors, rowsMax);
  const kernels = createKernelMemory(kernelBytes({ inputs }) + alignedBytes(targets));
  const places = createVectorPlaces(requests, kernels);
  const rowsWanted = Math.min(rowsMax, table.rowCount);
  const source = reader.openFirst(table, schemas.projection(table, requests), requests, rowsWanted, places);
  try {
    const chunk = source.next();
    if (chunk === undefined) return [];
    let firstVector = 0;
    return inputs.map((layout) => {
      const featurizer = createFeaturizer(layout, firstVector, kernels);
      const rowCount = Math.min(rowsMax, chunk.rowCount);
      const rowsPerSecond = measure(featurizer, chunk, rowCount, kernels);
      const first = firstVector;
      firstVector += layout.features.length;
      const features = layout.features.map((_, index) => ({
        sql: schemas.expression(table, requests[first + index]!),
        vector: vectorWords(chunk.vectors[first + index]!),
        loopBecause: featurizer.reasons[index],
      }));
      return { name: layout.name, rowsPerSecond, rowCount, features };
    });
  } catch (error) {
    throw firstRowsError(error, reader, table, resolved);
  } finally {
    source.close();
  }
}

/** Rows a second of featurizing the first rows over and over. */
function measure(featurizer: Featurizer, chunk: Chunk, rowCount: number, kernels: KernelMemory): number {
  const { layout } = featurizer;
  const length = rowCount * layout.width;
  const target =
    layout.elementType === 'string'
      ? new Array<string>(length).fill('')
      : viewOf(
          layout.elementType,
          kernels.memory.buffer,
          kernels.allocate(length * elementBytes[layout.elementType]),
          length,
        );
  // The best of a few stretches: the first ones go to compiling, which a thread of V8's does in the background.
  let best = 0;
  for (let stretch = 0; stretch < explainStretches; stretch++) {
    const startedMs = performance.now();
    let [rows, seconds] = [0, 0];
    while (seconds < explainSeconds / explainStretches) {
      featurizer.fill(chunk, 0, rowCount, target, 0);
      rows += rowCount;
      seconds = (performance.now() - startedMs) / 1000;
    }
    best = Math.max(best, rows / seconds);
  }
  return best;
}

/** `float32`, `float64 with nulls`, `codes of categories`, `lists of float32`. */
function vectorWords(vector: ColumnVector): string {
  switch (vector.kind) {
    case 'number':
      return `${typeName(vector.values)}${vector.validity === null ? '' : ' with nulls'}`;
    case 'category':
      return 'codes of categories';
    case 'text':
      return 'text';
    case 'list': {
      const hasNulls = vector.validity !== null || vector.valueValidity !== null;
      return `lists of ${typeName(vector.values)}${hasNulls ? ' with nulls' : ''}`;
    }
  }
}

/** Float64Array: `float64`; BigInt64Array: `int64`. */
function typeName(values: NumberArray): string {
  return values.constructor.name.replace('Array', '').replace('Big', '').toLowerCase();
}
