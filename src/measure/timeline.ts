/**
 * A window of a run for a picture of who did what. It should lie about the middle of the run, whose end is not known while
 * it runs: windows begin at moments that lie a fixed ratio apart, each ends when it is full, and the end shows which one
 * is nearest. Pure.
 */
import type { Timeline, TimelineSpan } from '../run-record.ts';

export interface TrackSpan extends TimelineSpan {
  /** Position in the list of tracks. */
  readonly track: number;
}

interface Window {
  readonly fromMs: number;
  /** Infinity: it still fills. */
  toMs: number;
  spans: TrackSpan[];
}

/** Between the starts of two windows: the nearest one to the middle of any run begins at 0.4 to 0.6 of its time. */
const startRatio = Math.SQRT2;
const firstStartMs = 250;

export class TimelineKeeper {
  readonly #spansMax: number;
  #windows: Window[] = [{ fromMs: 0, toMs: Infinity, spans: [] }];
  #nextStartMs = firstStartMs;

  constructor(spansMax: number) {
    this.#spansMax = spansMax;
  }

  /** @param spans that have ended since the last call, of all tracks */
  add(spans: readonly TrackSpan[], nowMs: number): void {
    for (const window of this.#windows) {
      // One by one: there may be more than fit on a stack as arguments.
      for (const span of spans) if (overlaps(span, window.fromMs, window.toMs)) window.spans.push(span);
      if (window.toMs === Infinity && window.spans.length > this.#spansMax) close(window, this.#spansMax);
    }
    if (nowMs < this.#nextStartMs) return;
    this.#nextStartMs = nowMs * startRatio;
    // The middle of the run lies beyond the middle of what has passed.
    this.#windows = this.#windows.filter(({ toMs }) => toMs > nowMs / 4);
    this.#windows.push({ fromMs: nowMs, toMs: Infinity, spans: [] });
  }

  /** The window that is nearest to the run's middle; undefined: nothing was kept. */
  timeline(endMs: number, trackNames: readonly string[]): Timeline | undefined {
    const distance = ({ fromMs, toMs }: Window): number => Math.abs(fromMs + Math.min(toMs, endMs) - endMs);
    const [best] = this.#windows.filter(({ spans }) => spans.length > 0).sort((a, b) => distance(a) - distance(b));
    if (best === undefined) return undefined;
    const tracks = trackNames.map((name, track) => ({
      name,
      spans: best.spans
        .filter((span) => span.track === track)
        .sort((a, b) => a.startMs - b.startMs)
        .map(({ track: _, ...span }) => span),
    }));
    return {
      fromMs: best.fromMs,
      toMs: Math.min(best.toMs, endMs),
      tracks: tracks.filter(({ spans }) => spans.length > 0),
    };
  }
}

function overlaps({ startMs, durationMs }: TimelineSpan, fromMs: number, toMs: number): boolean {
  return startMs < toMs && startMs + durationMs > fromMs;
}

/** Ends the window where it is full; what began before then and ends later still comes. */
function close(window: Window, spansMax: number): void {
  window.spans.sort((a, b) => a.startMs - b.startMs);
  window.toMs = window.spans[spansMax]!.startMs;
  window.spans = window.spans.slice(0, spansMax);
}
