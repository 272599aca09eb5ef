/** Fits a model folder to a table: input tensors, output columns, and the SQL between table and tensors. */
import { elementBytes, type ColumnRequest, type TensorValues } from '../batch.ts';
import type { Contract } from '../contract/contract.ts';
import { contractHash } from '../contract/hash.ts';
import { contractFromModel, loadContract } from '../contract/load.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions, type BoundTensor } from '../engines/onnxruntime/run.ts';
import { describeSession, type ModelDescription } from '../engines/onnxruntime/session.ts';
import { requestsOf } from '../featurize/featurizer.ts';
import type { ModelPlan, OutputLayout } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import { layOutColumns, layOutInputs, usedOutputs, type InputLayouts } from '../score/layout.ts';
import { constantTensor, declaredOutputs, probeOutputs } from '../score/scorer.ts';
import { identifyModel } from './model-identity.ts';
import { estimateRows, slotBytesMax } from '../limits.ts';
import { featurizeFirstRows, readSample, type Sample } from './sample.ts';
import { SchemaPlanner } from './schemas.ts';
import type { TableReader } from './tables.ts';

/** What the planner's thread holds open. */
export interface PlanningEngines {
  readonly reader: TableReader;
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
export function resolveModel(
  engines: PlanningEngines,
  modelPath: string,
  tables: readonly SourceTable[],
): ResolvedModel {
  const description = describeSession(engines.session);
  const loaded = loadContract(modelPath);
  const contract = loaded.hasFile ? loaded.contract : contractWithoutFile(loaded.contract.modelPath, description);
  const schemas = new SchemaPlanner(engines.reader, tables);
  const layouts = layOutInputs(contract, description, (feature) => schemas.shapeOf(feature.source));
  return { contract, description, layouts, schemas, requests: layouts.inputs.flatMap(requestsOf) };
}

/** Input names are column names. */
function contractWithoutFile(modelPath: string, description: ModelDescription): Contract {
  const inputs = description.inputs.flatMap(({ name, elementType, shape }) =>
    elementType === undefined
      ? []
      : [{ name, elementType, rowShape: (shape ?? []).slice(1).map((size) => (typeof size === 'number' ? size : -1)) }],
  );
  return contractFromModel(modelPath, inputs);
}

/** The model's part of a plan, and the rows that it was tried on. */
export interface DescribedModel {
  readonly model: ModelPlan;
  /** Of the first table that has rows; none where one of them cannot be used, or there are none. */
  readonly firstRows: Sample;
}

/** @throws BAD_CONTRACT, BAD_MODEL, BAD_ROW */
export function planModel(
  engines: PlanningEngines,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
): DescribedModel {
  const { contract, layouts } = resolved;
  const table = tables.find((candidate) => candidate.rowCount > 0);
  const firstRows = table === undefined ? noRows : readFirstRows(engines.reader, table, resolved);
  const outputs = findOutputs(engines, table, resolved, firstRows);
  const model = {
    ...identifyModel(contract.modelPath),
    contractSha256: contractHash(contract),
    ...layouts,
    outputs,
    columns: layOutColumns(contract, outputs),
  };
  return { model, firstRows };
}

const noRows: Sample = { rowCount: 0, values: [] };

/** Rows on which the output shapes are tried: more than one, so that an output of one row for the whole batch is seen. */
const probeRows = 3;

/** As many as are timed too: one query gives both. */
function readFirstRows(reader: TableReader, table: SourceTable, resolved: ResolvedModel): Sample {
  const { inputs, fixedBatchRows = probeRows } = resolved.layouts;
  const bytesPerRow = inputs.reduce((sum, { width, elementType }) => sum + width * elementBytes[elementType], 0);
  const rows = Math.max(fixedBatchRows, Math.min(estimateRows, Math.floor(slotBytesMax / Math.max(1, bytesPerRow))));
  return readSample(reader, table, resolved, Math.min(rows, table.rowCount));
}

/** Shapes of the used outputs, from a table's first rows. */
function findOutputs(
  engines: PlanningEngines,
  table: SourceTable | undefined,
  resolved: ResolvedModel,
  firstRows: Sample,
): OutputLayout[] {
  const used = usedOutputs(resolved.contract, resolved.description);
  if (table === undefined) return declaredOutputs(used);
  const rows = resolved.layouts.fixedBatchRows ?? probeRows;
  // Too few: the last one is repeated. Not usable: says which one is not.
  const sample =
    firstRows.rowCount >= rows
      ? firstRows
      : { rowCount: rows, values: featurizeFirstRows(engines.reader, table, resolved, rows) };
  const runOptions = createRunOptions();
  try {
    return probeOutputs(engines.session, runOptions, boundTensors(resolved, sample, rows), used, rows);
  } finally {
    releaseRunOptions(runOptions);
  }
}

/** What the model is run on: the sample's first rows, and the constants for as many. */
export function boundTensors(
  { layouts }: Pick<ResolvedModel, 'layouts'>,
  sample: Sample,
  rowCount: number,
): BoundTensor[] {
  const inputs = layouts.inputs.map(({ name, elementType, rowShape, width }, index) => ({
    name,
    elementType,
    shape: [rowCount, ...rowShape],
    values: firstValues(sample.values[index]!, rowCount * width),
  }));
  return [...inputs, ...layouts.constants.map((constant) => constantTensor(constant, rowCount))];
}

function firstValues(values: TensorValues, count: number): TensorValues {
  return Array.isArray(values) ? values.slice(0, count) : values.subarray(0, count);
}
