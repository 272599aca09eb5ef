/** A {@link Progress} as text: for a terminal, for a log, for a program. Pure. */
import type { Progress } from '../options.ts';
import { toJson } from '../json.ts';
import { counted, formatBytes, formatCount, formatRate, formatSeconds, shorten, wrapParts } from './format.ts';

const planningText = 'planning: reading the footers, loading the model';

/** One JSON object in one line. */
export function progressJson(progress: Progress): string {
  return toJson(progress);
}

/** One line for a log. */
export function progressLine(progress: Progress): string {
  if (progress.phase === 'planning') return planningText;
  if (progress.phase === 'reading') return readingText(progress);
  if (progress.phase === 'counting') return countingText(progress);
  const { rowsDone, rowsTotal, secondsElapsed } = progress;
  const start = `${progress.phase}: ${formatCount(rowsDone)} of ${counted(rowsTotal, 'row')} (${percent(progress)})`;
  const end = progress.phase === 'done' ? [`${formatSeconds(secondsElapsed)}`] : timeLeft(progress);
  const line = [start, shards(progress), ...waiting(progress), ...rates(progress), ...end, ...batch(progress)].join(
    ', ',
  );
  return [line, ...bottleneck(progress)].join('; ');
}

/** A few lines for a terminal of `width` columns: a bar, and what `progressLine` says. */
export function progressLines(progress: Progress, width: number, color: boolean): string[] {
  // One column stays free: some terminals break the line when its last column is written.
  const room = width - 1;
  if (progress.phase === 'planning') return [shorten(planningText, room)];
  if (progress.phase === 'reading') return [shorten(readingText(progress), room)];
  if (progress.phase === 'counting') return [shorten(countingText(progress), room)];
  const label = `${progress.phase.padEnd('scoring'.length)} `;
  const share = ` ${percent(progress).padStart(6)}`;
  const barWidth = Math.max(4, Math.min(60, room - label.length - share.length));
  const times = [`${formatSeconds(progress.secondsElapsed)} so far`, ...timeLeft(progress)];
  return [
    `${label}${bar(fraction(progress), barWidth, color)}${share}`,
    ...wrapParts(
      [`${formatCount(progress.rowsDone)} of ${counted(progress.rowsTotal, 'row')}`, shards(progress)],
      '   ',
      room,
    ),
    ...wrapParts([...waiting(progress), ...rates(progress), ...batch(progress)], '   ', room),
    ...wrapParts(progress.phase === 'done' ? [formatSeconds(progress.secondsElapsed)] : times, '   ', room),
    ...bottleneck(progress).flatMap((text) => firstLines(text, 2, room)),
  ];
}

/** `reading what is no Parquet: 1 of 3 files, 12 MB of 1.2 GB (1.0 %), 4 s so far` */
export function readingText({ reading, secondsElapsed }: Pick<Progress, 'reading' | 'secondsElapsed'>): string {
  if (reading === undefined) return planningText;
  const { filesDone, filesTotal, bytesDone, bytesTotal } = reading;
  const share = `${(Math.floor((bytesDone / Math.max(1, bytesTotal)) * 1000) / 10).toFixed(1)} %`;
  return [
    `reading what is no Parquet: ${formatCount(filesDone)} of ${counted(filesTotal, 'file')}`,
    `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} (${share})`,
    `${formatSeconds(secondsElapsed)} so far`,
  ].join(', ');
}

/** `counting the rows that are taken: looked at 12,000,000 of 40,000,000 rows (30.0 %), 2 s so far` */
function countingText(progress: Progress): string {
  const { rowsDone, rowsTotal, secondsElapsed } = progress;
  const looked = `looked at ${formatCount(rowsDone)} of ${counted(rowsTotal, 'row')} (${percent(progress)})`;
  return `counting the rows that are taken: ${looked}, ${formatSeconds(secondsElapsed)} so far`;
}

/** `width` characters. Full only when the share is 1. */
export function bar(share: number, width: number, color: boolean): string {
  const filled = share >= 1 ? width : Math.min(width - 1, Math.floor(Math.max(0, share) * width));
  const [full, empty] = ['█'.repeat(filled), '░'.repeat(width - filled)];
  return color ? `\u001b[36m${full}\u001b[39m\u001b[2m${empty}\u001b[22m` : full + empty;
}

/** No rows at all are all of them. */
function fraction({ rowsDone, rowsTotal, phase }: Progress): number {
  if (rowsTotal === 0) return phase === 'done' ? 1 : 0;
  return rowsDone / rowsTotal;
}

/** Rounded down: 100 % is when every row is done. */
function percent(progress: Progress): string {
  return `${(Math.floor(fraction(progress) * 1000) / 10).toFixed(1)} %`;
}

function shards({ shardsDone, shardsTotal, shardsSkipped }: Progress): string {
  const skipped = shardsSkipped === 0 ? '' : ` (${formatCount(shardsSkipped)} more whole already)`;
  return `${formatCount(shardsDone)} of ${counted(shardsTotal, 'shard')}${skipped}`;
}

function rates({ phase, rowsDone, rowsPerSecondNow, rowsPerSecondMean }: Progress): string[] {
  if (rowsDone === 0) return [];
  const mean = `${formatRate(rowsPerSecondMean)} on average`;
  return phase === 'done' ? [mean] : [`${formatRate(rowsPerSecondNow)} now`, mean];
}

/** Rows count when their slot is scored: of the first one, which may be long, nothing else shows. */
function waiting({ phase, rowsDone, rowsTotal, secondsElapsed }: Progress): string[] {
  if (phase === 'done' || rowsDone > 0 || rowsTotal === 0 || secondsElapsed < 1) return [];
  const what = phase === 'scoring' ? 'scores of the first slot' : 'first slot';
  return [`waiting for the ${what} for ${formatSeconds(secondsElapsed)}`];
}

function timeLeft({ secondsLeft }: Progress): string[] {
  return secondsLeft === undefined ? [] : [`about ${formatSeconds(secondsLeft)} left`];
}

/** At the end the result says it for the whole run. */
function bottleneck({ bottleneck: text, phase }: Progress): string[] {
  return text === undefined || phase === 'done' ? [] : [`now: ${text}`];
}

/** Words in lines; `…` where they are too many. */
function firstLines(text: string, countMax: number, width: number): string[] {
  const lines = wrapParts(text.split(' '), ' ', width);
  if (lines.length <= countMax) return lines;
  const last = [...lines[countMax - 1]!].slice(0, width - 2).join('');
  return [...lines.slice(0, countMax - 1), `${last} …`];
}

function batch({ batchSize, phase }: Progress): string[] {
  if (batchSize !== undefined) return [`batch size ${formatCount(batchSize)}`];
  return phase === 'done' ? [] : ['batch size being chosen'];
}
