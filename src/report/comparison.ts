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
  /** Undefined: neither, or too little to say. */
  readonly direction: 'better' | 'worse' | undefined;
}

export interface Comparison {
  readonly version: 1;
  /** One line. */
  readonly sentence: string;
  readonly changed: readonly Change[];
  readonly effects: readonly Effect[];
  /** What makes the comparison say less than it seems to. */
  readonly notes: readonly string[];
}

/** Ratios and shares that differ by less are chance on most machines. */
const ratioNoise = 0.03;
const pointsNoise = 0.01;
/** Parts below it in both runs are left out. */
const shareShownMin = 0.005;

export function compareRuns(before: RunRecord, after: RunRecord): Comparison {
  const changed = changes(before, after);
  const parts = partEffects(before, after);
  return {
    version: 1,
    sentence: sentenceOf(before, after, changed, parts),
    changed,
    effects: [...runEffects(before, after), ...parts],
    notes: notesOf(before, after),
  };
}

function changes(before: RunRecord, after: RunRecord): Change[] {
  const old = traits(before);
  const now = traits(after);
  return [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .map((what) => ({ what, before: old[what], after: now[what] }))
    .filter((change) => change.before !== change.after);
}

/** Everything that may be the reason of a difference, as words. */
function traits({
  result,
  environment,
  model,
  settings,
  shards,
}: RunRecord): Readonly<Record<string, string | undefined>> {
  const { gpus, memoryBytes, cores, tandem, node, duckDb, onnxRuntime, cpu, system } = environment;
  const ran: Readonly<Record<string, string | undefined>> = {
    device: result.device,
    threads: formatCount(result.threads),
    'batch size': result.batchSize === undefined ? undefined : formatCount(result.batchSize),
    precision: result.precision,
    model: model.path,
    'model sha256': model.sha256.slice(0, 12),
    'contract sha256': model.contractSha256.slice(0, 12),
    input: `${counted(result.rowsIn, 'row')} of ${counted(shards.length, 'shard')}`,
  };
  const there = {
    GPUs: gpus.length === 0 ? undefined : gpus.join(', '),
    CPU: cpu,
    cores: formatCount(cores),
    memory: formatBytes(memoryBytes),
    system,
    Tandem: tandem,
    Node: node,
    DuckDB: duckDb,
    'ONNX Runtime': onnxRuntime,
  };
  // A setting that says what the run's own figures say is told once.
  const others = Object.entries(settings).filter(([name]) => !(name in ran));
  return { ...ran, ...Object.fromEntries(others), ...there };
}

function runEffects(before: RunRecord, after: RunRecord): Effect[] {
  const bytes = (what: string, of: (record: RunRecord) => number): Effect[] => {
    const [old, now] = [of(before), of(after)];
    if (old === 0 && now === 0) return [];
    const difference = `${now < old ? '-' : '+'}${formatBytes(Math.abs(now - old))}`;
    return [{ what, before: formatBytes(old), after: formatBytes(now), difference, direction: direction(old / now) }];
  };
  const { rowsPerSecond: oldRate, wallSeconds: oldWall } = before.result;
  const { rowsPerSecond: rate, wallSeconds: wall } = after.result;
  return [
    {
      what: 'rate',
      before: formatRate(oldRate),
      after: formatRate(rate),
      difference: times(rate / oldRate),
      direction: direction(rate / oldRate),
    },
    {
      what: 'wall time',
      before: formatSeconds(oldWall),
      after: formatSeconds(wall),
      difference: times(wall / oldWall),
      direction: direction(oldWall / wall),
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

function partEffects(before: RunRecord, after: RunRecord): PartEffect[] {
  const old = partShares(before);
  const now = partShares(after);
  if (old === undefined || now === undefined) return [];
  return [...now.keys()].flatMap((name) => {
    const [a, b] = [old.get(name) ?? 0, now.get(name) ?? 0];
    if (a < shareShownMin && b < shareShownMin) return [];
    const points = (b - a) * 100;
    const isGood = name === 'computing' ? b > a : b < a;
    return [
      {
        what: lookOfPart(name).label,
        before: `${(a * 100).toFixed(1)} %`,
        after: `${(b * 100).toFixed(1)} %`,
        difference: `${points < 0 ? '-' : '+'}${Math.abs(points).toFixed(1)} points`,
        direction: Math.abs(b - a) <= pointsNoise ? undefined : isGood ? ('better' as const) : ('worse' as const),
        points,
      },
    ];
  });
}

/** Mean over the scorers; undefined: the run scored nothing. */
export function partShares({ result: { ledger } }: RunRecord): ReadonlyMap<LedgerPartName, number> | undefined {
  if (ledger === undefined || ledger.scorers.length === 0) return undefined;
  const shares = new Map<LedgerPartName, number>();
  for (const { parts } of ledger.scorers)
    for (const { name, share } of parts) shares.set(name, (shares.get(name) ?? 0) + share / ledger.scorers.length);
  return shares;
}

function sentenceOf(
  before: RunRecord,
  after: RunRecord,
  changed: readonly Change[],
  parts: readonly PartEffect[],
): string {
  const gain = after.result.rowsPerSecond / before.result.rowsPerSecond;
  const rate =
    direction(gain) === undefined
      ? 'the rate is the same within 3 %'
      : `the second run is ${times(gain)} as fast as the first`;
  const most = [...parts].sort((a, b) => Math.abs(b.points) - Math.abs(a.points))[0];
  const moved =
    most === undefined || Math.abs(most.points) < pointsNoise * 100
      ? ''
      : `; ${most.what} went from ${most.before} to ${most.after} of the scorers' time`;
  const names = changed.map(({ what }) => what);
  const reasons =
    names.length === 0
      ? '; nothing that is recorded changed'
      : `; changed: ${names.slice(0, 4).join(', ')}${names.length > 4 ? ` and ${names.length - 4} more` : ''}`;
  return `${rate}${moved}${reasons}`;
}

function notesOf(before: RunRecord, after: RunRecord): string[] {
  const notes: string[] = [];
  if (before.model.sha256 !== after.model.sha256) notes.push('The models differ: the rates are of different work.');
  if (before.result.rowsIn !== after.result.rowsIn) {
    notes.push('The numbers of rows differ: starting weighs more in the shorter run.');
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
