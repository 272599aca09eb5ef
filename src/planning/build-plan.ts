/** From options to a {@link RunPlan}: shards, columns, threads, memory. */
import { resolve } from 'node:path';
import { readTensors } from '../batch.ts';
import type { Pointer } from '../engines/native.ts';
import { memoryShare, processBytesBase } from '../limits.ts';
import { coreBound, memoryBound, type Bound } from '../machine.ts';
import type { PlainScoreOptions } from '../messages.ts';
import type { ModelPlan, OutputLayout, PlannedSchema, PlannedSelection, PlannedShard, RunPlan } from '../plan.ts';
import { columnBytes, rowGroupBytesMax, type Footer } from '../read/footers.ts';
import { relationOf } from '../relation.ts';
import type { KernelModel } from '../score/kernels/kernel.ts';
import { planOutputFiles, writtenBytesBeyond } from '../write/output-files.ts';
import type { RunIdentity } from '../write/manifests.ts';
import { inspectOutput, lastBatchWarnings } from '../write/output-folder.ts';
import {
  allocateRun,
  scoreBytesPerRow,
  planSlots,
  type PlannedScoring,
  type ShardSize,
  type ThreadSlots,
} from './allocate.ts';
import { deviceMemory, planDevices, type ChosenDevices } from './devices.ts';
import { explainInputs } from './explanation.ts';
import { planModel, resolveModel, type PlanningEngines } from './model.ts';
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
  { footers, selection }: Selected,
  options: PlainScoreOptions,
  asked?: ChosenDevices,
): Planned {
  const files = planOutputFiles(options);
  const resolved = resolveModel(engines, options.model, footers);
  const { contract, requests, schemas } = resolved;
  const keep = options.keep === 'all' ? undefined : (options.keep ?? contract.keep);
  const described = planModel(engines, footers, resolved);
  const planned = schemas.plan(requests, keep, namesOf(described.columns));
  const output = resolve(options.output);
  const whole = inspectOutput(
    output,
    identityOf(described, keep, selection, options),
    footers,
    options.overwrite ?? false,
  );
  const used = new Set([...usedColumns(requests, footers[0]!.columns), ...selectedColumns(selection, footers[0]!)]);
  const reads = keep === undefined ? 'all' : new Set([...used, ...keep]);
  const shardSizes = footers.map((footer): ShardSize => ({
    ...footer,
    rowGroupBytesMax: rowGroupBytesMax(footer, reads),
    splittable: options.reader !== 'parquetjs' && isSplittable(footer, described.outputs),
  }));
  const pending = footers.filter((footer) => !whole.has(footer.name));
  const choice = placeScoring(engines, pending, resolved, described, options, asked);
  const { chosen, model, kernel, scorer } = choice;
  const givenBatchSize = model.fixedBatchRows ?? options.batchSize;
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
    files,
    threads: allocation.threads,
    threadsBound: allocation.threadsBound,
    batchSize,
    slotRows: allocation.slot.rows,
    slotsPerThread: allocation.slot.count,
    memory: planMemory(allocation, selection, pending, model, devices),
    memoryLimitBytes: allocation.limit.value,
    memoryBound: allocation.limit.setBy,
    ...(options.explain === true
      ? { explanation: explainInputs(engines.reader, footers, resolved, readTensors(model.inputs)) }
      : {}),
    warnings: [...(chosen?.notes ?? []), ...choice.warnings, ...warnings, ...lastBatchWarnings(output)],
  };
  return { plan, kernel, restSession: choice.restSession };
}

function identityOf(
  { sha256, contractSha256 }: ModelPlan,
  keep: readonly string[] | undefined,
  selection: PlannedSelection | undefined,
  { precision = 'float32', rowsPerFile }: PlainScoreOptions,
): RunIdentity {
  return {
    modelSha256: sha256,
    contractSha256,
    keep: keep ?? 'all',
    precision,
    ...(selection === undefined ? {} : { selection: selection.given }),
    ...(rowsPerFile === undefined ? {} : { rowsPerFile }),
  };
}

function namesOf(columns: readonly { readonly name: string }[]): string[] {
  return columns.map(({ name }) => name);
}

/** As the shard spells them. */
function selectedColumns(selection: PlannedSelection | undefined, { columns }: Footer): string[] {
  return namesOf(columns).filter((name) => selection?.columns.includes(name.toLowerCase()));
}

/**
 * Where a condition cannot be left to the Parquet reader, DuckDB's POSITIONAL JOIN holds all scores of a shard until it
 * reads the kept columns.
 */
function selectionMemory(
  selection: PlannedSelection | undefined,
  pending: readonly Footer[],
  threads: number,
  model: ModelPlan,
): RunPlan['memory'] {
  if (selection === undefined || selection.where.length === 0) return [];
  const rows = pending.map(({ rowCount }) => rowCount).sort((a, b) => b - a);
  const bytesEach = sum(rows.slice(0, threads)) * scoreBytesPerRow(model);
  return [
    { what: 'scores of shards read in part, until their kept columns are read', where: 'host', count: 1, bytesEach },
  ];
}

function planMemory(
  { memory, threads }: Allocation,
  selection: PlannedSelection | undefined,
  pending: readonly Footer[],
  model: ModelPlan,
  devices: RunPlan['devices'],
): RunPlan['memory'] {
  return [...memory, ...selectionMemory(selection, pending, threads, model), ...deviceMemory(devices, model)];
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
  footers: readonly Footer[],
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
  }));
}

/**
 * `file_row_number` addresses spans; a column of that name would hide it. Strings do not fit into a ring of fixed rows,
 * whose counters hold 31 bits.
 */
function isSplittable(footer: Footer, outputs: readonly OutputLayout[]): boolean {
  return (
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
