/** One row from its columns to the model's outputs, by the plainest way, and what a run's kernels make of it. */
import { join } from 'node:path';
import { elementBytes, viewOf, type Chunk, type TensorLayout, type TensorValues } from '../batch.ts';
import { sourceName } from '../contract/contract.ts';
import { DuckDbError, quoteIdentifier, quotePath, type Connection } from '../engines/duckdb/database.ts';
import { BoundRun, createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import type { Pointer } from '../engines/native.ts';
import { alignedBytes, createKernelMemory, type KernelMemory } from '../engines/wasm.ts';
import { loadContract } from '../contract/load.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { createFeaturizer } from '../featurize/featurizer.ts';
import type { StoredValue } from '../featurize/reference.ts';
import { rowWayRows } from '../limits.ts';
import { kernelBytes } from '../planning/kernel-bytes.ts';
import { resolveModel, type ResolvedModel } from '../planning/model.ts';
import { usedColumns } from '../planning/schemas.ts';
import { DuckDbTables } from '../planning/tables.ts';
import type { Footer } from '../read/footers.ts';
import { sourceSql } from '../read/projection.ts';
import { openChunks } from '../read/shard-reader.ts';
import { createVectorPlaces } from '../read/vector-places.ts';
import { constantTensor, slotBytes } from '../score/scorer.ts';
import { copyKnown, findRow } from './find-row.ts';
import { openFiles, type StageFiles } from './known-files.ts';
import type { RowFeature, RowRequest, RowWay } from './row-report.ts';
import { storedText, traceFeature } from './trace-feature.ts';

/**
 * @param stage for files of other formats
 * @throws NO_SHARDS or USAGE for a row that is not there, and what planning a run throws
 */
export async function followRow(
  connection: Connection,
  session: Pointer,
  request: RowRequest,
  stage: { readonly shards: StageFiles; readonly known: StageFiles },
): Promise<RowWay> {
  const { renames, where } = loadContract(request.model).contract;
  // Whichever rows a run takes: one that it leaves out is followed as well.
  const footers = await openFiles(connection, request.shards, stage.shards, renames);
  const { table, row } = findRow(connection, footers, request.row);
  const reader = new DuckDbTables(connection);
  const resolved = resolveModel({ reader, session }, request.model, footers);
  const from = `${table.numberedFrom} WHERE shard.file_row_number`;
  connection.execute(
    `COPY (SELECT * EXCLUDE (file_row_number) FROM ${from} = ${row}) TO ${quotePath(join(request.scratch, 'row.parquet'))} (FORMAT parquet)`,
  );
  try {
    const [[taken] = []] =
      where === undefined ? [[1]] : connection.rows(`SELECT ((${where}\n) IS TRUE)::INTEGER FROM ${from} = ${row}`);
    const leftOutBy = taken === 1 ? undefined : where;
    const { against, key = [], scratch } = request;
    if (against !== undefined && key.length === 0 && leftOutBy === undefined) {
      const known = await openFiles(connection, against, stage.known);
      copyKnown(connection, { footers, table, row, where }, known, join(scratch, 'known.parquet'));
    }
    return { ...readWay(connection, session, resolved, table, row), leftOutBy };
  } catch (error) {
    throw reader.explain(error, { ...table, rowCount: row + 1 }, resolved.requests) ?? error;
  }
}

function readWay(
  connection: Connection,
  session: Pointer,
  resolved: ResolvedModel,
  table: Footer & { readonly numberedFrom: string },
  row: number,
): Omit<RowWay, 'leftOutBy'> {
  const { requests, schemas, layouts } = resolved;
  const one = `FROM ${table.numberedFrom} WHERE shard.file_row_number = ${row}`;
  const used = [...usedColumns(requests, table.columns)];
  const texts = (items: readonly string[]): (string | null)[] =>
    items.length === 0
      ? []
      : connection
          .rows(`SELECT ${items.map((sql) => `CAST(${sql} AS VARCHAR)`).join(', ')} ${one}`)[0]!
          .map((value) => (value === null ? null : String(value)));
  const columns = texts(used.map((name) => `shard.${quoteIdentifier(name)}`));
  const sources = texts(requests.map(({ feature }) => sourceSql(feature.source)));
  const projection = schemas.projection(table, requests);
  const inputs = layouts.inputs;
  const kernels = createKernelMemory(
    kernelBytes({ inputs }) + alignedBytes(slotBytes({ inputs, outputs: [] }, rowWayRows)),
  );
  const places = createVectorPlaces(requests, kernels);
  const read = <T>(firstRow: number, rowCount: number, use: (chunk: Chunk, at: number) => T): T => {
    const rows = `shard.file_row_number BETWEEN ${firstRow} AND ${firstRow + rowCount - 1}`;
    const sql = `SELECT ${projection} FROM ${table.numberedFrom} WHERE ${rows}`;
    const source = openChunks(connection, sql, requests, places);
    try {
      return use(source.next()!, row - firstRow);
    } finally {
      source.close();
    }
  };
  const traced = read(row, 1, (chunk) => traceInputs(inputs, chunk, sources));
  const problem = traced.some(({ feature }) => feature.problem !== undefined);
  const stored = inputs.map((layout) => traced.flatMap((each) => (each.layout === layout ? each.stored : [])));
  // Kernels take four rows or more: rows around it come along, unless one of them cannot be used.
  const firstRow = Math.max(0, Math.min(row, table.rowCount - rowWayRows));
  let made: MadeInput[] = [];
  if (!problem) {
    try {
      const rowCount = Math.min(rowWayRows, table.rowCount - firstRow);
      made = read(firstRow, rowCount, (chunk, at) => makeInputs(inputs, chunk, at, kernels));
    } catch (error) {
      if (!(error instanceof BadRowError || error instanceof DuckDbError)) throw error;
      made = read(row, 1, (chunk, at) => makeInputs(inputs, chunk, at, undefined));
    }
  }
  return {
    version: 1,
    shard: table.name,
    row,
    columns: used.map((name, index) => ({
      name,
      type: table.columns.find((column) => column.name === name)!.type,
      value: columns[index]!,
    })),
    features: traced.map(({ feature, layout, index }) => ({
      ...feature,
      madeBy: madeBy(made[inputs.indexOf(layout)]?.reasons, index),
    })),
    differences: made.flatMap((each, index) => differencesOf(inputs[index]!, stored[index]!, each.values)),
    outputs: problem ? [] : runModel(session, resolved, stored),
  };
}

function madeBy(reasons: readonly (string | undefined)[] | undefined, index: number): string {
  if (reasons === undefined) return 'nothing: the row cannot be used';
  return reasons[index] === undefined ? 'SIMD kernel' : `JavaScript loop: ${reasons[index]}`;
}

interface TracedFeature {
  readonly layout: TensorLayout;
  /** Of the feature in its layout. */
  readonly index: number;
  readonly feature: Omit<RowFeature, 'madeBy'>;
  readonly stored: readonly StoredValue[];
}

/** Of a chunk of one row. */
function traceInputs(
  inputs: readonly TensorLayout[],
  chunk: Chunk,
  sources: readonly (string | null)[],
): TracedFeature[] {
  let vectorIndex = 0;
  return inputs.flatMap((layout) => {
    let position = 0;
    return layout.features.map((feature, index): TracedFeature => {
      const at = vectorIndex++;
      const { steps, stored, problem } = traceFeature(layout, index, chunk.vectors[at]!, 0, sources[at]!);
      const values = stored.map((value) => storedText(layout, value));
      const first = position;
      position += layout.featureWidths[index]!;
      const source = sourceName(feature.source);
      const words = { input: layout.name, position: first, kind: feature.kind, source, steps, values, problem };
      return { layout, index, feature: words, stored };
    });
  });
}

interface MadeInput {
  readonly reasons: readonly (string | undefined)[];
  readonly values: readonly StoredValue[];
}

/** All rows of the chunk as a run makes them; the values of one. */
function makeInputs(
  inputs: readonly TensorLayout[],
  chunk: Chunk,
  row: number,
  kernels: KernelMemory | undefined,
): MadeInput[] {
  let firstVector = 0;
  return inputs.map((layout) => {
    const { elementType, width } = layout;
    const length = chunk.rowCount * width;
    const bytes = length * elementBytes[elementType];
    const target: TensorValues =
      elementType === 'string'
        ? new Array<string>(length).fill('')
        : kernels === undefined
          ? viewOf(elementType, new ArrayBuffer(bytes), 0, length)
          : viewOf(elementType, kernels.memory.buffer, kernels.allocate(bytes), length);
    const featurizer = createFeaturizer(layout, firstVector, kernels);
    firstVector += layout.features.length;
    featurizer.fill(chunk, 0, chunk.rowCount, target, 0);
    return {
      reasons: featurizer.reasons,
      values: Array.from<StoredValue>(target.slice(row * width, (row + 1) * width) as ArrayLike<StoredValue>),
    };
  });
}

function differencesOf(
  layout: TensorLayout,
  reference: readonly StoredValue[],
  made: readonly StoredValue[],
): RowWay['differences'] {
  return reference.flatMap((value, position) =>
    Object.is(value, made[position])
      ? []
      : [
          {
            input: layout.name,
            position,
            reference: storedText(layout, value),
            made: storedText(layout, made[position]!),
          },
        ],
  );
}

/** By ONNX Runtime on the CPU, whatever scores a run; a model of fixed size gets the row as often as it wants. */
function runModel(
  session: Pointer,
  { layouts, description }: ResolvedModel,
  stored: readonly (readonly StoredValue[])[],
): RowWay['outputs'] {
  const rows = layouts.fixedBatchRows ?? 1;
  const inputs = layouts.inputs.map(({ name, elementType, rowShape }, index) => ({
    name,
    elementType,
    shape: [rows, ...rowShape],
    values: tensorOf(elementType, rows, stored[index]!),
  }));
  const constants = layouts.constants.map((constant) => constantTensor(constant, rows));
  const names = description.outputs.filter(({ kind }) => kind === 'tensor').map(({ name }) => ({ name }));
  const runOptions = createRunOptions();
  const run = new BoundRun(session, [...inputs, ...constants], names);
  try {
    run.run(runOptions);
    return run.fetch().map(({ name, elementType, shape, values }) => ({
      name,
      type: `${elementType} [${shape.join(', ')}]`,
      values: Array.from(values.slice(0, values.length / rows) as ArrayLike<StoredValue>, (value) =>
        typeof value === 'string' ? value : storedText({ elementType }, value),
      ),
    }));
  } finally {
    run.close();
    releaseRunOptions(runOptions);
  }
}

function tensorOf(
  elementType: TensorLayout['elementType'],
  rows: number,
  stored: readonly StoredValue[],
): TensorValues {
  const repeated = Array.from({ length: rows }, () => stored).flat();
  if (elementType === 'string') return repeated as string[];
  const length = repeated.length;
  const values = viewOf(elementType, new ArrayBuffer(length * elementBytes[elementType]), 0, length);
  repeated.forEach((value, index) => (values[index] = value as number));
  return values;
}
