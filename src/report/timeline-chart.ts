/** Which batch was where: threads and streams over a window of the run. */
import type { RunRecord, TimelineTrack } from '../run-record.ts';
import { colourScale, fitted, nameAxis, type Chart } from './chart.ts';
import { lookOfActivity } from './parts.ts';

type Timeline = NonNullable<RunRecord['timeline']>;

/** Tracks of one chart; a run may have hundreds of threads. */
export const timelineTracksMax = 40;

export function timelineSpans(tracks: readonly TimelineTrack[], shards: RunRecord['shards']): readonly TimelineRow[] {
  return tracks.flatMap(({ name, spans }) =>
    spans.map(({ activity, startMs, durationMs, shardIndex, firstRow, rowCount }) => ({
      track: name,
      ...lookOfActivity(activity),
      startMs,
      endMs: startMs + durationMs,
      durationMs,
      shard: shardIndex ?? -1,
      shardName: shardIndex === undefined ? 'none in particular' : (shards[shardIndex]?.name ?? `shard ${shardIndex}`),
      firstRow: firstRow ?? -1,
      endRow: firstRow === undefined ? -1 : firstRow + (rowCount ?? 0),
      rows: firstRow === undefined ? '' : `${firstRow} to ${firstRow + (rowCount ?? 0) - 1}`,
    })),
  );
}

interface TimelineRow {
  readonly track: string;
  readonly label: string;
  readonly colour: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly durationMs: number;
  /** Index; -1: no shard in particular. */
  readonly shard: number;
  readonly shardName: string;
  readonly firstRow: number;
  readonly endRow: number;
  readonly rows: string;
}

/** Pointing at a span leaves those bright that have rows in common with it. */
const sharesRows =
  'datum.shard === pointed.shard[0] && datum.firstRow < pointed.endRow[0] && pointed.firstRow[0] < datum.endRow';

/** Width of a span, in an expression of Vega. */
const pixels = 'width * datum.durationMs / (to - from)';

export function timelineChart(id: string, { fromMs, toMs, tracks }: Timeline, shards: RunRecord['shards']): Chart {
  const rows = timelineSpans(tracks.slice(0, timelineTracksMax), shards);
  return {
    id,
    describe: 'What each thread and each stream did in a window of the run',
    zooms: true,
    legend: rows,
    spec: {
      ...fitted,
      height: 26 * new Set(rows.map(({ track }) => track)).size,
      data: { values: [...rows] },
      params: [
        { name: 'from', value: fromMs },
        { name: 'to', value: toMs },
        {
          name: 'pointed',
          select: { type: 'point', on: 'pointerover', clear: 'pointerout', fields: ['shard', 'firstRow', 'endRow'] },
        },
      ],
      // A thin span would be all edge.
      mark: { type: 'bar', clip: true, height: { band: 0.8 }, strokeWidth: { expr: `${pixels} > 3 ? 0.5 : 0` } },
      encoding: {
        x: {
          field: 'startMs',
          type: 'quantitative',
          scale: { domain: { expr: '[from, to]' } as never, nice: false, zero: false },
          axis: { title: 'milliseconds since the start', grid: true, tickCount: 6, domain: false },
        },
        x2: { field: 'endMs' },
        y: { field: 'track', type: 'nominal', sort: null, axis: nameAxis },
        color: { field: 'label', type: 'nominal', scale: colourScale(rows), legend: null },
        opacity: {
          condition: { test: `!isValid(pointed.shard) || pointed.shard[0] < 0 || (${sharesRows})`, value: 1 },
          value: 0.25,
        },
        tooltip: [
          { field: 'track', title: 'who' },
          { field: 'label', title: 'what' },
          { field: 'durationMs', title: 'milliseconds', format: ',.2f' },
          { field: 'startMs', title: 'from', format: ',.2f' },
          { field: 'shardName', title: 'shard' },
          { field: 'rows', title: 'rows' },
        ],
      },
    },
  };
}
