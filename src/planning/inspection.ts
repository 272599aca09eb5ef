/** What `inspect` tells of shards and model, without scoring anything. */
import { resolve } from 'node:path';
import { sourceName, type Contract, type Feature } from '../contract/contract.ts';
import { loadUnfitted } from '../contract/load.ts';
import { closeSession, describeSession, type ModelValue } from '../engines/onnxruntime/session.ts';
import type { TensorLayout } from '../batch.ts';
import { formatError, TandemError } from '../errors.ts';
import type { InspectedColumn, InspectReport } from '../inspect-report.ts';
import type { KernelOptions } from '../options.ts';
import { rowGroupBytesMax, type Footer } from '../read/footers.ts';
import { buildPlan } from './build-plan.ts';
import { resolveModel, type PlanningEngines } from './model.ts';
import { namesIn } from './schemas.ts';
import type { Selected } from './selection.ts';

/** @param engines undefined without a model */
export function buildInspection(
  engines: PlanningEngines | undefined,
  selected: Selected,
  modelPath: string | undefined,
  scorers: KernelOptions = {},
): InspectReport {
  const { footers, selection } = selected;
  // What is no Parquet has none.
  const groups = footers.flatMap((footer) => (footer.sourcePath === undefined ? footer.rowGroupRows : []));
  const fit =
    modelPath === undefined || engines === undefined ? undefined : fitModel(engines, selected, modelPath, scorers);
  return {
    version: 1,
    shards: footers.map(({ name, rowCount, rowGroupRows, bytes, sourcePath, rowsUnknown }) => ({
      name,
      rowCount: rowsUnknown === true ? undefined : rowCount,
      rowGroups: sourcePath === undefined ? rowGroupRows.length : 0,
      bytes,
    })),
    rowCount: footers.some(({ rowsUnknown }) => rowsUnknown === true)
      ? undefined
      : footers.reduce((sum, footer) => sum + footer.rowCount, 0),
    ...(selection === undefined ? {} : { selection }),
    bytes: footers.reduce((sum, footer) => sum + footer.bytes, 0),
    rowGroups: {
      count: groups.length,
      rowsMin: groups.reduce((least, rows) => Math.min(least, rows), groups[0] ?? 0),
      rowsMax: groups.reduce((most, rows) => Math.max(most, rows), 0),
      compressedBytesMax: footers.reduce((most, footer) => Math.max(most, rowGroupBytesMax(footer, 'all')), 0),
    },
    columns: inspectColumns(footers, fit?.feeds ?? new Map(), fit?.kept),
    drift: findDrift(footers),
    model: fit?.model,
    problems: fit?.problems ?? [],
  };
}

interface Fit {
  readonly model: NonNullable<InspectReport['model']>;
  /** By lower-case column name. */
  readonly feeds: ReadonlyMap<string, string[]>;
  /** Lower-case names; undefined: all. */
  readonly kept: ReadonlySet<string> | undefined;
  readonly problems: readonly string[];
}

function fitModel(engines: PlanningEngines, selected: Selected, modelPath: string, scorers: KernelOptions): Fit {
  const { footers } = selected;
  const description = describeSession(engines.session);
  const feeds = new Map<string, string[]>();
  const problems: string[] = [];
  let features: ReadonlyMap<string, readonly Feature[]> = new Map();
  let columns: ReadonlyMap<string, readonly string[]> = new Map();
  let scorer: string | undefined;
  const { contract, parameters } = loadUnfitted(modelPath);
  const { keep } = contract;
  // What the contract says of its inputs is known before it is fitted, which is then the first problem.
  if (parameters.length > 0) features = featuresOf(contract);
  try {
    const resolved = resolveModel(engines, modelPath, footers);
    features = new Map(resolved.layouts.inputs.map((tensor) => [tensor.name, tensor.features]));
    for (const tensor of resolved.layouts.inputs) noteFeeds(tensor, footers, feeds);
    // The output folder does not exist: only what concerns shards and model can be a problem.
    const { plan, restSession } = buildPlan(engines, selected, {
      shards: [],
      model: modelPath,
      output: resolve('tandem-inspect-no-such-folder'),
      useProfile: false,
      rowsFollow: true,
      ...scorers,
    });
    if (restSession !== undefined) closeSession(restSession);
    scorer = plan.scorer.words;
    columns = new Map(
      plan.model.outputs.map((output, index) => [
        output.name,
        plan.model.columns.filter((column) => column.output === index).map((column) => column.name),
      ]),
    );
  } catch (error) {
    if (!(error instanceof TandemError)) throw error;
    problems.push(formatError(error));
  }
  return {
    feeds,
    problems,
    kept: keep === undefined ? undefined : new Set(keep.map((name) => name.toLowerCase())),
    model: {
      path: contract.modelPath,
      scorer,
      inputs: [...description.inputs, ...description.defaults].map((value) => ({
        name: value.name,
        type: typeWords(value),
        features: (features.get(value.name) ?? []).map(featureWords),
      })),
      outputs: description.outputs.map((value) => ({
        name: value.name,
        type: typeWords(value),
        columns: columns.get(value.name) ?? [],
      })),
    },
  };
}

/** Of each input that columns feed. */
function featuresOf({ inputs }: Contract): Map<string, readonly Feature[]> {
  return new Map(
    Object.entries(inputs).map(([name, input]) => [name, 'features' in input ? input.features : []] as const),
  );
}

/** Where in the assembled vector a column goes: `x[2]`, `x[3..52]`. */
function noteFeeds(tensor: TensorLayout, footers: readonly Footer[], feeds: Map<string, string[]>): void {
  let first = 0;
  tensor.features.forEach((feature, index) => {
    const last = first + tensor.featureWidths[index]! - 1;
    const place = `${tensor.name}[${first}${last > first ? `..${last}` : ''}]`;
    for (const column of columnsOf(feature, footers)) feeds.set(column, [...(feeds.get(column) ?? []), place]);
    first = last + 1;
  });
}

function columnsOf({ source }: Feature, footers: readonly Footer[]): string[] {
  const names = namesIn(source);
  if ('column' in source) return [...names];
  return (footers[0]?.columns ?? []).map((column) => column.name.toLowerCase()).filter((name) => names.has(name));
}

/** `float32 [N, 32]` */
function typeWords(value: ModelValue): string {
  return value.kind === 'tensor'
    ? `${value.elementType ?? 'unsupported type'} [${value.shape?.join(', ') ?? '?'}]`
    : value.kind;
}

/** `distance, standardize, clip` */
export function featureWords(feature: Feature): string {
  const steps = 'steps' in feature ? feature.steps.map((step) => step.kind) : [];
  const kind =
    feature.kind === 'number'
      ? []
      : [feature.kind === 'list' ? `list of ${feature.length ?? 'its type'}` : feature.kind];
  return [sourceName(feature.source), ...kind, ...steps].join(', ');
}

function inspectColumns(
  footers: readonly Footer[],
  feeds: ReadonlyMap<string, string[]>,
  kept: ReadonlySet<string> | undefined,
): InspectedColumn[] {
  const columns = new Map<string, { types: Set<string>; shards: number; isOfPath: true | undefined }>();
  for (const footer of footers) {
    for (const { name, type, isOfPath } of footer.columns) {
      const column = columns.get(name) ?? { types: new Set(), shards: 0, isOfPath };
      column.types.add(type);
      column.shards++;
      columns.set(name, column);
    }
  }
  return [...columns].map(([name, { types, shards, isOfPath }]) => ({
    name,
    types: [...types],
    shards,
    feeds: feeds.get(name.toLowerCase()) ?? [],
    kept: kept?.has(name.toLowerCase()) ?? isOfPath === undefined,
    ...(isOfPath === undefined ? {} : { isOfPath }),
  }));
}

/** One line for each way in which a shard's columns differ from the first shard's. */
export function findDrift(footers: readonly Footer[]): string[] {
  const [first, ...others] = footers;
  if (first === undefined) return [];
  const base = new Map(first.columns.map((column) => [column.name, column.type]));
  const lines = new Map<string, string[]>();
  const note = (line: string, shard: string): void => void lines.set(line, [...(lines.get(line) ?? []), shard]);
  for (const footer of others) {
    const here = new Map(footer.columns.map((column) => [column.name, column.type]));
    for (const [name, type] of base) if (!here.has(name)) note(`column ${name} (${type}) is missing`, footer.name);
    for (const [name, type] of here) {
      const before = base.get(name);
      if (before === undefined) note(`column ${name} (${type}) is new`, footer.name);
      else if (before !== type) note(`column ${name} is ${type} instead of ${before}`, footer.name);
    }
    const common = footer.columns.map((column) => column.name).filter((name) => base.has(name));
    const order = first.columns.map((column) => column.name).filter((name) => here.has(name));
    if (common.join('\u0000') !== order.join('\u0000')) note('columns come in another order', footer.name);
  }
  return [...lines].map(
    ([line, shards]) => `${line} in ${shards.length === 1 ? shards[0] : `${shards.length} shards, first ${shards[0]}`}`,
  );
}
