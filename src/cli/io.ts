/** What the command line touches of the world. Tests pass their own. */

/** A stream to write text to; a terminal or not. */
export interface TextStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

export interface Io {
  /** Results only. */
  readonly stdout: TextStream;
  /** Progress, warnings and errors. */
  readonly stderr: TextStream;
  /** Undefined: there is nothing to read. */
  readonly stdin?: () => AsyncIterable<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
  /** Registers a handler for SIGINT and SIGTERM; gives back what removes it. */
  readonly onSignal: (handler: () => void) => () => void;
  /** Registers a handler for SIGUSR2, where there is that signal; gives back what removes it. */
  readonly onProfileSignal: (handler: () => void) => () => void;
  /** Ends the process at once. */
  readonly exitNow: (exitCode: number) => void;
}

/** The process itself. From here on a reader that hangs up (`| head`) is no error. */
export function processIo(): Io {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: () => process.stdin,
    environment: process.env,
    nowMs: () => performance.now(),
    onSignal: (handler) => {
      process.on('SIGINT', handler).on('SIGTERM', handler);
      return () => void process.off('SIGINT', handler).off('SIGTERM', handler);
    },
    onProfileSignal: (handler) => {
      if (process.platform === 'win32') return () => {};
      process.on('SIGUSR2', handler);
      return () => void process.off('SIGUSR2', handler);
    },
    exitNow: (exitCode) => {
      // Where no native library loads there is no native call to wait for either, and the ordinary way out is at once.
      import('../engines/native.ts').then((native) => native.exitNow(exitCode)).catch(() => process.exit(exitCode));
    },
  };
}

/** Columns of a terminal; 80 for a file, a pipe, or a terminal that does not know (it says 0). */
export function widthOf(stream: TextStream): number {
  return Math.max(20, stream.columns || 80);
}

/** Colours only on a terminal that wants them (https://no-color.org). */
export function wantsColor(stream: TextStream, environment: Io['environment']): boolean {
  return stream.isTTY === true && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
}
