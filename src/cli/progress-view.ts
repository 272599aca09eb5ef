/** Draws progress on a stream. What is drawn comes from `progress-text.ts`. */
import type { Progress } from '../options.ts';
import { toJson } from '../json.ts';
import { wantsColor, widthOf, type Io, type TextStream } from './io.ts';
import { progressJson, progressLine, progressLines } from './progress-text.ts';

export const progressModes = ['auto', 'live', 'plain', 'json', 'none'] as const;
export type ProgressMode = (typeof progressModes)[number];

export interface ProgressView {
  show(progress: Progress): void;
  /** A line that stays: a warning, a notice. */
  say(line: string): void;
  /** A line about what the run decides by itself; `detail`: for whoever reads all of it. */
  log(line: string, detail: boolean): void;
  /** Leaves the last picture where it is. */
  close(): void;
}

/** Least time between two plain lines; the first and the last one always come. */
const plainIntervalMs = 5_000;

/** `auto`: live on a terminal, else plain. */
export async function openProgress(
  mode: ProgressMode,
  io: Pick<Io, 'stderr' | 'environment' | 'nowMs'>,
): Promise<ProgressView> {
  const canDraw = io.stderr.isTTY === true && io.environment['TERM'] !== 'dumb';
  const shown = mode === 'auto' ? (canDraw ? 'live' : 'plain') : mode;
  switch (shown) {
    case 'live':
      return liveView(io);
    case 'plain':
      return plainView(io);
    case 'json':
      return jsonView(io);
    case 'none':
      return { show: () => {}, say: (line) => void io.stderr.write(`${line}\n`), log: () => {}, close: () => {} };
  }
}

async function liveView(io: Pick<Io, 'stderr' | 'environment'>): Promise<ProgressView> {
  const { createLogUpdate } = await import('log-update');
  // The cursor stays visible: a model that kills the process could not bring it back.
  const draw = createLogUpdate(screenOf(io.stderr), { showCursor: true });
  const color = wantsColor(io.stderr, io.environment);
  let last: Progress | undefined;
  const redraw = () => {
    if (last !== undefined) draw(progressLines(last, widthOf(io.stderr), color).join('\n'));
  };
  const say = (line: string): void => {
    draw.clear();
    io.stderr.write(`${line}\n`);
    redraw();
  };
  return {
    show: (progress) => {
      last = progress;
      redraw();
    },
    say,
    log: (line, detail) => (detail ? undefined : say(line)),
    close: () => {
      last = undefined;
      draw.done();
    },
  };
}

/** What draws takes 0 columns or rows, which a terminal without a size has, for no room at all. */
function screenOf(stream: TextStream): NodeJS.WritableStream {
  const screen = {
    write: (text: string) => stream.write(text),
    isTTY: stream.isTTY === true,
    get columns() {
      return widthOf(stream);
    },
    get rows() {
      return stream.rows || 24;
    },
  };
  return screen as unknown as NodeJS.WritableStream;
}

function plainView(io: Pick<Io, 'stderr' | 'nowMs'>): ProgressView {
  let lastMs = -Infinity;
  let lastPhase: Progress['phase'] | undefined;
  const say = (line: string): void => void io.stderr.write(`${line}\n`);
  return {
    show: (progress) => {
      const nowMs = io.nowMs();
      if (progress.phase === lastPhase && (progress.phase === 'done' || nowMs - lastMs < plainIntervalMs)) return;
      io.stderr.write(`${progressLine(progress)}\n`);
      lastMs = nowMs;
      lastPhase = progress.phase;
    },
    say,
    log: say,
    close: () => {},
  };
}

/** One JSON object per line; what is said too. */
function jsonView(io: Pick<Io, 'stderr'>): ProgressView {
  const say = (line: string): void => void io.stderr.write(`${toJson({ message: line })}\n`);
  return {
    show: (progress) => void io.stderr.write(`${progressJson(progress)}\n`),
    say,
    log: say,
    close: () => {},
  };
}
