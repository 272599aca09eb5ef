/** From options to a {@link RunPlan}: shards, columns, threads, memory. */
import { resolve } from 'node:path';
import { readTensors } from '../batch.ts';
import type { Pointer } from '../engines/native.ts';
import { featureBatchRows, memoryShare, processBytesBase } from '../limits.ts';
import { coreBound, memoryBound, type Bound } from '../machine.ts';
import type { PlainScoreOptions } from '../messages.ts';
import type { ModelPlan, OutputLayout, PlannedFeatures, PlannedSchema, PlannedShard, RunPlan } from '../plan.ts';
import { columnBytes, rowGroupBytesMax, type Footer } from '../read/footers.ts';
import { hasCondition, relationOf, type PlannedSelection } from '../relation.ts';
import type { KernelModel } from '../score/kernels/kernel.ts';
import { slotBytes } from '../score/scorer.ts';
import { planOutputFiles, writtenBytesBeyond } from '../write/output-files.ts';
import type { RunIdentity } from '../write/manifests.ts';
import { inspectOutput, lastBatchWarnings } from '../write/output-folder.ts';
import {
  allocateRun,
  scoreBytesPerRow,
  planSlots,
  slotRowsFor,
  type PlannedScoring,
  type ShardSize,
  type ThreadSlots,
} from './allocate.ts';
import { deviceMemory, planDevices, type ChosenDevices } from './devices.ts';
import { explainInputs } from './explanation.ts';
import { placeFeatures, planFeatures, resolveFeatures } from './features.ts';
import { gatherShards, planFeatureFiles, planParts, type OutputShard } from './gather.ts';
import { planModel, resolveModel, type PlanningEngines, type ResolvedModel } from './model.ts';
import { outputRowBytes } from './output-row.ts';
import { placeScoring } from './placement.ts';
import { usedColumns, type SchemaPlanner } from './schemas.ts';
import type { Selected } from './selection.ts';
import { recallProfiles, type RecalledSettings } from './stored-profiles.ts';

/** A plan, and what is too large to be printed with it. */
export interface Planned {
  readonly plan: RunPlan;
  /** See `Engines`. */
  readonly kernel: KernelModel | undefined;
  /** Of the rest of the model where the kernel scores a part: the caller closes it, instead of the model's own. */
  readonly restSession: Pointer | undefined;
}

/** @throws every error that can be known before a row is scored */
export function buildPlan(
  engines: PlanningEngines,
  { footers: found, selection }: Selected,
  options: PlainScoreOptions,
  asked?: ChosenDevices,
): Planned {
  const files = planOutputFiles(options, hasCondition(selection));
  const footers = gatherShards(found, options.features);
  const { resolved, described } = describeModel(engines, found, options);
  const { requests, schemas } = resolved;
  const keep = keptNames(options, resolved);
  const features = planFeatureFiles(options.features, found, keep);
  const planned = schemas.plan(requests, keep, namesOf(described.columns), features && 'feature');
  const output = resolve(options.output);
  const identity = identityOf(described, keep, selection, { ...options, features });
  const whole = inspectOutput(output, identity, footers, options.overwrite ?? false);
  const used = new Set([...usedColumns(requests, footers[0]!.columns), ...selectedColumns(selection, footers[0]!)]);
  const reads = keep === undefined ? 'all' : new Set([...used, ...keep]);
  const shardSizes = footers.map((footer) => sizeOf(footer, reads, described, options));
  const pending = footers.filter((footer) => !whole.has(footer.name));
  const choice = features
    ? placeFeatures(described)
    : placeScoring(engines, pending, resolved, described, options, asked);
  const { chosen, model, kernel, scorer } = choice;
  const givenBatchSize = features ? featureRows(model) : (model.fixedBatchRows ?? options.batchSize);
  const { profiles, settings, warnings } = recallProfiles(options, model, chosen?.found ?? [], scorer.kind);
  const batchSize = givenBatchSize ?? settings.batchSize;
  const devices = chosen === undefined ? [] : planDevices(chosen, model, batchSize, options.gpuMemory, profiles.used);
  const wanted = wantedThreads(options, settings);
  const scoring = { model, devices, batchSize, slots: settings.slots, slotsPerThread: options.slotsPerThread };
  const writtenBytes = writtenBytesBeyond(files, outputRowBytes(footers[0]!, keep, model));
  const allocation = allocate(shardSizes, whole, scoring, { wanted, writtenBytes }, options.memoryBytes);
  const plan: RunPlan = {
    version: 1,
    device: devices.length === 0 ? 'cpu' : devices.map((device) => device.name).join(', '),
    devices,
    allowCpuNodes: options.allowCpuNodes ?? false,
    onnxRuntimePath: chosen?.onnxRuntimePath,
    precision: options.precision ?? 'float32',
    scorer,
    profiles,
    model,
    shards: planShards(footers, shardSizes, schemas, allocation.split, whole),
    schemas: planned,
    ...(selection === undefined ? {} : { selection }),
    rowsTotal: sum(pending.map((footer) => footer.rowCount)),
    ...plannedKeep(keep, footers[0]!, pending),
    featureBytes: sum(pending.map((footer) => columnBytes(footer, used))),
    output,
    ...(features === undefined ? {} : { features }),
    files,
    threads: allocation.threads,
    threadsBound: allocation.threadsBound,
    batchSize,
    slotRows: allocation.slot.rows,
    slotsPerThread: allocation.slot.count,
    memory: [...allocation.memory, ...deviceMemory(devices, model)],
    memoryLimitBytes: allocation.limit.value,
    memoryBound: allocation.limit.setBy,
    ...(options.explain === true
      ? { explanation: explainInputs(engines.reader, footers, resolved, readTensors(model.inputs)) }
      : {}),
    warnings: [...(chosen?.notes ?? []), ...choice.warnings, ...warnings, ...lastBatchWarnings(output)],
  };
  return { plan, kernel, restSession: choice.restSession };
}

function describeModel(
  engines: PlanningEngines,
  footers: readonly Footer[],
  { model, features }: PlainScoreOptions,
): { readonly resolved: ResolvedModel; readonly described: ModelPlan } {
  if (features === undefined) {
    const resolved = resolveModel(engines, model, footers);
    return { resolved, described: planModel(engines, resolved) };
  }
  const resolved = resolveFeatures(engines, model, footers);
  return { resolved, described: planFeatures(resolved) };
}

function sizeOf(
  footer: OutputShard,
  reads: ReadonlySet<string> | 'all',
  { outputs }: ModelPlan,
  { reader, features }: PlainScoreOptions,
): ShardSize {
  // Only DuckDB's writer is fed by several threads.
  const splittable = reader !== 'parquetjs' && features?.format !== 'arrow' && isSplittable(footer, outputs);
  return { ...footer, rowGroupBytesMax: rowGroupBytesMax(footer, reads), splittable };
}

function featureRows(model: ModelPlan): number {
  return Math.min(featureBatchRows, slotRowsFor(slotBytes(model, 64) / 64, undefined));
}

/** Undefined: all columns. Beside features, which are many, only those that somebody has asked for. */
function keptNames({ keep, features }: PlainScoreOptions, { contract }: ResolvedModel): readonly string[] | undefined {
  if (keep === 'all') return undefined;
  return keep ?? contract.keep ?? (features === undefined ? undefined : []);
}

function identityOf(
  { sha256, contractSha256 }: ModelPlan,
  keep: readonly string[] | undefined,
  selection: PlannedSelection | undefined,
  asked: Pick<PlainScoreOptions, 'precision' | 'rowsPerFile'> & { readonly features: PlannedFeatures | undefined },
): RunIdentity {
  const { precision = 'float32', rowsPerFile, features } = asked;
  return {
    modelSha256: sha256,
    contractSha256,
    keep: keep ?? 'all',
    precision,
    ...(selection === undefined ? {} : { selection: selection.given }),
    ...(rowsPerFile === undefined ? {} : { rowsPerFile }),
    ...(features === undefined ? {} : { features }),
  };
}

function namesOf(columns: readonly { readonly name: string }[]): string[] {
  return columns.map(({ name }) => name);
}

/** As the shard spells them. */
function selectedColumns(selection: PlannedSelection | undefined, { columns }: Footer): string[] {
  return namesOf(columns).filter((name) => selection?.columns.includes(name.toLowerCase()));
}

function plannedKeep(
  keep: readonly string[] | undefined,
  first: Footer,
  pending: readonly Footer[],
): Pick<RunPlan, 'keep' | 'keepsAll' | 'keepBytes'> {
  const copied = keep === undefined ? 'all' : new Set(keep);
  return {
    keep: keep ?? namesOf(first.columns.filter(({ isOfPath }) => isOfPath !== true)),
    keepsAll: keep === undefined,
    keepBytes: sum(pending.map((footer) => columnBytes(footer, copied))),
  };
}

function planShards(
  footers: readonly OutputShard[],
  sizes: readonly ShardSize[],
  schemas: SchemaPlanner,
  split: ReadonlySet<number>,
  whole: ReadonlySet<string>,
): PlannedShard[] {
  return footers.map((footer, index) => ({
    index,
    ...(footer.sourcePath === undefined ? {} : { sourcePath: footer.sourcePath }),
    bytes: footer.bytes,
    modifiedMs: footer.modifiedMs,
    ...relationOf(footer),
    rowCount: footer.rowCount,
    ...(footer.takenBlocks === undefined ? {} : { takenBlocks: footer.takenBlocks }),
    rowGroupRows: footer.rowGroupRows,
    rowGroupBytesMax: sizes[index]!.rowGroupBytesMax,
    schema: schemas.indexOf(footer),
    mode: split.has(index) ? 'split' : 'whole',
    done: whole.has(footer.name),
    ...planParts(footer, schemas),
  }));
}

/**
 * `file_row_number` addresses spans; a column of that name would hide it. Strings do not fit into a ring of fixed rows,
 * whose counters hold 31 bits.
 */
function isSplittable(footer: OutputShard, outputs: readonly OutputLayout[]): boolean {
  return (
    footer.parts === undefined &&
    footer.rowCount < 2 ** 31 &&
    !footer.columns.some((column) => column.name.toLowerCase() === 'file_row_number') &&
    !outputs.some((output) => output.elementType === 'string')
  );
}

interface Allocation {
  readonly slot: ThreadSlots;
  readonly threads: number;
  readonly threadsBound: string;
  readonly split: ReadonlySet<number>;
  readonly memory: RunPlan['memory'];
  readonly limit: Bound;
}

function allocate(
  shards: readonly ShardSize[],
  whole: ReadonlySet<string>,
  scoring: PlannedScoring,
  { wanted, writtenBytes }: { readonly wanted: Bound; readonly writtenBytes: number },
  memoryBytes: number | undefined,
): Allocation {
  const limit = memoryLimit(memoryBytes);
  const pending = shards.map((shard, index) => ({ ...shard, index })).filter((shard) => !whole.has(shard.name));
  const slot = { ...planSlots(scoring, wanted.value, pending, limit), writtenBytes };
  const { threads, setBy, splits, memory } = allocateRun(wanted, pending, slot, scoreBytesPerRow(scoring.model), limit);
  const split = pending.filter((_, position) => splits[position]);
  return { slot, threads, threadsBound: setBy, limit, split: new Set(split.map((shard) => shard.index)), memory };
}

function wantedThreads(options: PlainScoreOptions, settings: RecalledSettings): Bound {
  if (options.threads !== undefined) return { value: options.threads, setBy: '--threads' };
  return settings.threads === undefined ? coreBound() : { value: settings.threads, setBy: 'the profile' };
}

/** What a run may take, known before anything is read. */
export function memoryLimit(memoryBytes: number | undefined): Bound {
  if (memoryBytes !== undefined) return { value: memoryBytes, setBy: '--memory' };
  // What this process takes already is not "available" any more, but is part of what it may use.
  const machineLimit = memoryBound(memoryShare);
  return { ...machineLimit, value: machineLimit.value + processBytesBase };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
