/** From options to a {@link RunPlan}: reads footers, fits the contract to model and shards, tries the model on a few rows. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { elementBytes, viewOf, type ColumnRequest, type TensorLayout, type TensorValues } from '../batch.ts';
import type { Contract, ElementType } from '../contract/contract.ts';
import { contractHash } from '../contract/hash.ts';
import { contractFromModel, loadContract } from '../contract/load.ts';
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { describeSession, type ModelDescription } from '../engines/onnxruntime/session.ts';
import { TandemError } from '../errors.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { createFeaturizer, requestsOf } from '../featurize/featurizer.ts';
import { memoryShare, processBytesBase } from '../limits.ts';
import { coreBound, memoryBound, type Bound } from '../machine.ts';
import type { PlainScoreOptions } from '../messages.ts';
import type { ModelPlan, OutputLayout, PlannedSchema, PlannedShard, RunPlan } from '../plan.ts';
import { findShards } from '../read/find-shards.ts';
import { columnBytes, readFooters, readParquet, rowGroupBytesMax, shardError, type Footer } from '../read/footers.ts';
import { openChunks } from '../read/shard-reader.ts';
import { declaredOutputs, constantTensor, probeOutputs, slotBytes } from '../score/scorer.ts';
import { layOutColumns, layOutInputs, usedOutputs, type InputLayouts } from '../score/layout.ts';
import { inspectOutput, type RunIdentity } from '../write/output-folder.ts';
import { chooseSplits, chooseThreads, cutSpans, memoryTable, slotRowsFor, type ShardSize } from './allocate.ts';
import { SchemaPlanner, usedColumns } from './schemas.ts';

/** What the planner's thread holds open. */
export interface PlanningEngines {
  readonly connection: Connection;
  readonly session: Pointer;
}

/** A contract as the model and the first shard make it complete. */
export interface ResolvedModel {
  readonly contract: Contract;
  readonly description: ModelDescription;
  readonly layouts: InputLayouts;
  readonly requests: readonly ColumnRequest[];
  readonly schemas: SchemaPlanner;
}

/** Fits contract, model and the first shard's columns together. @throws BAD_CONTRACT, BAD_MODEL, BAD_COLUMN */
export function resolveModel(engines: PlanningEngines, modelPath: string, footers: readonly Footer[]): ResolvedModel {
  const description = describeSession(engines.session);
  const loaded = loadContract(modelPath);
  const contract = loaded.hasFile ? loaded.contract : contractWithoutFile(modelPath, description);
  const schemas = new SchemaPlanner(engines.connection, footers);
  const layouts = layOutInputs(contract, description, (feature) => schemas.shapeOf(feature.source));
  return { contract, description, layouts, schemas, requests: layouts.inputs.flatMap(requestsOf) };
}

/** Input names are column names. */
function contractWithoutFile(modelPath: string, description: ModelDescription): Contract {
  const inputs = description.inputs.flatMap(({ name, elementType, shape }) =>
    elementType === undefined ? [] : [{ name, elementType, rowShape: (shape ?? []).slice(1).map((size) => (typeof size === 'number' ? size : -1)) }]);
  return contractFromModel(modelPath, inputs);
}

/** @throws every error that can be known before a row is scored */
export function buildPlan(engines: PlanningEngines, footers: readonly Footer[], options: PlainScoreOptions): RunPlan {
  const resolved = resolveModel(engines, options.model, footers);
  const { contract, layouts, requests, schemas } = resolved;
  const keep = options.keep === 'all' ? undefined : options.keep ?? contract.keep;
  const outputs = findOutputs(engines, footers, resolved);
  const model: ModelPlan = {
    ...fileIdentity(contract.modelPath),
    contractSha256: contractHash(contract),
    ...layouts,
    outputs,
    columns: layOutColumns(contract, outputs),
  };
  const identity: RunIdentity = { modelSha256: model.sha256, contractSha256: model.contractSha256, keep: keep ?? 'all' };
  const planned: PlannedSchema[] = schemas.plan(requests, keep, model.columns.map((column) => column.name));
  const output = resolve(options.output);
  const whole = inspectOutput(output, identity, footers, options.overwrite ?? false);
  const used = usedColumns(requests, footers[0]!.columns);
  const reads = (footer: Footer): ReadonlySet<string> | 'all' => (keep === undefined ? 'all' : new Set([...used, ...keep]));
  const shardSizes = footers.map((footer): ShardSize => ({
    ...footer, rowGroupBytesMax: rowGroupBytesMax(footer, reads(footer)), splittable: isSplittable(footer, outputs),
  }));
  const bytesPerRow = slotBytes(model, 64) / 64;
  const batchSize = model.fixedBatchRows ?? options.batchSize;
  const slotRows = slotRowsFor(bytesPerRow, batchSize);
  const allocation = allocate(shardSizes, whole, model, slotRows, options);
  const pending = footers.filter((footer) => !whole.has(footer.name));
  return {
    version: 1, device: 'cpu', model,
    shards: footers.map((footer, index): PlannedShard => ({
      index, path: footer.path, name: footer.name, bytes: footer.bytes, modifiedMs: footer.modifiedMs, rowCount: footer.rowCount,
      rowGroupRows: footer.rowGroupRows, rowGroupBytesMax: shardSizes[index]!.rowGroupBytesMax,
      schema: schemas.indexOf(footer), mode: allocation.split.has(index) ? 'split' : 'whole', done: whole.has(footer.name),
    })),
    schemas: planned,
    rowsTotal: sum(pending.map((footer) => footer.rowCount)),
    keep: keep ?? footers[0]!.columns.map((column) => column.name),
    keepsAll: keep === undefined,
    keepBytes: sum(pending.map((footer) => columnBytes(footer, keep === undefined ? 'all' : new Set(keep)))),
    featureBytes: sum(pending.map((footer) => columnBytes(footer, used))),
    output, compression: options.compression ?? 'snappy',
    threads: allocation.threads, threadsBound: allocation.threadsBound,
    batchSize, slotRows,
    memory: allocation.memory, memoryLimitBytes: allocation.limit.value, memoryBound: allocation.limit.setBy,
    warnings: [],
  };
}

/** `file_row_number` addresses spans; a column of that name would hide it. Strings do not fit into a ring of fixed rows. */
function isSplittable(footer: Footer, outputs: readonly OutputLayout[]): boolean {
  return !footer.columns.some((column) => column.name.toLowerCase() === 'file_row_number')
    && !outputs.some((output) => output.elementType === 'string');
}

interface Allocation {
  readonly threads: number;
  readonly threadsBound: string;
  readonly split: ReadonlySet<number>;
  readonly memory: RunPlan['memory'];
  readonly limit: Bound;
}

function allocate(
  shards: readonly ShardSize[], whole: ReadonlySet<string>, model: ModelPlan, slotRows: number, options: PlainScoreOptions,
): Allocation {
  // What this process takes already is not "available" any more, but is part of what it may use.
  const machineLimit = memoryBound(memoryShare);
  const limit = options.memoryBytes === undefined
    ? { ...machineLimit, value: machineLimit.value + processBytesBase } : { value: options.memoryBytes, setBy: '--memory' };
  const wanted = options.threads === undefined ? coreBound() : { value: options.threads, setBy: '--threads' };
  const pending = shards.map((shard, index) => ({ ...shard, index })).filter((shard) => !whole.has(shard.name));
  const bytes = slotBytes(model, slotRows);
  const { threads, setBy } = chooseThreads(wanted, pending, bytes, limit);
  const splits = chooseSplits(pending, threads);
  const split = pending.filter((_, position) => splits[position]);
  const perRow = scoreBytesPerRow(model);
  const rings = split.map((shard) => cutSpans(shard, threads, perRow, slotRows).capacityRows * perRow);
  return {
    threads, threadsBound: setBy, limit,
    split: new Set(split.map((shard) => shard.index)),
    memory: memoryTable(threads, bytes, pending.map((shard) => shard.rowGroupBytesMax), rings),
  };
}

/** Bytes of one row of all used outputs. */
export function scoreBytesPerRow(model: Pick<ModelPlan, 'outputs'>): number {
  return sum(model.outputs.map((output) => output.width * elementBytes[output.elementType]));
}

function fileIdentity(path: string): Pick<ModelPlan, 'path' | 'bytes' | 'sha256'> {
  const hash = createHash('sha256').update(readFileSync(path));
  return { path, bytes: statSync(path).size, sha256: hash.digest('hex') };
}

/** Rows on which the output shapes are tried: more than one, so that an output of one row for the whole batch is seen. */
const probeRows = 3;

/** Shapes of the used outputs, from the first rows of the first shard that has any. */
function findOutputs(engines: PlanningEngines, footers: readonly Footer[], resolved: ResolvedModel): OutputLayout[] {
  const used = usedOutputs(resolved.contract, resolved.description);
  const footer = footers.find((candidate) => candidate.rowCount > 0);
  if (footer === undefined) return declaredOutputs(used);
  const rows = resolved.layouts.fixedBatchRows ?? probeRows;
  const tensors = resolved.layouts.inputs;
  const values = featurizeFirstRows(engines.connection, footer, resolved, rows);
  const inputs = tensors.map((tensor, index) => ({
    name: tensor.name, elementType: tensor.elementType, shape: [rows, ...tensor.rowShape], values: values[index]!,
  }));
  const constants = resolved.layouts.constants.map((constant) => constantTensor(constant, rows));
  const runOptions = createRunOptions();
  try {
    return probeOutputs(engines.session, runOptions, [...inputs, ...constants], used.map((value) => value.name), rows);
  } finally {
    releaseRunOptions(runOptions);
  }
}

/** Input tensors of the shard's first rows, the last of them repeated where there are fewer. */
function featurizeFirstRows(connection: Connection, footer: Footer, resolved: ResolvedModel, rowCount: number): TensorValues[] {
  const tensors = resolved.layouts.inputs;
  const values = tensors.map((tensor) => allocateTensor(tensor, rowCount));
  const sql = `SELECT ${resolved.schemas.projection(footer, resolved.requests)} FROM ${readParquet(footer.path)} AS shard LIMIT ${rowCount}`;
  try {
    const source = openChunks(connection, sql, resolved.requests);
    try {
      const chunk = source.next();
      if (chunk === undefined) throw new TandemError('BAD_SHARD', 'Expected rows, got none.', { place: { shard: footer.name } });
      let firstVector = 0;
      tensors.forEach((tensor, index) => {
        const featurizer = createFeaturizer(tensor, firstVector);
        for (let row = 0; row < rowCount; row++) featurizer.fill(chunk, Math.min(row, chunk.rowCount - 1), 1, values[index]!, row);
        firstVector += tensor.features.length;
      });
    } finally {
      source.close();
    }
  } catch (error) {
    if (error instanceof DuckDbError) throw shardError(error, footer.name);
    if (error instanceof BadRowError) {
      throw new TandemError('BAD_ROW', error.message, {
        place: { shard: footer.name, rowGroup: 0, row: error.rowInChunk, column: error.featureLabel }, remedy: error.remedy, cause: error,
      });
    }
    throw error;
  }
  return values;
}

function allocateTensor(tensor: TensorLayout, rowCount: number): TensorValues {
  const length = rowCount * tensor.width;
  const elementType: ElementType = tensor.elementType;
  return elementType === 'string' ? new Array<string>(length).fill('') : viewOf(elementType, new ArrayBuffer(length * elementBytes[elementType]), 0, length);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Shards of the patterns with their footers. @throws NO_SHARDS, BAD_SHARD */
export async function readShardFooters(connection: Connection, patterns: string | readonly string[]): Promise<Footer[]> {
  return readFooters(connection, await findShards(typeof patterns === 'string' ? patterns : [...patterns]));
}
