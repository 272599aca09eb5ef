/** The first signal stops the run in order, the second one ends the process. */
import { errorCodes } from '../errors.ts';
import type { Io } from './io.ts';

export interface SignalWatch {
  readonly signal: AbortSignal;
  /** From here on signals do what they do without us. */
  close(): void;
}

/** `say` is told once, at the first signal. */
export function watchSignals(
  io: Pick<Io, 'onSignal' | 'exitNow'>,
  say: (line: string) => void,
  stopping = 'stopping: whole shards stay, the same command goes on; again to end at once',
): SignalWatch {
  const controller = new AbortController();
  const remove = io.onSignal(() => {
    if (controller.signal.aborted) return io.exitNow(errorCodes.STOPPED.exitCode);
    say(stopping);
    controller.abort();
  });
  return { signal: controller.signal, close: remove };
}
