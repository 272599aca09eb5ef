/** Fits a contract to a model: which features fill which input tensor, and which output tensors become which columns. */
import type { TensorLayout } from '../batch.ts';
import {
  featureWidth,
  sourceName,
  type Contract,
  type ElementType,
  type Feature,
  type InputContract,
} from '../contract/contract.ts';
import type { ModelDescription, ModelValue } from '../engines/onnxruntime/session.ts';
import { TandemError } from '../errors.ts';
import type { ConstantInput, OutputLayout, ScoreColumn } from '../plan.ts';

export interface InputLayouts {
  readonly inputs: readonly TensorLayout[];
  readonly constants: readonly ConstantInput[];
  /** Rows of every run, where an input's batch dimension is a number. */
  readonly fixedBatchRows: number | undefined;
}

/** What a source is, as far as a layout cares. */
export type SourceShape =
  { readonly kind: 'number' | 'text' } | { readonly kind: 'list'; readonly length: number | undefined };

/**
 * Input tensors of the model, filled by the contract's features.
 * @param shapeOf kind of a source in the first shard; throws BAD_COLUMN when it is missing
 * @throws BAD_CONTRACT, BAD_MODEL
 */
export function layOutInputs(
  contract: Contract,
  model: ModelDescription,
  shapeOf: (feature: Feature) => SourceShape,
): InputLayouts {
  const known = new Map([...model.inputs, ...model.defaults].map((value) => [value.name, value]));
  for (const name of Object.keys(contract.inputs)) {
    if (!known.has(name)) throw noSuchValue('inputs', name, [...known.keys()]);
  }
  const inputs: TensorLayout[] = [];
  const constants: ConstantInput[] = [];
  const fixed = new Set<number>();
  for (const value of [...model.inputs, ...model.defaults]) {
    const fed = contract.inputs[value.name];
    if (fed === undefined) {
      if (model.inputs.includes(value)) throw notFed(value);
      continue;
    }
    const tensor = requireTensor(value);
    if ('features' in fed) {
      inputs.push(layOutTensor(tensor, fed.features, shapeOf));
      if (typeof tensor.shape?.[0] === 'number') fixed.add(tensor.shape[0]);
    } else constants.push(layOutConstant(tensor, fed, model));
  }
  if (inputs.length === 0) {
    throw new TandemError('BAD_CONTRACT', 'Expected at least one input to be fed by columns, got none.', {
      place: { field: 'inputs' },
      remedy: 'Add "x": [{ "column": ... }] for one of the model\'s inputs.',
    });
  }
  if (fixed.size > 1)
    throw new TandemError('BAD_MODEL', `Expected one batch size for all inputs, got ${[...fixed].join(' and ')}.`, {
      remedy: 'Export the model with the same batch dimension for all inputs.',
    });
  return { inputs, constants, fixedBatchRows: [...fixed][0] };
}

interface TensorValue extends ModelValue {
  readonly elementType: ElementType;
}

function requireTensor(value: ModelValue): TensorValue {
  if (value.elementType === undefined) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected input ${value.name} to be a tensor of a type that columns can fill, got ` +
        `${value.kind === 'tensor' ? 'another element type' : `a ${value.kind}`}.`,
      {
        remedy: 'Export the model with float, integer, bool or string tensors as inputs.',
      },
    );
  }
  return value as TensorValue;
}

function layOutTensor(
  value: TensorValue,
  contracted: readonly Feature[],
  shapeOf: (feature: Feature) => SourceShape,
): TensorLayout {
  const field = `inputs.${value.name}`;
  const features = contracted.map((feature) => adaptKind(feature, shapeOf(feature), value.elementType));
  const widths = features.map((feature) =>
    feature.kind === 'list' ? (feature.length ?? undefined) : featureWidth(feature),
  );
  const declared = value.shape?.slice(1);
  const openWidths = widths.filter((width) => width === undefined).length;
  const givenSum = widths.reduce<number>((sum, width) => sum + (width ?? 0), 0);
  if (openWidths > 0) {
    const wanted =
      declared?.every((size) => typeof size === 'number') === true
        ? product(declared as number[]) - givenSum
        : undefined;
    if (openWidths > 1 || wanted === undefined || wanted < 1) {
      const index = widths.indexOf(undefined);
      throw new TandemError(
        'BAD_CONTRACT',
        `Expected the length of list ${sourceName(features[index]!.source)} to be known, got a list of any length.`,
        {
          place: { field: `${field}[${index}]` },
          remedy: 'Say it: "list": 128.',
        },
      );
    }
    widths[widths.indexOf(undefined)] = wanted;
  }
  const featureWidths = widths as number[];
  const width = featureWidths.reduce((sum, size) => sum + size, 0);
  const rowShape = fitRowShape(value, width, field);
  const sized = features.map((feature, index) =>
    feature.kind === 'list' ? { ...feature, length: featureWidths[index]! } : feature,
  );
  return { name: value.name, elementType: value.elementType, rowShape, width, features: sized, featureWidths };
}

/** A plain column feeds what it is: a list stays a list, a text a text. */
function adaptKind(feature: Feature, shape: SourceShape, elementType: ElementType): Feature {
  if (feature.kind === 'list' && shape.kind === 'list') return { ...feature, length: feature.length ?? shape.length };
  if (feature.kind !== 'number') return feature;
  const { source, missing, steps } = feature;
  if (shape.kind === 'list') return { kind: 'list', source, missing, steps, length: shape.length };
  if (elementType === 'string' && steps.length === 0 && missing === undefined)
    return { kind: 'text', source, missing: undefined };
  return feature;
}

/** Dimensions of a row: the model's where it fixes them, with one open dimension solved from the width. */
function fitRowShape(value: TensorValue, width: number, field: string): readonly number[] {
  if (value.shape === undefined) return [width];
  if (value.shape.length === 0) {
    throw new TandemError('BAD_CONTRACT', `Expected input ${value.name} to have a batch dimension, got a scalar.`, {
      place: { field },
      remedy: 'Give it a "constant".',
    });
  }
  const declared = value.shape.slice(1);
  const open = declared.filter((size) => typeof size !== 'number');
  const fixedProduct = product(declared.filter((size) => typeof size === 'number'));
  if (open.length > 1) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected input ${value.name} to leave open one dimension besides the batch, got [${value.shape.join(', ')}].`,
      {
        place: { field },
        remedy: 'Export the model with those dimensions fixed.',
      },
    );
  }
  const solved = open.length === 1 ? width / fixedProduct : undefined;
  const total = solved === undefined ? fixedProduct : solved * fixedProduct;
  if (total !== width || (solved !== undefined && !Number.isInteger(solved))) {
    throw new TandemError(
      'BAD_CONTRACT',
      `Expected the features of input ${value.name} to fill ${fixedProduct} values per row (shape [${value.shape.join(', ')}]), got ${width}.`,
      {
        place: { field },
        remedy: 'Add or remove features, or check the lists of categories.',
      },
    );
  }
  return declared.map((size) => (typeof size === 'number' ? size : solved!));
}

function layOutConstant(
  value: TensorValue,
  fed: Extract<InputContract, { constant: unknown }>,
  model: ModelDescription,
): ConstantInput {
  const field = `inputs.${value.name}`;
  const batchNames = new Set(model.inputs.filter((input) => input !== value).map((input) => input.shape?.[0]));
  const shape =
    fed.shape ??
    (value.shape ?? []).map((size) => {
      if (typeof size === 'number') return size;
      if (batchNames.has(size)) return 'N' as const;
      throw new TandemError(
        'BAD_CONTRACT',
        `Expected the shape of constant ${value.name} to be known, got [${value.shape!.join(', ')}].`,
        {
          place: { field },
          remedy: 'Say it, with "N" for the batch: "shape": [2, "N", 128].',
        },
      );
    });
  const perRow = product(shape.filter((size) => size !== 'N'));
  const given = Array.isArray(fed.constant) ? fed.constant.length : 1;
  if (given !== 1 && given !== perRow) {
    throw new TandemError(
      'BAD_CONTRACT',
      `Expected constant ${value.name} to have 1 or ${perRow} values, got ${given}.`,
      {
        place: { field },
        remedy: 'A single value fills the whole shape; a list has one value for each place of a row.',
      },
    );
  }
  return { name: value.name, elementType: value.elementType, shape, value: fed.constant };
}

/** Outputs that are used, before their shapes are known: name and contract. @throws BAD_CONTRACT, BAD_MODEL */
export function usedOutputs(contract: Contract, model: ModelDescription): readonly ModelValue[] {
  const byName = new Map(model.outputs.map((value) => [value.name, value]));
  for (const name of Object.keys(contract.outputs ?? {})) {
    if (!byName.has(name)) throw noSuchValue('outputs', name, [...byName.keys()]);
  }
  const chosen = contract.outputs;
  const used = model.outputs.filter((value) => chosen === undefined || (chosen[value.name] ?? false) !== false);
  const others = model.outputs.filter((value) => value.kind === 'tensor').map((value) => value.name);
  for (const value of used) {
    if (value.kind === 'tensor' && value.elementType !== undefined) continue;
    if (value.kind === 'tensor') {
      throw new TandemError(
        'BAD_MODEL',
        `Expected output ${value.name} to have a supported element type, got another.`,
        {
          place: { field: `outputs.${value.name}` },
          remedy: 'Export it as float32, or name only the other outputs in tandem.json.',
        },
      );
    }
    throw new TandemError('BAD_MODEL', `Expected output ${value.name} to be a tensor, got a ${value.kind}.`, {
      place: { field: `outputs.${value.name}` },
      remedy:
        'Export without ZipMap (skl2onnx, onnxmltools: options={"zipmap": False}), or name only the tensors in ' +
        `tandem.json: ${others.join(', ') || 'this model has none'}.`,
    });
  }
  if (used.length === 0)
    throw new TandemError('BAD_CONTRACT', 'Expected at least one output to be used, got none.', {
      place: { field: 'outputs' },
      remedy: 'Name one of the model\'s outputs, or leave "outputs" out to get all.',
    });
  return used;
}

/** The columns of the used outputs. @throws BAD_CONTRACT */
export function layOutColumns(contract: Contract, outputs: readonly OutputLayout[]): ScoreColumn[] {
  const columns: ScoreColumn[] = [];
  outputs.forEach((layout, output) => {
    const field = `outputs.${layout.name}`;
    const chosen = contract.outputs?.[layout.name];
    const names = chosen === undefined || chosen === false ? [layout.name] : chosen.columns;
    const select =
      (chosen === undefined || chosen === false ? undefined : chosen.select) ??
      (names.length > 1 ? Array.from({ length: layout.width }, (_, position) => position) : undefined);
    if (select !== undefined && select.length !== names.length) {
      throw new TandemError(
        'BAD_CONTRACT',
        `Expected ${select.length} column names for output ${layout.name}, got ${names.length}.`,
        {
          place: { field },
          remedy: 'Give one name for each value of a row, or one name for all.',
        },
      );
    }
    const beyond = select?.find((position) => position >= layout.width);
    if (beyond !== undefined) {
      throw new TandemError(
        'BAD_CONTRACT',
        `Expected a position of output ${layout.name} below ${layout.width}, got ${beyond}.`,
        {
          place: { field: `${field}.select` },
          remedy: 'Positions count from 0.',
        },
      );
    }
    names.forEach((name, index) => columns.push({ name, output, position: select?.[index] }));
  });
  const seen = new Set<string>();
  for (const { name } of columns) {
    if (seen.has(name.toLowerCase()))
      throw new TandemError('BAD_CONTRACT', `Expected output columns to have different names, got ${name} twice.`, {
        place: { field: 'outputs' },
        remedy: 'Name them in "outputs"; upper and lower case are the same.',
      });
    seen.add(name.toLowerCase());
  }
  return columns;
}

function notFed(value: ModelValue): TandemError {
  const shape = value.shape === undefined ? '' : ` [${value.shape.join(', ')}]`;
  return new TandemError(
    'BAD_CONTRACT',
    `Expected every input of the model to be fed, got nothing for ${value.name} (${value.elementType ?? value.kind}${shape}).`,
    {
      place: { field: `inputs.${value.name}` },
      remedy: `Add "${value.name}": [{ "column": ... }] or "${value.name}": { "constant": ... } to the inputs of tandem.json.`,
    },
  );
}

function noSuchValue(kind: 'inputs' | 'outputs', name: string, known: readonly string[]): TandemError {
  return new TandemError('BAD_CONTRACT', `Expected ${kind} to name what the model has, got ${name}.`, {
    place: { field: `${kind}.${name}` },
    remedy: `The model has: ${known.join(', ')}.`,
  });
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
