/** How an error leaves the process. Loads next to nothing: a signal may come before anything else is there. */
import { formatError, TandemError } from '../errors.ts';
import type { Io } from './io.ts';

/** Writes the error, with `--json` as an object too; gives the exit code. */
export function reportError(error: TandemError, asJson: boolean, io: Pick<Io, 'stdout' | 'stderr' | 'environment'>) {
  io.stderr.write(`${formatError(error)}\n`);
  if ((io.environment['TANDEM_DEBUG'] ?? '') !== '') io.stderr.write(`${stackOf(error)}\n`);
  if (asJson) {
    const { stack: _, ...record } = error.toRecord();
    io.stdout.write(`${JSON.stringify({ error: record, exitCode: error.exitCode }, undefined, 2)}\n`);
  }
  return error.exitCode;
}

/**
 * From here until a command registers its own handler, a signal ends the process with the words of a stopped run: nothing
 * has been done that would have to be put in order.
 * @returns `io` for the commands
 */
export function withFirstSignals(io: Io, asJson: boolean): Io {
  let isStopped = false;
  const remove = io.onSignal(() => {
    // npx passes on what the terminal has sent to both.
    if (isStopped) return;
    isStopped = true;
    const remedy = 'Run the same command again.';
    io.exitNow(reportError(new TandemError('STOPPED', 'The command was stopped.', { remedy }), asJson, io));
  });
  return {
    ...io,
    onSignal: (handler) => {
      remove();
      return io.onSignal(handler);
    },
  };
}

function stackOf(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error && error.cause.stack !== own ? `${own}\nCaused by: ${stackOf(error.cause)}` : own;
}
