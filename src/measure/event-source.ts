/** What the threads have kept for a trace, as spans of the run's tracks. */
import type { CrewSheets } from '../messages.ts';
import type { RunPlan } from '../plan.ts';
import { EventReader, openStretch, type EventMemory, type TimeSheetMemory, type TraceEvent } from './time-sheet.ts';
import type { TrackSpan } from './timeline.ts';

interface Source {
  readonly reader: EventReader;
  readonly firstTrack: number;
}

/** Tracks of a GPU, in the order of its events' tracks. */
const deviceTracks = ['', ' copy in', ' compute', ' copy out'];

export class EventSource {
  /** In the order of the spans' tracks. */
  readonly trackNames: readonly string[];
  readonly #startMs: number;
  readonly #sources: readonly Source[];
  /** Of the threads, and their tracks. */
  readonly #sheets: readonly (readonly [sheet: TimeSheetMemory, track: number])[];

  /** @param startMs of the run, on the clock of all threads */
  constructor({ prep, writer, devices }: CrewSheets, { devices: planned }: Pick<RunPlan, 'devices'>, startMs: number) {
    this.#startMs = startMs;
    const names: string[] = [];
    const sheets: [TimeSheetMemory, number][] = [];
    const thread = (sheet: TimeSheetMemory, name: string): Source => {
      sheets.push([sheet, names.length]);
      return source(sheet.events, [name]);
    };
    const source = (events: EventMemory, tracks: readonly string[]): Source => {
      const firstTrack = names.length;
      names.push(...tracks);
      return { reader: new EventReader(events), firstTrack };
    };
    this.#sources = [
      ...devices.map(({ events }, index) =>
        source(
          events,
          deviceTracks.map((track) => `${planned[index]!.name}${track}`),
        ),
      ),
      ...prep.map((sheet, index) => thread(sheet, `prep ${index}`)),
      ...(writer === undefined ? [] : [thread(writer, 'writer')]),
    ];
    this.trackNames = names;
    this.#sheets = sheets;
  }

  /** Spans that have ended since the last call. */
  take(): TrackSpan[] {
    return this.#sources.flatMap(({ reader, firstTrack }) =>
      reader.take().map((event) => this.#spanOf(event, firstTrack + event.track)),
    );
  }

  /** All threads have ended: what they did last, until then. */
  takeLast(nowMs: number): TrackSpan[] {
    return [...this.take(), ...this.#sheets.map(([sheet, track]) => this.#spanOf(openStretch(sheet, nowMs), track))];
  }

  /** Events that came faster than they were taken. */
  get lost(): number {
    return this.#sources.reduce((sum, { reader }) => sum + reader.lost, 0);
  }

  #spanOf(event: TraceEvent, track: number): TrackSpan {
    const { activity, shardIndex, firstRow, rowCount } = event;
    const startMs = event.startMs - this.#startMs;
    const durationMs = event.endMs - event.startMs;
    if (shardIndex < 0) return { track, activity, startMs, durationMs };
    return { track, activity, startMs, durationMs, shardIndex, firstRow, rowCount };
  }
}
