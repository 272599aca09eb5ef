/** From a model folder, or a model file alone, to its {@link Contract}. */
import { readdirSync, readFileSync, statSync, type Dirent, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { TandemError } from '../errors.ts';
import { loadNow } from '../place.ts';
import { fromIssues, type FieldPath } from './complain.ts';
import type { Contract, ElementType, Feature, InputContract } from './contract.ts';
import { findJsonFault } from './json.ts';
import { findParameters, findUnmarked, withStandIns, type Parameter } from './parameters.ts';
import { emptyContract, resolveContract } from './resolve.ts';
import type { ContractFile } from './schema.ts';
import { hasPublishedForm } from './published-form.ts';

/** A contract as it was found. */
export interface LoadedContract {
  /** Without tandem.json it has no inputs yet: {@link contractFromModel} makes them from the model's. */
  readonly contract: Contract;
  /** Whether there was a tandem.json. */
  readonly hasFile: boolean;
  /** The text of tandem.json; empty without one. */
  readonly text: string;
}

/** A contract some of whose parameters a fit has to find; in their places are values that mean nothing. */
export interface UnfittedContract extends LoadedContract {
  /** Absolute path of tandem.json; undefined without one. */
  readonly path: string | undefined;
  readonly parameters: readonly Parameter[];
  /** See {@link findUnmarked}. */
  readonly unmarked: readonly FieldPath[];
}

/** An input as the model declares it. `rowShape`: dimensions without the batch's; a negative one is not fixed. */
export interface DeclaredInput {
  readonly name: string;
  readonly elementType: ElementType;
  readonly rowShape: readonly number[];
}

const contractName = 'tandem.json';
const defaultModelName = 'model.onnx';

/**
 * @param modelPath a model folder (tandem.json or else model.onnx alone), or a model file, which is then taken alone.
 * @param needsModel false: tandem.json alone will do
 * @throws TandemError USAGE (no path), BAD_MODEL (nothing at the path, or no model file), BAD_CONTRACT (tandem.json is wrong)
 */
export function loadContract(modelPath: string, needsModel = true): LoadedContract {
  const { found, text, path } = findContract(modelPath);
  const contract = path === undefined ? emptyContract(found) : parseContract(text, path);
  if (needsModel || path === undefined) expectModel(contract, modelPath);
  return { contract, hasFile: path !== undefined, text };
}

/**
 * What a fit, which needs no model file, and `inspect`, which opens it, may still read.
 * @param all also parameters that have values, see {@link findParameters}
 * @throws as {@link loadContract} does, but not for parameters that are still to be fitted
 */
export function loadUnfitted(modelPath: string, all = false): UnfittedContract {
  const { found, text, path } = findContract(modelPath);
  const parsed =
    path === undefined
      ? { contract: emptyContract(found), parameters: [], unmarked: [] }
      : parsing(path, () => {
          const file = readForm(text);
          return {
            contract: resolveContract(withStandIns(file), dirname(path)),
            parameters: findParameters(file, all),
            unmarked: findUnmarked(file),
          };
        });
  return { ...parsed, hasFile: path !== undefined, text, path };
}

/** tandem.json of a model folder; without one `path` is undefined, and `found` is the model file. */
function findContract(modelPath: string): { found: string; text: string; path: string | undefined } {
  if (typeof modelPath !== 'string' || modelPath === '') {
    throw new TandemError(
      'USAGE',
      `Expected model to be a model folder or an .onnx file, got \`${String(modelPath)}\`.`,
      {
        remedy: "For example { model: 'models/flights' }.",
      },
    );
  }
  const found = look(modelPath);
  if (found === undefined) throw missing('the model folder or model file', modelPath, dirname(modelPath));
  if (!found.isDirectory()) {
    if (basename(modelPath) !== contractName) return { found: modelPath, text: '', path: undefined };
    throw new TandemError('BAD_MODEL', `Expected the model to be a folder or a model file, got \`${modelPath}\`.`, {
      remedy: `Give the folder that holds it: ${dirname(modelPath)}`,
    });
  }
  const contractPath = join(modelPath, contractName);
  if (!isFile(contractPath)) return { found: join(modelPath, defaultModelName), text: '', path: undefined };
  return { found: contractPath, text: readContract(contractPath), path: contractPath };
}

/** @throws BAD_MODEL */
function expectModel(contract: Contract, given: string): void {
  if (!isFile(contract.modelPath)) throw missing('the model file', contract.modelPath, given);
}

/**
 * The contract of a text of tandem.json; `contractPath` is where it lies. No file is opened.
 * @throws TandemError BAD_CONTRACT
 */
export function parseContract(text: string, contractPath: string): Contract {
  return parsing(contractPath, () => resolveContract(readForm(text), dirname(contractPath)));
}

/** tandem.json by its form. @throws BAD_CONTRACT */
function readForm(text: string): ContractFile {
  const root = parseJson(text.replace(/^\uFEFF/, ''));
  refuseNewerVersion(root);
  return hasPublishedForm(root) ? root : checkedForm(root);
}

/** Names the file in what `work` throws. */
function parsing<T>(contractPath: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof TandemError)) throw thrown;
    const remedy = `${thrown.remedy ?? 'Correct the file.'} The file: ${contractPath}`;
    throw new TandemError(thrown.code, thrown.message, { place: thrown.place, remedy, cause: thrown });
  }
}

/** What is not of the published form, by zod. @throws TandemError BAD_CONTRACT */
function checkedForm(root: unknown): ContractFile {
  // Not imported above: most contracts are right, and loading zod takes longer than all else that is done with one.
  const { checkForm } = loadNow('./contract/schema.js') as typeof import('./schema.ts');
  const checked = checkForm(root);
  if ('issues' in checked) throw fromIssues(checked.issues, root);
  return checked.data;
}

/** The contract of a model without tandem.json: each input is fed by the column of its name. */
export function contractFromModel(modelPath: string, inputs: readonly DeclaredInput[]): Contract {
  const features = inputs.map((input): [string, InputContract] => [input.name, { features: [ownFeature(input)] }]);
  return { ...emptyContract(modelPath), inputs: Object.fromEntries(features) };
}

function ownFeature({ name, elementType, rowShape }: DeclaredInput): Feature {
  const source = { column: name };
  if (elementType === 'string') return { kind: 'text', source, missing: undefined };
  const width = rowShape.reduce((product, dimension) => product * dimension, 1);
  if (width === 1 && rowShape.every((dimension) => dimension === 1)) {
    return { kind: 'number', source, missing: undefined, steps: [] };
  }
  const length = rowShape.every((dimension) => dimension >= 0) ? width : undefined;
  return { kind: 'list', source, length, missing: undefined, steps: [] };
}

function readContract(contractPath: string): string {
  try {
    return readFileSync(contractPath, 'utf8');
  } catch (cause) {
    throw unreadable(contractPath, cause);
  }
}

function parseJson(text: string): unknown {
  const fault = findJsonFault(text);
  if (fault === undefined) return JSON.parse(text);
  throw new TandemError(
    'BAD_CONTRACT',
    `Expected tandem.json to be valid JSON, got an error at line ${fault.line}, ` +
      `column ${fault.column}: expected ${fault.what}.`,
  );
}

function refuseNewerVersion(root: unknown): void {
  const version = (root as { version?: unknown } | null)?.version;
  if (typeof version !== 'number' || !Number.isInteger(version) || version <= 1) return;
  throw new TandemError(
    'BAD_CONTRACT',
    `Expected version to be 1, got \`${version}\`: tandem.json was written for a newer Tandem.`,
    { place: { field: 'version' }, remedy: 'Install the newer Tandem.' },
  );
}

/** What lies at a path; undefined: nothing. */
function look(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw unreadable(path, cause);
  }
}

function isFile(path: string): boolean {
  return look(path)?.isFile() ?? false;
}

function unreadable(path: string, cause: unknown): TandemError {
  return new TandemError('BAD_MODEL', `Expected ${path} to be readable, got \`${(cause as Error).message}\`.`, {
    remedy: 'Give this user the right to read it.',
    cause,
  });
}

/** BAD_MODEL for a path that leads to no file; the remedy lists what `folder` holds. */
function missing(what: string, path: string, folder: string): TandemError {
  return new TandemError('BAD_MODEL', `Expected ${what} to be at ${path}, got nothing.`, { remedy: listing(folder) });
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (cause) {
    throw unreadable(folder, cause);
  }
}

function listing(folder: string): string {
  const namesMax = 20;
  if (look(folder)?.isDirectory() !== true) return `There is no folder ${folder} either.`;
  const names = entriesOf(folder)
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .sort();
  const more = names.length > namesMax ? ` and ${names.length - namesMax} more` : '';
  const held = names.length === 0 ? 'nothing' : names.slice(0, namesMax).join(', ') + more;
  return `Give a model folder or a model file; ${folder} holds ${held}.`;
}
