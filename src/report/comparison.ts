/** Two runs side by side: what changed, and what it did. Pure. */
import type { LedgerPartName, RunRecord } from '../run-record.ts';
import { counted, formatBytes, formatCount, formatRate, formatSeconds } from '../cli/format.ts';
import { lookOfPart } from './parts.ts';

export interface Change {
  readonly what: string;
  /** Undefined: not there. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface Effect {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** `1.42 times`, `-21.0 points`, `+312.0 MiB` */
  readonly difference: string;
  /** Undefined: neither, or too little to say; always so for parts of the ledger. */
  readonly direction: 'better' | 'worse' | undefined;
}

export interface Comparison {
  readonly version: 1;
  /** One line. */
  readonly sentence: string;
  readonly changed: readonly Change[];
  readonly effects: readonly Effect[];
  /** What the parts of the ledger are shares of: the wall time only where both runs did the same work from start to end. */
  readonly partsOf: 'wall time' | 'working time';
  /** What makes the comparison say less than it seems to. */
  readonly notes: readonly string[];
}

/** Ratios, and points of a share, that differ by less are chance on most machines. */
const ratioNoise = 0.03;
const pointsNoise = 1;
/** Parts below it in both runs are left out. */
const shareShownMin = 0.005;

export function compareRuns(before: RunRecord, after: RunRecord): Comparison {
  const changed = changes(before, after);
  const sameRows = [before, after].every(isWhole) && before.result.rowsOut === after.result.rowsOut;
  const sameWork = sameRows && sameModel(before, after);
  const parts = partEffects(before, after, !sameWork);
  return {
    version: 1,
    sentence: sentenceOf(before, after, { sameWork, changed, parts }),
    changed,
    effects: [...runEffects(before, after, sameWork), ...parts],
    partsOf: sameWork ? 'wall time' : 'working time',
    notes: notesOf(before, after, sameWork),
  };
}

/** Of other models no rate is better than the other's. */
function sameModel(before: RunRecord, after: RunRecord): boolean {
  return before.model.sha256 === after.model.sha256;
}

function isWhole({ ended, window }: RunRecord): boolean {
  return ended === 'done' && window === undefined;
}

/** Parts of a scorer's time that are no work, and that weigh the more the shorter a run is. */
const aside: readonly LedgerPartName[] = ['warmUp', 'idleTail'];

/** Rows a second of the time in which the scorers worked, their mean; NaN: none did, or starting took most of the time. */
function workingRate({ result: { ledger, rowsOut } }: RunRecord): number {
  if (ledger === undefined || ledger.verdict.bottleneck === 'warmUp') return NaN;
  const { scorers } = ledger;
  const seconds = scorers.flatMap(({ parts }) =>
    parts.map(({ name, seconds }) => (aside.includes(name) ? 0 : seconds)),
  );
  return (rowsOut * scorers.length) / seconds.reduce((sum, each) => sum + each, 0);
}

function changes(before: RunRecord, after: RunRecord): Change[] {
  const bothWhole = [before, after].every(isWhole);
  const old = traits(before, bothWhole);
  const now = traits(after, bothWhole);
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .map((what) => ({ what, before: old[what], after: now[what] }))
    .filter((change) => change.before !== change.after && !isFreeMemory(change));
}

/** Nobody chose it: what the machine had free differs from run to run. */
function isFreeMemory({ what, before, after }: Change): boolean {
  return what === 'memory' && [before, after].every((text) => text?.includes('available memory') === true);
}

/** Everything that may be the reason of a difference, as words. A part of a run has not finished all of its shards. */
function traits(
  { result, environment, model, settings }: RunRecord,
  bothWhole: boolean,
): Readonly<Record<string, string | undefined>> {
  const { gpus, memoryBytes, cores, tandem, node, duckDb, onnxRuntime, cpu, system } = environment;
  const ran: Readonly<Record<string, string | undefined>> = {
    device: result.device,
    threads: formatCount(result.threads),
    'batch size': result.batchSize === undefined ? undefined : formatCount(result.batchSize),
    precision: result.precision,
    model: model.path,
    'model sha256': model.sha256.slice(0, 12),
    'contract sha256': model.contractSha256.slice(0, 12),
    input: `${counted(result.rowsIn, 'row')}${bothWhole ? ` of ${counted(result.shards, 'shard')}` : ''}`,
  };
  const there = {
    GPUs: gpus.length === 0 ? undefined : gpus.join(', '),
    CPU: cpu,
    cores: formatCount(cores),
    'memory of the machine': formatBytes(memoryBytes),
    system,
    Tandem: tandem,
    Node: node,
    DuckDB: duckDb,
    'ONNX Runtime': onnxRuntime,
  };
  // A setting that says what the run's own figures say is told once; two runs never share an output folder.
  const others = Object.entries(settings).filter(([name]) => !(name in ran) && name !== 'output');
  return { ...ran, ...Object.fromEntries(others), ...there };
}

function runEffects(before: RunRecord, after: RunRecord, sameWork: boolean): Effect[] {
  const bothWhole = [before, after].every(isWhole);
  const isSame = sameModel(before, after);
  const bytes = (what: string, of: (record: RunRecord) => number): Effect[] => {
    const [old, now] = [of(before), of(after)];
    if (old === 0 && now === 0) return [];
    const difference = `${now < old ? '-' : '+'}${formatBytes(Math.abs(now - old))}`;
    const isTold = bothWhole && isSame && old > 0 && now > 0;
    return [
      {
        what,
        before: formatBytes(old),
        after: formatBytes(now),
        difference,
        direction: isTold ? direction(old / now) : undefined,
      },
    ];
  };
  const rate = (what: string, of: (record: RunRecord) => number, isTold: boolean): Effect[] => {
    const [old, now] = [of(before), of(after)];
    if (Number.isNaN(old) || Number.isNaN(now)) return [];
    const gain = now / old;
    return [
      {
        what,
        before: formatRate(old),
        after: formatRate(now),
        difference: times(gain),
        direction: isTold ? direction(gain) : undefined,
      },
    ];
  };
  const [oldWall, wall] = [before.result.wallSeconds, after.result.wallSeconds];
  return [
    ...rate('rate, start to end', ({ result }) => result.rowsPerSecond, sameWork),
    ...rate('rate while working', workingRate, isSame),
    {
      what: 'wall time',
      before: formatSeconds(oldWall),
      after: formatSeconds(wall),
      difference: times(wall / oldWall),
      // Of other work it says nothing.
      direction: sameWork ? direction(oldWall / wall) : undefined,
    },
    ...bytes('memory at its peak', peakBytes),
    ...bytes('GPU memory at its peak', ({ result }) =>
      Math.max(0, ...result.devices.map(({ memoryPeakBytes }) => memoryPeakBytes)),
    ),
  ];
}

/** Resident memory at its peak as far as the samples saw it, in bytes; 0: no sample was taken. */
export function peakBytes({ samples }: Pick<RunRecord, 'samples'>): number {
  return samples.reduce((most, { residentBytes }) => Math.max(most, residentBytes), 0);
}

function direction(gain: number): Effect['direction'] {
  if (!Number.isFinite(gain) || Math.abs(gain - 1) <= ratioNoise) return undefined;
  return gain > 1 ? 'better' : 'worse';
}

interface PartEffect extends Effect {
  readonly points: number;
}

function partEffects(before: RunRecord, after: RunRecord, whileWorking: boolean): PartEffect[] {
  const old = partShares(before, whileWorking);
  const now = partShares(after, whileWorking);
  if (old === undefined || now === undefined) return [];
  return [...now.keys()].flatMap((name) => {
    const [a, b] = [old.get(name) ?? 0, now.get(name) ?? 0];
    if (a < shareShownMin && b < shareShownMin) return [];
    const points = (b - a) * 100;
    return [
      {
        what: lookOfPart(name).label,
        before: `${(a * 100).toFixed(1)} %`,
        after: `${(b * 100).toFixed(1)} %`,
        difference: `${points < 0 ? '-' : '+'}${Math.abs(points).toFixed(1)} points`,
        // A share may grow because another part has become faster.
        direction: undefined,
        points,
      },
    ];
  });
}

/** Of the scorers' wall time, or of the time in which they worked; undefined: the run scored nothing. */
function partShares(
  { result: { ledger } }: RunRecord,
  whileWorking: boolean,
): ReadonlyMap<LedgerPartName, number> | undefined {
  const parts = (ledger?.scorers ?? []).flatMap((scorer) => scorer.parts);
  const counted = whileWorking ? parts.filter(({ name }) => !aside.includes(name)) : parts;
  const all = counted.reduce((sum, { seconds }) => sum + seconds, 0);
  if (all === 0) return undefined;
  const shares = new Map<LedgerPartName, number>();
  for (const { name, seconds } of counted) shares.set(name, (shares.get(name) ?? 0) + seconds / all);
  return shares;
}

function sentenceOf(
  before: RunRecord,
  after: RunRecord,
  found: { readonly sameWork: boolean; readonly changed: readonly Change[]; readonly parts: readonly PartEffect[] },
): string {
  const { sameWork, changed, parts } = found;
  const rates = [before, after].map((record) => (sameWork ? record.result.rowsPerSecond : workingRate(record)));
  const most = [...parts].sort((a, b) => Math.abs(b.points) - Math.abs(a.points))[0];
  const time = sameWork ? "the scorers' time" : 'the working time';
  const moved =
    most === undefined || Math.abs(most.points) < pointsNoise
      ? []
      : [`${most.what} went from ${most.before} to ${most.after} of ${time}`];
  const names = changed.map(({ what }) => what);
  const reasons =
    names.length === 0
      ? 'nothing that is recorded changed'
      : `changed: ${names.slice(0, 4).join(', ')}${names.length > 4 ? ` and ${names.length - 4} more` : ''}`;
  const other = sameModel(before, after) ? [] : ['the models differ'];
  return [...other, rateWords(rates[1]! / rates[0]!, sameWork), ...moved, ...partWords(before, after), reasons].join('; ');
}

function rateWords(gain: number, sameWork: boolean): string {
  const when = sameWork ? '' : 'while working ';
  if (!Number.isFinite(gain) || gain === 0) return 'the rates cannot be compared: one of the runs had hardly begun';
  return direction(gain) === undefined
    ? `${when}the rate is the same within 3 %`
    : `${when}the second run is ${times(gain)} as fast as the first`;
}

/** Which of the two is no whole run. */
function partWords(before: RunRecord, after: RunRecord): string[] {
  return [before, after].flatMap((record, index) => {
    if (isWhole(record)) return [];
    const { window, ended, result } = record;
    const part =
      window === undefined
        ? `a part, ${formatCount(result.rowsOut)} of ${counted(result.rowsIn, 'row')} (${ended})`
        : `a profile of ${formatSeconds(window.seconds)}`;
    return [`the ${index === 0 ? 'first' : 'second'} is ${part}`];
  });
}

function notesOf(before: RunRecord, after: RunRecord, sameWork: boolean): string[] {
  const notes = [before, after].flatMap(({ ended }, index) =>
    ended === 'done' ? [] : [`The ${index === 0 ? 'first' : 'second'} run did not end well: ${ended}.`],
  );
  if (!sameModel(before, after)) notes.push('The models differ: the rates are of different work.');
  if (!sameWork) {
    notes.push(
      'They did not do the same work from start to end: what counts are rates and shares of the time in which scorers ' +
        'worked, without starting and without idle tails.',
    );
  }
  if (before.result.shardsSkipped !== after.result.shardsSkipped) {
    notes.push('One run went on where an earlier one had ended: it scored only what was missing.');
  }
  const kinds = [before, after].map(({ result }) => result.ledger?.scorers[0]?.kind);
  if (kinds[0] !== kinds[1] && !kinds.includes(undefined)) {
    notes.push(
      'One ledger is of CPU threads, which prepare their rows, the other of GPUs, which wait for others to do it.',
    );
  }
  return notes;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} times`;
}
