/** One feature of tandem.json, its shorthands resolved and the rules that tie its keys together checked. */
import type { Feature, NumericStep, Source } from './contract.ts';
import { badField, type FieldPath } from './complain.ts';
import { notFitted } from './parameters.ts';
import type { FeatureFile, StepFile } from './schema.ts';

const sourceKeys = ['column', 'sql', 'lengthOf'] as const;
const kindKeys = ['index', 'oneHot', 'hash', 'text', 'list'] as const;
/** The order in which steps that are given as keys apply. */
const stepKeys = ['log1p', 'bucketize', 'standardize', 'minMax', 'clip'] as const;

/** @throws TandemError BAD_CONTRACT */
export function resolveFeature(file: FeatureFile, path: FieldPath): Feature {
  const source = resolveSource(file, path);
  const kind = resolveKind(file, path);
  refuseStrayKeys(file, kind, path);
  switch (kind) {
    case 'number': {
      const steps = resolveSteps(file, path);
      return { kind, source, missing: resolveMissingNumber(file, steps, path), steps };
    }
    case 'list': {
      const steps = resolveSteps(file, path);
      const length = typeof file.list === 'number' ? file.list : undefined;
      return { kind, source, length, missing: resolveMissingNumber(file, steps, path), steps };
    }
    case 'length':
      return { kind, source, missing: resolveMissingNumber(file, [], path) };
    case 'index':
    case 'oneHot':
      return resolveCategorical(file, kind, source, path);
    case 'hash':
      return { kind, source, buckets: file.hash!, missing: resolveMissingText(file, path) };
    case 'text':
      return { kind, source, missing: resolveMissingText(file, path) };
  }
}

function resolveSource(file: FeatureFile, path: FieldPath): Source {
  const given = sourceKeys.filter((key) => file[key] !== undefined);
  if (given.length !== 1) throw badField(path, 'have exactly one of `column`, `sql` and `lengthOf`', pick(file, given));
  return file.sql !== undefined ? { sql: file.sql } : { column: (file.column ?? file.lengthOf)! };
}

function resolveKind(file: FeatureFile, path: FieldPath): Feature['kind'] {
  const given = kindKeys.filter((key) => file[key] !== undefined);
  if (given.length > 1) {
    throw badField(path, 'have at most one of `index`, `oneHot`, `hash`, `text` and `list`', pick(file, given));
  }
  if (file.lengthOf === undefined) return given[0] ?? 'number';
  if (given[0] !== undefined) throw badField([...path, given[0]], 'be left out beside `lengthOf`', file[given[0]]);
  return 'length';
}

/** Keys that this kind of feature has no use for. */
function refuseStrayKeys(file: FeatureFile, kind: Feature['kind'], path: FieldPath): void {
  if (kind !== 'number' && kind !== 'list') {
    const stray = ([...stepKeys, 'steps'] as const).find((key) => file[key] !== undefined);
    const beside = kind === 'length' ? 'lengthOf' : kind;
    if (stray !== undefined) throw badField([...path, stray], `be left out beside \`${beside}\``, file[stray]);
  }
  if (file.unknown !== undefined && kind !== 'index' && kind !== 'oneHot') {
    throw badField([...path, 'unknown'], 'be left out where there is no `index` or `oneHot`', file.unknown);
  }
  if (file.dropLast !== undefined && kind !== 'oneHot') {
    throw badField([...path, 'dropLast'], 'be left out where there is no `oneHot`', file.dropLast);
  }
}

function resolveSteps(file: FeatureFile, path: FieldPath): NumericStep[] {
  if (file.steps === undefined) {
    return stepKeys.filter((key) => file[key] !== undefined).map((key) => resolveStep(file, key, path));
  }
  const stray = stepKeys.find((key) => file[key] !== undefined);
  if (stray !== undefined) {
    const remedy = 'Put it into `steps`, where it is to apply.';
    throw badField([...path, stray], 'be left out beside `steps`', file[stray], remedy);
  }
  return file.steps.map((step, i) => {
    const stepPath = [...path, 'steps', i];
    const given = stepKeys.filter((key) => step[key] !== undefined);
    if (given.length !== 1) throw badField(stepPath, 'have exactly one key', step);
    return resolveStep(step, given[0]!, stepPath);
  });
}

function resolveStep(file: StepFile, key: (typeof stepKeys)[number], path: FieldPath): NumericStep {
  switch (key) {
    case 'log1p':
      return { kind: 'log1p' };
    case 'bucketize': {
      const boundaries = file.bucketize!;
      if (!Array.isArray(boundaries)) throw notFitted([...path, key], boundaries);
      const at = boundaries.findIndex((boundary, i) => i > 0 && boundary <= boundaries[i - 1]!);
      if (at >= 0) throw badField([...path, 'bucketize', at], 'be greater than the boundary before it', boundaries[at]);
      return { kind: 'bucketize', boundaries };
    }
    case 'standardize': {
      const standardize = file.standardize!;
      if (standardize === 'fit' || 'fit' in standardize) throw notFitted([...path, key], standardize);
      return { kind: 'standardize', mean: standardize.mean, std: standardize.std };
    }
    case 'minMax': {
      if (file.minMax === 'fit') throw notFitted([...path, key], file.minMax);
      const [min, max] = file.minMax!;
      if (!(min < max)) throw badField([...path, 'minMax'], 'be [low, high] with low < high', [min, max]);
      return { kind: 'minMax', min, max };
    }
    case 'clip': {
      if (!Array.isArray(file.clip)) throw notFitted([...path, key], file.clip);
      const [low, high] = file.clip;
      if (!(low <= high)) throw badField([...path, 'clip'], 'be [low, high] with low <= high', [low, high]);
      return { kind: 'clip', low, high };
    }
  }
}

function resolveMissingNumber(file: FeatureFile, steps: readonly NumericStep[], path: FieldPath): number | undefined {
  const { missing } = file;
  const missingPath = [...path, 'missing'];
  if (typeof missing === 'number' || missing === undefined) return missing;
  if (missing === 'nan') return NaN;
  const [first] = steps;
  if (missing === 'mean' && first?.kind === 'standardize') return first.mean;
  if ((missing === 'mean' || missing === 'median') && file.lengthOf === undefined) {
    throw notFitted(missingPath, missing);
  }
  const isPlain = file.lengthOf === undefined && file.list === undefined && steps.length === 0;
  const remedy = isPlain ? 'If the column holds text, add "text": true.' : undefined;
  const words = file.lengthOf === undefined ? 'be a number, "nan", "mean" or "median"' : 'be a number or "nan"';
  throw badField(missingPath, words, missing, remedy);
}

function resolveMissingText(file: FeatureFile, path: FieldPath): string | undefined {
  if (typeof file.missing === 'number') throw badField([...path, 'missing'], 'be a string', file.missing);
  return file.missing;
}

function resolveCategorical(file: FeatureFile, kind: 'index' | 'oneHot', source: Source, path: FieldPath): Feature {
  const categories = file[kind]!;
  const kindPath = [...path, kind];
  if (!Array.isArray(categories)) throw notFitted(kindPath, categories);
  const seen = new Set<string | number>();
  categories.forEach((category, i) => {
    if (seen.has(category)) throw badField([...kindPath, i], 'be listed once', category);
    seen.add(category);
  });
  const { missing, unknown = 'error', dropLast = false } = file;
  if (missing !== undefined && typeof missing !== typeof categories[0]) {
    throw badField([...path, 'missing'], `be a ${typeof categories[0]} like the categories`, missing);
  }
  if (kind === 'index') {
    if (unknown === 'zeros') {
      throw badField([...path, 'unknown'], 'be "error", "last" or "own" beside `index`', unknown);
    }
    return { kind, source, categories, unknown, missing };
  }
  if (dropLast && categories.length === 1 && unknown !== 'own') {
    throw badField([...path, 'dropLast'], 'leave at least one position', dropLast);
  }
  return { kind, source, categories, unknown, missing, dropLast };
}

function pick(file: FeatureFile, keys: readonly (keyof FeatureFile)[]): Partial<FeatureFile> | undefined {
  return keys.length === 0 ? undefined : Object.fromEntries(keys.map((key) => [key, file[key]]));
}
