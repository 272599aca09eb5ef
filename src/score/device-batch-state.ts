/** What the batch-size controller of a GPU knows, and the questions that its parts ask of it. No clock, no I/O. */
import {
  deviceAvailableShare,
  deviceBatchRowsMax,
  deviceDecisionsMax,
  deviceFreeShareKept,
  deviceMemoryMargin,
  deviceSamplesKept,
  deviceStartRows,
} from '../limits.ts';
import { bytesAt, fitMemory, safeBytesAt, type MemoryFit, type MemoryPoint } from './memory-model.ts';

/** What is known before the first run. Bytes of the device are of one GPU. */
export interface DeviceLimits {
  readonly totalBytes: number;
  /** Free before this process took any. */
  readonly freeBytes: number;
  /** The user's: a promise, all that this process holds on the device stays below it. */
  readonly memoryBudgetBytes?: number | undefined;
  /** Input and output bytes of one row. */
  readonly bytesPerRow: number;
  /** Batches whose inputs and outputs are held at the same time. */
  readonly deviceBuffers: number;
  /** Host memory for these batches: rows x bytesPerRow x deviceBuffers stays below it. */
  readonly hostBytesMax: number;
  readonly rowsMax?: number | undefined;
  /** The batch size of a model that takes no other. */
  readonly fixedRows?: number | undefined;
  readonly profile?: BatchSizeProfile | undefined;
}

/** What a run leaves for the next one with the same model, device and engine. */
export interface BatchSizeProfile extends MemoryFit {
  readonly rows: number;
  readonly rowsPerSecond: number;
}

export type Step =
  /** Of a probe, time and memory decide: it should not share the device with other work of this process. */
  | { readonly kind: 'run'; readonly rows: number; readonly probe: boolean }
  /** A small run with arena shrinkage, which gives unused memory back to the device. */
  | { readonly kind: 'shrink'; readonly rows: number }
  | { readonly kind: 'newSession' }
  | { readonly kind: 'fail'; readonly reason: string };

/** One allowed size that has run. */
export interface SizeRecord {
  readonly rows: number;
  /** In this session. The first pays for preparing the shape: its time does not count. */
  readonly runs: number;
  /** Of the latest runs. */
  readonly secondsPerRow: readonly number[];
  /** By the median of these; NaN while there are none. */
  readonly rowsPerSecond: number;
  readonly peakBytes: number | undefined;
  /** Times that it ran out of memory. */
  readonly failures: number;
}

export interface Decision {
  readonly rows: number;
  readonly reason: string;
  /** A step of the search for the best size; false: what it found, and whatever changes later. */
  readonly isSearch: boolean;
}

export interface ControllerState {
  readonly limits: DeviceLimits;
  /** Allowed batch sizes, ascending. */
  readonly sizes: readonly number[];
  readonly phase: 'verify' | 'grow' | 'refine' | 'compare' | 'steady';
  readonly step: Step;
  /** The size in use. */
  readonly rows: number;
  /** Ascending by rows. */
  readonly records: readonly SizeRecord[];
  /** Larger sizes ran out of memory. */
  readonly rowsMax: number;
  /** Larger sizes would fit if the device had the memory that it had before; never above rowsMax. */
  readonly rowsMaxNow: number;
  /** The size that the search, or a profile that proved right, found; undefined while none has. */
  readonly chosenRows: number | undefined;
  /** From the profile; stands in for a fit until it has proved wrong. */
  readonly prior: MemoryFit | undefined;
  /** Free when last seen. */
  readonly freeBytes: number;
  /** Estimate of what this process holds on the device. */
  readonly heldBytes: number;
  /** Free and held, when the device was last asked: what this process may share with nobody but itself. */
  readonly availableBytes: number;
  /** The most rows that this session has tried: readings of fewer rows may still show the peak of these. */
  readonly sessionRows: number;
  /** The most rows since memory was last given back: smaller sizes reuse their region, larger ones leave it unused. */
  readonly arenaRows: number;
  readonly failuresInRow: number;
  readonly cleanRuns: number;
  /** Nothing but the smallest size has failed in this session. */
  readonly sessionFresh: boolean;
  readonly searchRuns: number;
  /** Each change of size with its reason, newest last, bounded in number. */
  readonly decisions: readonly Decision[];
}

/**
 * 1, 2, 4, multiples of 8 up to 64 (tensor cores work in eights), from there powers of two and halfway between them, as
 * far as host memory for the device buffers allows. Few sizes: the engine prepares each shape anew. Empty where not
 * even the smallest fits.
 */
export function allowedSizes(limits: DeviceLimits): readonly number[] {
  const { rowsMax = deviceBatchRowsMax, fixedRows, bytesPerRow, deviceBuffers, hostBytesMax } = limits;
  const rowsInHost = Math.floor(hostBytesMax / Math.max(1, bytesPerRow * deviceBuffers));
  if (fixedRows !== undefined) return fixedRows <= rowsInHost ? [fixedRows] : [];
  const sizes = [1, 2, 4, 8, 16, 24, 32, 40, 48, 56];
  for (let size = 64; size <= deviceBatchRowsMax; size *= 2) sizes.push(size, size * 1.5);
  return sizes.filter((size) => size <= Math.min(rowsMax, deviceBatchRowsMax, rowsInHost));
}

export function decide(state: ControllerState, rows: number, reason: string): ControllerState {
  const decision: Decision = { rows, reason, isSearch: state.phase !== 'steady' };
  return { ...state, decisions: [...state.decisions, decision].slice(-deviceDecisionsMax) };
}

export function recordOf(state: ControllerState, rows: number): SizeRecord {
  const known = state.records.find((record) => record.rows === rows);
  return known ?? { rows, runs: 0, secondsPerRow: [], rowsPerSecond: NaN, peakBytes: undefined, failures: 0 };
}

export function withRecord(state: ControllerState, record: SizeRecord): ControllerState {
  const others = state.records.filter(({ rows }) => rows !== record.rows);
  const secondsPerRow = record.secondsPerRow.slice(-deviceSamplesKept);
  const bounded = { ...record, secondsPerRow, rowsPerSecond: 1 / median(secondsPerRow) };
  return { ...state, records: [...others, bounded].sort((one, other) => one.rows - other.rows) };
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The largest allowed size up to `rows`; the smallest of all where none is that small. */
export function sizeUpTo(state: ControllerState, rows: number): number {
  return state.sizes.findLast((size) => size <= rows) ?? state.sizes[0]!;
}

export function memoryPoints(state: ControllerState): readonly MemoryPoint[] {
  return state.records.flatMap(({ rows, peakBytes }) => (peakBytes === undefined ? [] : [{ rows, peakBytes }]));
}

export function memoryFit(state: ControllerState): MemoryFit | undefined {
  return fitMemory(memoryPoints(state)) ?? state.prior;
}

/** What a batch of `rows` rows needs on the device, margin included where it has to be predicted. */
export function needBytes(state: ControllerState, rows: number): number {
  const points = memoryPoints(state);
  const seen = points.find((point) => point.rows >= rows)?.peakBytes ?? Infinity;
  const predicted = safeBytesAt(points, rows) ?? priorBytes(state, rows);
  const known = Math.min(seen, predicted);
  const buffers = rows * state.limits.bytesPerRow * state.limits.deviceBuffers;
  return Math.max(buffers, known === Infinity ? 0 : known);
}

function priorBytes({ prior }: ControllerState, rows: number): number {
  return prior === undefined ? Infinity : bytesAt(prior, rows) * (1 + deviceMemoryMargin);
}

/** What this process may hold: the user's budget, and never so much that the device gets tight for others. */
export function ceilingBytes({ limits, availableBytes }: ControllerState): number {
  const left = availableBytes - deviceFreeShareKept * limits.totalBytes;
  const share = deviceAvailableShare * availableBytes;
  return Math.max(0, Math.min(left, share, limits.memoryBudgetBytes ?? Infinity));
}

export function fits(state: ControllerState, rows: number): boolean {
  return rows <= Math.min(state.rowsMax, state.rowsMaxNow) && needBytes(state, rows) <= ceilingBytes(state);
}

/** A size that runs in every session first, so that giving memory back needs no new shape. */
export function shrinkRows(state: ControllerState): number {
  return Math.min(state.rows, sizeUpTo(state, deviceStartRows));
}

/** Continues with another size. Regions of sizes before it may stand in its way: they are given back first. */
export function goTo(state: ControllerState, rows: number, reason: string): ControllerState {
  const moved = decide({ ...state, rows }, rows, reason);
  const grown = state.arenaRows > deviceStartRows && rows > state.arenaRows;
  const tight = grown && 2 * needBytes(state, rows) > ceilingBytes(state);
  return tight ? { ...moved, step: { kind: 'shrink', rows: shrinkRows(moved) } } : withRun(moved);
}

/** The next step is a run of the size in use. */
export function withRun(state: ControllerState, rows = state.rows): ControllerState {
  return { ...state, step: { kind: 'run', rows, probe: state.phase !== 'steady' } };
}

export function rowsText(rows: number): string {
  return `${rows.toLocaleString('en-US')} ${rows === 1 ? 'row' : 'rows'}`;
}
