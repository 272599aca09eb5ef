/** tandem.json, its form already checked, into a {@link Contract}. */
import { dirname, join, resolve } from 'node:path';
import { badField, formatPath, type FieldPath } from './complain.ts';
import type { Contract, InputContract, OutputContract } from './contract.ts';
import { resolveFeature } from './features.ts';
import type { ConstantFile, ContractFile, OutputFile } from './schema.ts';

/** How far scores of golden.parquet may be off where the contract does not say. */
export const defaultTolerance = 1e-5;

/** How far scores of a kernel may be from ONNX Runtime's where the contract does not say. */
export const kernelTolerance = 1e-6;

/** @throws TandemError BAD_CONTRACT */
export function resolveContract(file: ContractFile, folder: string): Contract {
  const inputs = mapValues(file.inputs, (input, name): InputContract => {
    const path = ['inputs', name];
    if (Array.isArray(input)) return { features: input.map((feature, i) => resolveFeature(feature, [...path, i])) };
    return 'constant' in input ? resolveConstant(input, path) : { features: [resolveFeature(input, path)] };
  });
  const outputs = file.outputs === undefined ? undefined : mapValues(file.outputs, resolveOutput);
  checkColumnNames(file, outputs);
  const modelPath = resolve(folder, file.model);
  return {
    version: 1,
    modelPath,
    inputs,
    outputs,
    keep: file.keep,
    where: file.where,
    renames: file.renames === undefined ? undefined : checkRenames(file.renames),
    golden: { path: join(resolve(folder), 'golden.parquet'), tolerance: file.golden?.tolerance ?? defaultTolerance },
    kernels: { tolerance: file.kernels?.tolerance ?? kernelTolerance },
    csv: file.csv ?? {},
  };
}

/** The contract of a model that has no tandem.json, before its inputs are known. */
export function emptyContract(modelPath: string): Contract {
  const absolute = resolve(modelPath);
  return {
    version: 1,
    modelPath: absolute,
    inputs: {},
    outputs: undefined,
    keep: undefined,
    where: undefined,
    renames: undefined,
    golden: { path: join(dirname(absolute), 'golden.parquet'), tolerance: defaultTolerance },
    kernels: { tolerance: kernelTolerance },
    csv: {},
  };
}

/** @throws BAD_CONTRACT for a column that is to be called as it is */
function checkRenames(renames: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [from, to] of Object.entries(renames))
    if (from.toLowerCase() === to.toLowerCase()) throw badField(['renames', from], `be another name than ${from}`, to);
  return renames;
}

function resolveConstant(file: ConstantFile, path: FieldPath): InputContract {
  const { constant, shape } = file;
  const batchAxes = shape?.filter((dimension) => dimension === 'N').length ?? 0;
  if (batchAxes > 1) throw badField([...path, 'shape'], 'hold "N" at most once', shape);
  if (Array.isArray(constant)) {
    const other = constant.findIndex((value) => typeof value !== typeof constant[0]);
    if (other >= 0) {
      throw badField([...path, 'constant', other], `be a ${typeof constant[0]} like the first value`, constant[other]);
    }
    const rowValues = shape?.reduce<number>((product, dimension) => product * (dimension === 'N' ? 1 : dimension), 1);
    if (rowValues !== undefined && rowValues !== constant.length) {
      const expected = `have as many values as shape ${JSON.stringify(shape)} has (${rowValues}, N counted as 1)`;
      throw badField([...path, 'constant'], expected, constant);
    }
  }
  return { constant, shape };
}

function resolveOutput(output: OutputFile | string | false, name: string): OutputContract | false {
  if (output === false) return false;
  if (typeof output === 'string') return { columns: [output], select: undefined };
  const path = ['outputs', name];
  if (output.column !== undefined && output.columns !== undefined) {
    throw badField(path, 'have `column` or `columns`, not both', output);
  }
  const select = typeof output.select === 'number' ? [output.select] : output.select;
  const columns = output.columns ?? [output.column ?? name];
  select?.forEach((position, i) => {
    if (select.indexOf(position) < i) throw badField([...path, 'select', i], 'be selected once', position);
  });
  if (select !== undefined && select.length !== columns.length) {
    const given = output.columns === undefined ? output.column : output.columns;
    const expected = `be as many names as \`select\` has positions (${select.length})`;
    throw badField([...path, output.column === undefined ? 'columns' : 'column'], expected, given);
  }
  return { columns, select };
}

/** All columns of the result have names of their own; DuckDB renames one of `score` and `Score` without a word. */
function checkColumnNames(file: ContractFile, outputs: Contract['outputs']): void {
  const seen = new Map<string, string>();
  const add = (column: string, path: FieldPath) => {
    const folded = column.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
    const other = seen.get(folded);
    if (other !== undefined) throw badField(path, `be a column name that ${other} does not have`, column);
    seen.set(folded, formatPath(path.slice(0, 2)));
  };
  file.keep?.forEach((column, i) => add(column, ['keep', i]));
  if (outputs === undefined) return;
  for (const [name, output] of Object.entries(outputs)) {
    if (output === false) continue;
    const given = file.outputs![name];
    output.columns.forEach((column, i) => {
      const key = typeof given === 'object' && given.columns !== undefined ? ['columns', i] : [];
      add(column, ['outputs', name, ...key]);
    });
  }
  if (!Object.values(outputs).some((output) => output !== false)) {
    throw badField(['outputs'], 'name at least one output that becomes a column', file.outputs);
  }
}

function mapValues<From, To>(
  record: Readonly<Record<string, From>>,
  change: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));
}
