/** Plans a run that writes what the model would get, and runs no model; a contract without a model file will do. */
import { createHash } from 'node:crypto';
import type { Contract, Feature } from '../contract/contract.ts';
import { contractHash } from '../contract/hash.ts';
import { loadContract } from '../contract/load.ts';
import { describeSession, type ModelDescription, type ModelValue } from '../engines/onnxruntime/session.ts';
import type { ModelPlan, OutputLayout } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import { layOutColumns } from '../score/layout.ts';
import { fitContract, type PlanningEngines, type ResolvedModel } from './model.ts';
import type { Placement } from './placement.ts';
import type { SchemaPlanner } from './schemas.ts';

/** As `resolveModel`; without a model the contract alone says what its inputs are. @throws BAD_CONTRACT, BAD_MODEL, BAD_COLUMN */
export function resolveFeatures(
  { reader, session }: PlanningEngines,
  modelPath: string,
  tables: readonly SourceTable[],
): ResolvedModel {
  const loaded = loadContract(modelPath, false);
  if (session !== 0n) return fitContract(reader, loaded, tables, () => describeSession(session));
  const contract = withoutConstants(loaded.contract);
  return fitContract(reader, { ...loaded, contract }, tables, (schemas) => describeContract(contract, schemas));
}

function withoutConstants(contract: Contract): Contract {
  const fed = Object.entries(contract.inputs).filter(([, input]) => 'features' in input);
  return { ...contract, inputs: Object.fromEntries(fed) };
}

/** Inputs as the contract fills them: one row of values each, strings where every feature is a text, else float32. */
function describeContract({ inputs }: Contract, schemas: SchemaPlanner): ModelDescription {
  const isText = ({ kind, source }: Feature): boolean =>
    kind === 'text' || (kind === 'number' && schemas.shapeOf(source).kind === 'text');
  const values = Object.entries(inputs).map(([name, input]): ModelValue => ({
    name,
    kind: 'tensor',
    elementType: 'features' in input && input.features.every(isText) ? 'string' : 'float32',
    shape: undefined,
  }));
  return { inputs: values, outputs: [], defaults: [] };
}

/** Each input that columns feed is an output column of its own; constants are left out. @throws BAD_CONTRACT */
export function planFeatures({ contract, layouts }: ResolvedModel): ModelPlan {
  const { inputs } = layouts;
  const outputs = inputs.map(({ name, elementType, rowShape, width }, input): OutputLayout => ({
    name,
    elementType,
    rowShape,
    width,
    input,
  }));
  // Neither weights nor outputs matter to what is written: element types and shapes do.
  const tensors = inputs.map(({ name, elementType, rowShape }) => [name, elementType, rowShape]);
  const unnamed = { ...contract, outputs: undefined };
  return {
    path: contract.modelPath,
    bytes: 0,
    sha256: createHash('sha256').update(JSON.stringify(tensors)).digest('hex'),
    contractSha256: contractHash(unnamed),
    inputs,
    constants: [],
    outputs,
    columns: layOutColumns(unnamed, outputs),
    fixedBatchRows: undefined,
  };
}

/** In place of what scores. */
export function placeFeatures(model: ModelPlan): Placement {
  const scorer = { kind: 'features', words: 'none: features are written' } as const;
  return { model, kernel: undefined, restSession: undefined, chosen: undefined, scorer, warnings: [] };
}
