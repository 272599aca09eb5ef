/** Which packages a model file needs, as far as its bytes tell: nothing in it is run. */
import { readFileSync } from 'node:fs';
import { gunzipSync, inflateSync } from 'node:zlib';
import { TandemError } from '../errors.ts';

export type LibraryKind = 'sklearn' | 'xgboost' | 'lightgbm';

export interface NeededPackages {
  /** `scikit-learn==1.9.1`, for pip. */
  readonly requirements: readonly string[];
  /** What the file does not say. */
  readonly notes: readonly string[];
}

/** Where the file does not name a version: the newest that was tried. */
const triedVersions = { 'scikit-learn': '1.9.1', xgboost: '3.2.0', lightgbm: '4.7.0' } as const;
/** What converts; one release that was tried together. */
const converters = ['onnx==1.19.1', 'skl2onnx==1.20.0', 'onnxmltools==1.16.0'];
/** What reads and writes rows: whatever fits the rest. */
const tables = ['pandas', 'pyarrow', 'packaging'];
/** The last ones that were built for NumPy 1, as old libraries are. */
const oldTables = ['numpy<2', 'pandas<3', 'pyarrow<19', 'packaging'];

/** @throws BAD_MODEL for a file that is not there, or not of the kind */
export function packagesFor(kind: LibraryKind, path: string): NeededPackages {
  const bytes = readModel(path);
  const text = bytes.toString('latin1');
  if (kind === 'lightgbm') return withLibraries(lightGbm(text, path), []);
  if (kind === 'xgboost') return xgboost(text, path);
  return sklearn(text);
}

function lightGbm(text: string, path: string): string[] {
  if (/^tree\r?\n/.test(text)) return [`lightgbm==${triedVersions.lightgbm}`];
  throw new TandemError('BAD_MODEL', `Expected ${path} to be a LightGBM model as text, got ${quoted(text)}.`, {
    remedy: 'Write it with model.booster_.save_model("model.txt"); for a joblib file use --sklearn.',
  });
}

/** XGBoost writes its version as [major, minor, patch] into JSON; UBJSON has it in another form. */
function xgboost(text: string, path: string): NeededPackages {
  // JSON and UBJSON alike.
  if (!/^\s*\{/.test(text)) {
    const remedy = 'Write it with model.save_model("model.json"); for a model of LightGBM use --lightgbm.';
    throw new TandemError('BAD_MODEL', `Expected ${path} to be an XGBoost model, got ${quoted(text)}.`, { remedy });
  }
  const version = /"version"\s*:\s*\[(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\]/.exec(text)?.slice(1).join('.');
  const note = `the file does not say which XGBoost wrote it: ${triedVersions.xgboost} reads it`;
  const libraries = [`xgboost==${version ?? triedVersions.xgboost}`];
  return withLibraries(libraries, version === undefined ? [note] : [], olderThan(version, [2, 1]));
}

/** Strings in a pickle: a length in one byte, or in four, then UTF-8 (opcodes SHORT_BINUNICODE and BINUNICODE). */
const sklearnVersion =
  /_sklearn_version(?:\x94|q.|r[^]{4})?(?:\x8c.|X[^]{4})(\d+\.\d+(?:\.\d+)?(?:(?:rc|\.post)\d+)?)/s;

function sklearn(text: string): NeededPackages {
  const version = sklearnVersion.exec(text)?.[1];
  const notes: string[] = [];
  if (version === undefined) {
    notes.push(`the file does not say which scikit-learn wrote it: ${triedVersions['scikit-learn']} is tried`);
  }
  const libraries = [`scikit-learn==${version ?? triedVersions['scikit-learn']}`];
  for (const name of ['lightgbm', 'xgboost'] as const) {
    if (!text.includes(`${name}.sklearn`)) continue;
    libraries.push(`${name}==${triedVersions[name]}`);
    notes.push(`the file holds a model of ${name}: ${triedVersions[name]} is tried`);
  }
  // Wheels up to 1.4.1 were built for NumPy 1.
  return withLibraries(libraries, notes, olderThan(version, [1, 4, 2]));
}

function withLibraries(libraries: readonly string[], notes: readonly string[], isOld = false): NeededPackages {
  // XGBoost and LightGBM have their classifiers only where scikit-learn is.
  const own = libraries.some((each) => each.startsWith('scikit-learn')) ? [] : ['scikit-learn'];
  return { requirements: [...libraries, ...own, ...converters, ...(isOld ? oldTables : tables)], notes };
}

function olderThan(version: string | undefined, than: readonly number[]): boolean {
  if (version === undefined) return false;
  const parts = version.split('.').map((part) => Number.parseInt(part, 10));
  const at = than.findIndex((part, index) => (parts[index] ?? 0) !== part);
  return at >= 0 && (parts[at] ?? 0) < than[at]!;
}

/** Joblib compresses with zlib, or as its user says. @throws BAD_MODEL */
function readModel(path: string): Buffer {
  try {
    const bytes = readFileSync(path);
    if (bytes[0] === 0x78 && [0x01, 0x5e, 0x9c, 0xda].includes(bytes[1] ?? 0)) return inflateSync(bytes);
    return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  } catch (cause) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected ${path} to be a readable model file, got: ${(cause as Error).message}.`,
      {
        remedy: 'Check the path and its permissions.',
        cause,
      },
    );
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 20));
}
