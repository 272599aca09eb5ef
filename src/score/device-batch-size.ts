/**
 * Chooses the batch size on a GPU, and takes care of its memory. A pure function of what was observed: whoever owns the
 * GPU asks {@link nextStep}, does it, and tells {@link observe} what came of it. Out of memory is an event like any
 * other: the caller splits the batch that failed, the controller goes on with smaller sizes.
 *
 * What goes wrong is answered step by step: a smaller size after a small run that gives memory back (measured: an arena
 * keeps the regions of every smaller size, and what a failed run had taken), then a new session, and only when the
 * smallest size does not run even there, the end.
 */
import { deviceCleanRuns, deviceFreeShareMin, deviceStartRows, deviceTinyRows } from '../limits.ts';
import {
  allowedSizes,
  ceilingBytes,
  decide,
  fits,
  goTo,
  memoryFit,
  needBytes,
  recordOf,
  rowsText,
  shrinkRows,
  sizeUpTo,
  withRecord,
  withRun,
  type BatchSizeProfile,
  type ControllerState,
  type DeviceLimits,
  type Step,
} from './device-batch-state.ts';
import type { BatchSizeFinding } from '../messages.ts';
import { eligible, search, startSearch } from './device-batch-search.ts';
import { bytesText } from './memory-model.ts';

export type { BatchSizeProfile, ControllerState, Decision, DeviceLimits, Step } from './device-batch-state.ts';

/** A model run that ended. Runs of other sizes than the one asked for (tails, work under way) are welcome. */
export interface RunSample {
  readonly kind: 'ran';
  readonly rows: number;
  readonly seconds: number;
  /**
   * All that this process held on the device at its highest: context, weights, arena, device buffers. May be a
   * high-water mark of the session. Undefined where nobody can tell.
   */
  readonly memoryPeakBytes?: number | undefined;
  /** Free on the device now. */
  readonly freeBytes?: number | undefined;
}

export interface OutOfMemorySample {
  readonly kind: 'outOfMemory';
  readonly rows: number;
  /** The step that failed. */
  readonly during: 'run' | 'shrink' | 'newSession';
  /** For people: the engine's own words. */
  readonly where: string;
  readonly freeBytes?: number | undefined;
}

export type Sample =
  | RunSample
  | OutOfMemorySample
  /** The step of this name is done; `memory` is a look at the device for its own sake. */
  | { readonly kind: 'shrink' | 'newSession' | 'memory'; readonly freeBytes?: number | undefined };

/** A size is trusted after this many runs: the second allocates otherwise than the first. */
const provenRuns = 3;

export function startController(limits: DeviceLimits): ControllerState {
  const { profile, freeBytes } = limits;
  const sizes = allowedSizes(limits);
  const rowsMax = sizes.at(-1) ?? 0;
  const rows = sizes[0] ?? 0;
  const state: ControllerState = {
    limits,
    sizes,
    phase: 'steady',
    step: { kind: 'run', rows, probe: false },
    rows,
    records: [],
    rowsMax,
    rowsMaxNow: rowsMax,
    chosenRows: undefined,
    prior: profile,
    freeBytes,
    heldBytes: 0,
    availableBytes: freeBytes,
    sessionRows: 0,
    arenaRows: 0,
    failuresInRow: 0,
    cleanRuns: 0,
    sessionFresh: false,
    searchRuns: 0,
    decisions: [],
  };
  if (sizes.length === 0) return fail(state, hostReason(limits));
  if (sizes.length === 1) return decide({ ...state, chosenRows: rows }, rows, 'the only allowed size');
  if (profile === undefined) return startSearch(state, 'start of the search');
  if (!sizes.includes(profile.rows))
    return startSearch(state, `a size of ${profile.rows}, the profile's, is not allowed`);
  if (!fits(state, profile.rows)) {
    const may = bytesText(ceilingBytes(state));
    return startSearch(state, `the profile's ${rowsText(profile.rows)} do not fit into ${may} that may be used`);
  }
  return goTo({ ...state, phase: 'verify' }, profile.rows, 'size of the profile: two runs show whether it holds');
}

/** What to do next; the same until something is observed. After `fail` nothing else comes. */
export function nextStep(state: ControllerState): Step {
  return state.step;
}

/** What the next run of the same model on the same device can start with; undefined before the search has ended. */
export function profileOf(state: ControllerState): BatchSizeProfile | undefined {
  const { chosenRows } = state;
  const fit = memoryFit(state);
  if (chosenRows === undefined || fit === undefined) return undefined;
  const record = recordOf(state, chosenRows);
  if (record.secondsPerRow.length === 0) return undefined;
  return { rows: chosenRows, ...fit, rowsPerSecond: record.rowsPerSecond };
}

/** All that the search has found out, ended or not. */
export function findingOf(state: ControllerState, deviceIndex: number): BatchSizeFinding {
  return {
    deviceIndex,
    chosen: profileOf(state),
    sizes: eligible(state).map(({ rows, rowsPerSecond }) => ({ rows, rowsPerSecond })),
    memory: memoryFit(state),
    searchRuns: state.searchRuns,
    provesProfile: state.prior !== undefined && state.chosenRows !== undefined,
  };
}

export function observe(state: ControllerState, sample: Sample): ControllerState {
  if (state.step.kind === 'fail') return state;
  switch (sample.kind) {
    case 'ran':
      return afterRun(state, sample);
    case 'outOfMemory':
      return afterFailure(withFree(state, sample.freeBytes), sample);
    case 'memory':
      return relieve(withFree(state, sample.freeBytes), sample.freeBytes);
    case 'shrink':
    case 'newSession':
      return afterRecovery(state, sample.kind, sample.freeBytes);
  }
}

function withFree(state: ControllerState, freeBytes: number | undefined): ControllerState {
  return freeBytes === undefined ? state : { ...state, freeBytes, availableBytes: freeBytes + state.heldBytes };
}

function afterRun(before: ControllerState, sample: RunSample): ControllerState {
  const state = withFree(withSample(before, sample), sample.freeBytes);
  const { rows, memoryPeakBytes = 0 } = sample;
  const budget = state.limits.memoryBudgetBytes ?? Infinity;
  if (state.step.kind !== 'run') return state;
  if (memoryPeakBytes > budget && rows >= before.sessionRows) {
    const where = `a peak of ${bytesText(memoryPeakBytes)} is over the memory budget`;
    return afterFailure(state, { kind: 'outOfMemory', rows, during: 'run', where });
  }
  const relieved = relieve(state, sample.freeBytes);
  if (relieved !== state) return relieved;
  return state.phase === 'steady' ? growBack(state) : search(state);
}

function withSample(state: ControllerState, { rows, seconds, memoryPeakBytes }: RunSample): ControllerState {
  const cleanRuns = state.cleanRuns + 1;
  const trusted = cleanRuns >= provenRuns;
  const known: ControllerState = {
    ...state,
    cleanRuns,
    failuresInRow: trusted ? 0 : state.failuresInRow,
    sessionFresh: state.sessionFresh && !trusted,
    sessionRows: Math.max(state.sessionRows, rows),
    arenaRows: Math.max(state.arenaRows, rows),
    searchRuns: state.searchRuns + Number(state.phase !== 'steady'),
  };
  if (!state.sizes.includes(rows)) return known;
  const record = recordOf(state, rows);
  // After a larger size the reading may be that size's.
  const own = memoryPeakBytes !== undefined && rows >= state.sessionRows;
  const next = withRecord(known, {
    ...record,
    runs: record.runs + 1,
    secondsPerRow: record.runs === 0 ? record.secondsPerRow : [...record.secondsPerRow, seconds / rows],
    peakBytes: own ? Math.max(memoryPeakBytes, record.peakBytes ?? 0) : record.peakBytes,
  });
  return { ...next, heldBytes: Math.max(state.heldBytes, needBytes(next, rows)) };
}

/** Other processes are about to run out of memory: less at once, and what is not used goes back to the device. */
function relieve(state: ControllerState, freeBytes: number | undefined): ControllerState {
  const tight = freeBytes !== undefined && freeBytes < deviceFreeShareMin * state.limits.totalBytes;
  if (!tight || state.step.kind !== 'run' || state.rows === state.sizes[0]) return state;
  const fitting = (size: number): boolean => size < state.rows && fits(state, size);
  const known = eligible(state).findLast(({ rows }) => fitting(rows))?.rows;
  const rows = known ?? state.sizes.findLast(fitting) ?? state.sizes[0]!;
  const less: ControllerState = { ...state, phase: 'steady', rows, rowsMaxNow: rows, cleanRuns: 0 };
  const reason = `${bytesText(freeBytes)} are free on the device, less than ${deviceFreeShareMin * 100} %`;
  return withShrink(decide(less, rows, `${reason}: a smaller size`));
}

/** After many runs without trouble: one size up towards the one that memory had taken away. */
function growBack(state: ControllerState): ControllerState {
  const { chosenRows, rows, rowsMax } = state;
  if (state.cleanRuns < deviceCleanRuns || rows >= (chosenRows ?? rowsMax)) return withRun(state);
  const known = state.records.find((record) => record.rows > rows && record.rows <= rowsMax)?.rows;
  const target = known ?? state.sizes.find((size) => size > rows)!;
  const wider: ControllerState = { ...state, rowsMaxNow: target, cleanRuns: 0 };
  if (!fits(wider, target)) return withRun({ ...state, cleanRuns: 0 });
  const reason = `${deviceCleanRuns} runs without trouble`;
  if (chosenRows !== undefined) return goTo(wider, target, `${reason}: a larger size again`);
  return search(decide({ ...wider, rowsMaxNow: rowsMax, phase: 'grow' }, rows, `${reason}: the search goes on`));
}

function afterFailure(state: ControllerState, sample: OutOfMemorySample): ControllerState {
  const { rows, during, where } = sample;
  // Batches that were under way when the step was decided fail like the one before them.
  const late = during !== state.step.kind || rows > Math.min(state.rowsMax, state.rowsMaxNow);
  if (late) return state;
  if (during === 'newSession') return fail(state, memoryReason(state, state.rows, where, 'for a new session'));
  const troubled: ControllerState = { ...state, cleanRuns: 0, sessionRows: Math.max(state.sessionRows, rows) };
  if (during === 'shrink' && rows < state.rows) return withNewSession(troubled, `not even ${rowsText(rows)} run`);
  const smallest = state.sizes[0]!;
  if (rows > smallest) return afterTooLarge(troubled, sample);
  if (state.sessionFresh)
    return fail(state, memoryReason(state, smallest, where, 'after memory was given back, in a new session'));
  const again: ControllerState = { ...troubled, rows: smallest, failuresInRow: state.failuresInRow + 1 };
  const reason = `the smallest size ran out of memory (${where})`;
  return state.failuresInRow === 0
    ? withShrink(decide(again, smallest, `${reason}: give memory back`))
    : withNewSession(again, reason);
}

/** A size that is not the smallest ran out of memory. */
function afterTooLarge(state: ControllerState, { rows, where }: OutOfMemorySample): ControllerState {
  const record = recordOf(state, rows);
  const below = sizeUpTo(state, rows - 1);
  // What ran before and fails now may fit again: once that is tried, later. What never ran twice is too large.
  const proven = record.failures === 0 && record.secondsPerRow.length >= provenRuns - 1;
  // So few rows hardly fill a device by themselves: somebody else did, and the search goes on when that has passed.
  const elsewhere = record.failures === 0 && rows < deviceTinyRows && state.chosenRows === undefined;
  const rowsMax = proven || elsewhere ? state.rowsMax : below;
  const isSize = state.sizes.includes(rows);
  const counted = isSize ? withRecord(state, { ...record, failures: record.failures + 1 }) : state;
  const capped: ControllerState = { ...counted, rowsMax, rowsMaxNow: below, sessionFresh: false };
  const known = eligible(capped).findLast((size) => fits(capped, size.rows))?.rows;
  const failuresInRow = record.runs === 0 && known !== undefined ? 1 : state.failuresInRow + 1;
  const landing = known ?? sizeUpTo(state, state.phase === 'verify' ? deviceStartRows : Math.min(below, rows / 2));
  const smaller: ControllerState = {
    ...capped,
    failuresInRow,
    rows: landing,
    phase: elsewhere ? 'steady' : phaseAfterFailure(state, known),
    prior: state.phase === 'verify' ? undefined : state.prior,
    chosenRows: proven || state.chosenRows === undefined ? state.chosenRows : Math.min(state.chosenRows, landing),
  };
  const reason = `${rowsText(rows)} ran out of memory (${where})`;
  // Readings of the profile's size would hide those of the smaller sizes that are searched now.
  if (failuresInRow === 2 || state.phase === 'verify') return withNewSession(smaller, reason);
  return withShrink(decide(smaller, landing, `${reason}: a smaller size`));
}

function phaseAfterFailure({ phase }: ControllerState, known: number | undefined): ControllerState['phase'] {
  if (phase === 'steady' || phase === 'compare') return phase;
  return known === undefined ? 'grow' : 'refine';
}

function afterRecovery(
  state: ControllerState,
  kind: 'shrink' | 'newSession',
  freeBytes: number | undefined,
): ControllerState {
  const heldBytes = needBytes(state, kind === 'shrink' ? shrinkRows(state) : 0);
  const given: ControllerState = { ...state, heldBytes, arenaRows: 0 };
  const next: ControllerState =
    kind === 'shrink'
      ? given
      : {
          ...given,
          sessionFresh: true,
          sessionRows: 0,
          records: given.records.map((record) => ({ ...record, runs: 0 })),
        };
  const ready = withRun(withFree(next, freeBytes));
  const relieved = relieve(ready, freeBytes);
  return relieved === ready ? search(ready) : relieved;
}

function withShrink(state: ControllerState): ControllerState {
  return { ...state, step: { kind: 'shrink', rows: shrinkRows(state) } };
}

function withNewSession(state: ControllerState, reason: string): ControllerState {
  return { ...decide(state, state.rows, `${reason}: a new session`), step: { kind: 'newSession' } };
}

function fail(state: ControllerState, reason: string): ControllerState {
  return { ...decide(state, state.rows, reason), step: { kind: 'fail', reason } };
}

function memoryReason(state: ControllerState, rows: number, where: string, when: string): string {
  const { limits, freeBytes } = state;
  const fit = memoryFit(state);
  const { memoryBudgetBytes, fixedRows } = limits;
  const seen = state.records.find(({ peakBytes }) => peakBytes !== undefined);
  const parts = [
    fit === undefined ? undefined : `fixed ${bytesText(fit.fixedBytes)}, ${bytesText(fit.perRowBytes)} per row`,
    fit !== undefined || seen === undefined ? undefined : `${bytesText(seen.peakBytes!)} at ${rowsText(seen.rows)}`,
    `inputs and outputs ${bytesText(limits.bytesPerRow * limits.deviceBuffers)} per row`,
    `budget ${memoryBudgetBytes === undefined ? 'none' : bytesText(memoryBudgetBytes)}`,
    `${bytesText(freeBytes)} of ${bytesText(limits.totalBytes)} free`,
  ].filter((part) => part !== undefined);
  const todo = [
    'See which other processes hold memory of the device',
    ...(memoryBudgetBytes === undefined ? [] : ['raise the memory budget']),
    fixedRows === undefined
      ? 'use a model with smaller rows or weights (float16)'
      : 'export the model with a free batch axis',
    'or score on the CPU.',
  ].join(', ');
  const batch = `a batch of ${rowsText(rows)}`;
  return (
    `Expected ${batch} to fit into the GPU's memory, got out of memory ${when}: ${where}. ` +
    `Memory: ${parts.join(', ')}. ${todo}`
  );
}

function hostReason({ bytesPerRow, deviceBuffers, hostBytesMax, fixedRows = 1 }: DeviceLimits): string {
  const needed = bytesText(fixedRows * bytesPerRow * deviceBuffers);
  return (
    `Expected ${deviceBuffers} batches of ${rowsText(fixedRows)} to fit into ${bytesText(hostBytesMax)} of host memory, ` +
    `got \`${needed}\`. Allow more memory, or use a model with smaller rows.`
  );
}
