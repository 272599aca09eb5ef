/**
 * One error class, one table of codes. A message reads "Expected X to be Y, got `v`.", says where it happened, then what
 * to do. A broken invariant of our own goes through {@link bug} and says so.
 */

/** Every way in which Tandem can fail: its exit code (BSD sysexits) and what it means. The README prints this table. */
export const errorCodes = {
  USAGE: { exitCode: 64, means: 'wrong flag, argument or option' },
  NO_SHARDS: { exitCode: 65, means: 'no file matches the pattern' },
  BAD_SHARD: { exitCode: 65, means: 'a shard is not what its name says (Parquet, unless it ends otherwise), is empty, cut off, encrypted or damaged' },
  BAD_COLUMN: { exitCode: 65, means: 'a column is missing or has a type that cannot be used' },
  BAD_ROW: { exitCode: 65, means: 'a value in a row cannot be used' },
  BAD_MODEL: { exitCode: 65, means: 'the model does not load, or does not fit the contract' },
  BAD_CONTRACT: { exitCode: 65, means: 'tandem.json is wrong, or names what does not exist' },
  BAD_OUTPUT: { exitCode: 65, means: 'the output folder holds something else' },
  GOLDEN_DIFFERS: { exitCode: 65, means: 'scores are not those of golden.parquet, or of --against' },
  MEMORY: {
    exitCode: 65,
    means: 'a row group, a slot or a batch does not fit into the memory of the machine or of the GPU',
  },
  STOPPED: { exitCode: 75, means: 'stopped by a signal; run the same command again' },
  TRANSIENT: {
    exitCode: 75,
    means:
      'disk full, input changed while it was read, a thread died, the last GPU was lost; run the same command again',
  },
  ENVIRONMENT: {
    exitCode: 78,
    means: 'a native library, driver or GPU is missing, or not of the version that Tandem was built for',
  },
  BUG: { exitCode: 70, means: 'a broken invariant inside Tandem; please report it' },
} as const;

export type ErrorCode = keyof typeof errorCodes;

/**
 * Where something happened. `row` counts from 0 within the shard, `line` of a text file from 1; line breaks between quotes
 * do not count.
 */
export interface ErrorPlace {
  readonly shard?: string;
  readonly rowGroup?: number;
  readonly row?: number;
  readonly column?: string;
  readonly line?: number;
  /** Path of a field in tandem.json, for example `inputs.x[2].clip`. */
  readonly field?: string;
}

/** What crosses a thread when a {@link TandemError} does: plain data. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly place: ErrorPlace;
  readonly remedy?: string;
  readonly stack?: string;
}

export class TandemError extends Error {
  override readonly name = 'TandemError';
  readonly code: ErrorCode;
  readonly place: ErrorPlace;
  readonly remedy: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { place?: ErrorPlace; remedy?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.place = options.place ?? {};
    this.remedy = options.remedy;
  }

  /** Exit code of the process that ends with this error. */
  get exitCode(): number {
    return errorCodes[this.code].exitCode;
  }

  /** The same error with more of its place known; what is known already stays. */
  at(place: ErrorPlace): TandemError {
    const moved = new TandemError(this.code, this.message, {
      place: { ...place, ...this.place },
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      cause: this.cause,
    });
    if (this.stack !== undefined) moved.stack = this.stack;
    return moved;
  }

  toRecord(): ErrorRecord {
    return {
      code: this.code,
      message: this.message,
      place: this.place,
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      ...(this.stack === undefined ? {} : { stack: this.stack }),
    };
  }

  static fromRecord(record: ErrorRecord): TandemError {
    const error = new TandemError(record.code, record.message, {
      place: record.place,
      ...(record.remedy === undefined ? {} : { remedy: record.remedy }),
    });
    if (record.stack !== undefined) error.stack = record.stack;
    return error;
  }
}

/** Anything thrown, as a {@link TandemError}; what we did not foresee is a bug of ours. */
export function asTandemError(thrown: unknown): TandemError {
  if (thrown instanceof TandemError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const error = new TandemError('BUG', `${message} This is a bug.`, {
    remedy: 'Please report it with the command and the stack trace (TANDEM_DEBUG=1 prints it).',
    cause: thrown,
  });
  if (thrown instanceof Error && thrown.stack !== undefined) error.stack = thrown.stack;
  return error;
}

/** A broken invariant. */
export function bug(what: string): TandemError {
  return asTandemError(new Error(`${what}.`));
}

/** The error as people read it: what, where, what to do; no stack. */
export function formatError(error: TandemError): string {
  const { shard, line, rowGroup, row, column, field } = error.place;
  const where = [
    shard === undefined ? undefined : `shard ${shard}`,
    line === undefined ? undefined : `line ${line}`,
    rowGroup === undefined ? undefined : `row group ${rowGroup}`,
    row === undefined ? undefined : `row ${row}`,
    column === undefined ? undefined : `column ${column}`,
    field === undefined ? undefined : `field ${field}`,
  ].filter((part) => part !== undefined);
  return [
    `${error.code}: ${error.message}`,
    where.length === 0 ? undefined : `  where: ${where.join(', ')}`,
    error.remedy === undefined ? undefined : `  do:    ${error.remedy}`,
  ]
    .filter((line) => line !== undefined)
    .join('\n');
}
