/** Fits a model folder to a table: input tensors, output columns, and the SQL between table and tensors. */
import type { ColumnRequest, TensorValues } from '../batch.ts';
import type { Contract } from '../contract/contract.ts';
import { contractHash } from '../contract/hash.ts';
import { contractFromModel, loadContract, type LoadedContract } from '../contract/load.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions, type BoundTensor } from '../engines/onnxruntime/run.ts';
import { describeSession, type ModelDescription } from '../engines/onnxruntime/session.ts';
import { TandemError } from '../errors.ts';
import { requestsOf } from '../featurize/featurizer.ts';
import type { ModelPlan, OutputLayout } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import { layOutColumns, layOutInputs, usedOutputs, type InputLayouts } from '../score/layout.ts';
import { constantTensor, declaredOutputs, probeOutputs } from '../score/scorer.ts';
import { identifyModel } from './model-identity.ts';
import { readFirstRows, type FirstRows } from './sample.ts';
import { SchemaPlanner } from './schemas.ts';
import type { TableReader } from './tables.ts';

/** What the planner's thread holds open. */
export interface PlanningEngines {
  readonly reader: TableReader;
  /** 0n: as in `Engines`. */
  readonly session: Pointer;
}

/** A contract as the model and the first shard make it complete. */
export interface ResolvedModel {
  readonly contract: Contract;
  readonly description: ModelDescription;
  readonly layouts: InputLayouts;
  readonly requests: readonly ColumnRequest[];
  readonly schemas: SchemaPlanner;
  /** Of the first table that has any, at least as many as the model's shapes are tried on; read when asked for first. @throws BAD_ROW, BAD_SHARD */
  readonly firstRows: () => FirstRows | undefined;
}

/** Fits contract, model and the first shard's columns together. @throws BAD_CONTRACT, BAD_MODEL, BAD_COLUMN */
export function resolveModel(
  engines: PlanningEngines,
  modelPath: string,
  tables: readonly SourceTable[],
): ResolvedModel {
  return fitContract(engines.reader, loadContract(modelPath), tables, () => describeSession(engines.session));
}

/** The same for a contract that is loaded. @param describe what the contract is to feed */
export function fitContract(
  reader: TableReader,
  loaded: LoadedContract,
  tables: readonly SourceTable[],
  describe: (schemas: SchemaPlanner) => ModelDescription,
): ResolvedModel {
  const schemas = new SchemaPlanner(reader, tables);
  const description = describe(schemas);
  const contract = loaded.hasFile ? loaded.contract : contractWithoutFile(loaded.contract.modelPath, description);
  let layouts: InputLayouts;
  try {
    layouts = layOutInputs(contract, description, (feature) => schemas.shapeOf(feature.source));
  } catch (error) {
    throw loaded.hasFile ? error : explainWithoutFile(error, description);
  }
  const resolved = { contract, description, layouts, schemas, requests: layouts.inputs.flatMap(requestsOf) };
  const table = tables.find((candidate) => candidate.rowCount > 0);
  let read: FirstRows | undefined;
  const firstRows = (): FirstRows | undefined => {
    if (table !== undefined)
      read ??= readFirstRows(reader, table, resolved, resolved.layouts.fixedBatchRows ?? probeRows);
    return read;
  };
  return { ...resolved, firstRows };
}

/** What goes wrong where nobody said what feeds the inputs. */
function explainWithoutFile(error: unknown, { inputs }: ModelDescription): unknown {
  if (!(error instanceof TandemError) || (error.code !== 'BAD_COLUMN' && error.code !== 'BAD_CONTRACT')) return error;
  const shapes = inputs.map(({ name, elementType, shape }) => `${name} (${elementType} [${shape?.join(', ') ?? '?'}])`);
  const example = `{ "inputs": { "${inputs[0]?.name ?? 'x'}": [{ "column": "a" }, { "column": "b" }] } }`;
  return new TandemError(error.code, error.message, {
    place: error.place,
    remedy:
      `Without tandem.json a column of its name feeds each input: ${shapes.join(', ')}. Write a tandem.json beside the ` +
      `model that names the columns (${example}), or let \`tandem init\` write it. ${error.remedy ?? ''}`.trimEnd(),
    cause: error,
  });
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

/** The model's part of a plan. @throws BAD_CONTRACT, BAD_MODEL, BAD_ROW */
export function planModel(engines: PlanningEngines, resolved: ResolvedModel): ModelPlan {
  const { contract, layouts } = resolved;
  const outputs = findOutputs(engines, resolved);
  return {
    ...identifyModel(contract.modelPath),
    contractSha256: contractHash(contract),
    ...layouts,
    outputs,
    columns: layOutColumns(contract, outputs),
  };
}

/** Rows on which the output shapes are tried: more than one, so that an output of one row for the whole batch is seen. */
const probeRows = 3;

/** Shapes of the used outputs, from the first rows of the first shard that has any. */
function findOutputs(engines: PlanningEngines, resolved: ResolvedModel): OutputLayout[] {
  const used = usedOutputs(resolved.contract, resolved.description);
  const firstRows = resolved.firstRows();
  if (firstRows === undefined) return declaredOutputs(used);
  const rows = resolved.layouts.fixedBatchRows ?? probeRows;
  const runOptions = createRunOptions();
  try {
    return probeOutputs(engines.session, runOptions, boundTensors(resolved, firstRows, rows), used, rows);
  } finally {
    releaseRunOptions(runOptions);
  }
}

/** What the model is run on: the first `rowCount` of the rows, and the constants for as many. */
export function boundTensors(
  { layouts }: Pick<ResolvedModel, 'layouts'>,
  { values }: FirstRows,
  rowCount: number,
): BoundTensor[] {
  const inputs = layouts.inputs.map(({ name, elementType, rowShape, width }, index) => ({
    name,
    elementType,
    shape: [rowCount, ...rowShape],
    values: firstValues(values[index]!, rowCount * width),
  }));
  return [...inputs, ...layouts.constants.map((constant) => constantTensor(constant, rowCount))];
}

function firstValues(values: TensorValues, count: number): TensorValues {
  return Array.isArray(values) ? values.slice(0, count) : values.subarray(0, count);
}
