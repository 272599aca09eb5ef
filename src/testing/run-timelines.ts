/** Timelines of runs that never were: threads that fill slots, and GPUs that take them in turn. */
import type { RunRecord, TimelineSpan } from '../run-record.ts';
import { seededRandom } from './random.ts';

type Timeline = NonNullable<RunRecord['timeline']>;

interface Slot {
  readonly shardIndex: number;
  readonly firstRow: number;
  readonly rowCount: number;
  readonly readyMs: number;
}

const slotRows = 32_768;

/** Six prep threads and two GPUs of three streams each; the GPUs are faster than the threads. */
export function gpuTimeline(fromMs: number, durationMs: number): Timeline {
  const random = seededRandom(3);
  const slots: Slot[] = [];
  const prep = Array.from({ length: 6 }, (_, index) => {
    const spans: TimelineSpan[] = [];
    let nowMs = fromMs + index * 3;
    const then = (activity: TimelineSpan['activity'], milliseconds: number, rows: object): void => {
      spans.push({ activity, startMs: nowMs, durationMs: milliseconds, ...rows });
      nowMs += milliseconds;
    };
    for (let turn = 0; nowMs < fromMs + durationMs; turn++) {
      const rows = { shardIndex: index, firstRow: (40 + turn) * slotRows, rowCount: slotRows };
      then('decode', 11 + 4 * random(), rows);
      then('featurize', 3.5 + random(), rows);
      slots.push({ ...rows, readyMs: nowMs });
      if (turn % 3 === 2) then('waitForScores', 0.5 + 2 * random(), {});
      if (turn > 0) then('write', 1.2 + random(), { ...rows, firstRow: rows.firstRow - slotRows });
    }
    return { name: `prep ${index}`, spans };
  });
  slots.sort((a, b) => a.readyMs - b.readyMs);
  const gpus = [0, 1].flatMap((gpu) =>
    streams(
      `cuda:${gpu}`,
      slots.filter((_, index) => index % 2 === gpu),
      random,
    ),
  );
  return { fromMs, toMs: fromMs + durationMs, tracks: [...prep, ...gpus] };
}

/** Copy in, run and copy out, each in order, each after the one before. */
function streams(name: string, slots: readonly Slot[], random: () => number): Timeline['tracks'] {
  const tracks = {
    copyIn: [] as TimelineSpan[],
    compute: [] as TimelineSpan[],
    copyOut: [] as TimelineSpan[],
  };
  const freeMs = { copyIn: 0, compute: 0, copyOut: 0 };
  for (const { readyMs, ...rows } of slots) {
    const run = (stream: keyof typeof tracks, afterMs: number, durationMs: number): number => {
      const startMs = Math.max(afterMs, freeMs[stream]);
      tracks[stream].push({ activity: stream, startMs, durationMs, ...rows });
      return (freeMs[stream] = startMs + durationMs);
    };
    const computedMs = run('compute', run('copyIn', readyMs, 0.9 + 0.2 * random()), 2.9 + 0.3 * random());
    run('copyOut', computedMs, 0.2);
  }
  return [
    { name: `${name} copy in`, spans: tracks.copyIn },
    { name, spans: tracks.compute },
    { name: `${name} copy out`, spans: tracks.copyOut },
  ];
}

/** Four threads, each of which does everything with its own slot. */
export function lanesTimeline(fromMs: number, durationMs: number): Timeline {
  const random = seededRandom(4);
  const tracks = Array.from({ length: 4 }, (_, index) => {
    const spans: TimelineSpan[] = [];
    let nowMs = fromMs + index;
    for (let turn = 0; nowMs < fromMs + durationMs; turn++) {
      const rows = { shardIndex: index, firstRow: turn * 2048, rowCount: 2048 };
      for (const [activity, milliseconds] of [
        ['decode', 0.35],
        ['featurize', 0.18],
        ['compute', 1.2],
        ['write', 0.12],
      ] as const) {
        const taken = milliseconds * (0.9 + 0.3 * random());
        spans.push({ activity, startMs: nowMs, durationMs: taken, ...rows });
        nowMs += taken;
      }
    }
    return { name: `cpu thread ${index}`, spans };
  });
  return { fromMs, toMs: fromMs + durationMs, tracks };
}
