/**
 * Shards that are no Parquet: their first rows as Parquet, to plan with; their row counts, where nothing is to be scored;
 * and all of their rows as Parquet. Text is parsed once then, its rows are counted, and can be shared among threads.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, renameSync, rmSync, statfsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { CsvContract } from '../contract/contract.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { bug, TandemError } from '../errors.ts';
import { rowGroupRowsDefault, stagedShare, stagedSharePacked, stagingIntervalMs } from '../limits.ts';
import type { StagingProgress } from '../messages.ts';
import type { ShardFile } from '../read/find-shards.ts';
import { readFooters, type ColumnSize, type Footer } from '../read/footers.ts';
import { formatOf } from '../shard-format.ts';
import { checkGzip } from '../stage/gzip.ts';
import type { StageForm, StageSource, StageTask } from '../stage/messages.ts';
import { uniteTypes } from '../stage/text.ts';
import type { Stagers } from '../threads/stagers.ts';
import { makeFolder, syncFile } from '../write/files.ts';
import type { ShardIdentity } from '../write/manifests.ts';
import { cannotWrite } from '../write/write-failure.ts';

/** Of what is staged: another one does not take it for its own. */
const stagedVersion = 1;

/** Files of a run that are no Parquet, as they were found. */
interface Found {
  readonly source: StageSource;
  readonly bytes: number;
  readonly modifiedMs: number;
  /** Its first rows. */
  readonly head: string;
  form: StageForm;
  /** Of the first rows; undefined before it has been looked at. */
  footer: Footer | undefined;
  /** As an earlier run counted them. */
  knownRows: number | undefined;
}

export class Staging {
  readonly #connection: Connection;
  readonly #files: readonly ShardFile[];
  readonly #csv: CsvContract;
  readonly #stagers: Stagers;
  readonly #scratch: string;
  readonly #found: readonly Found[];
  readonly #checks = new AbortController();
  #parquet: ReadonlyMap<string, Footer> = new Map();

  /** @throws BAD_SHARD for a file without a byte */
  constructor(connection: Connection, files: readonly ShardFile[], csv: CsvContract, openStagers: () => Stagers) {
    this.#connection = connection;
    this.#files = files;
    this.#csv = csv;
    const others = files.flatMap(statOther);
    this.#scratch = mkdtempSync(join(tmpdir(), 'tandem-first-rows-'));
    this.#found = others.map((other, index): Found => {
      const head = join(this.#scratch, String(index));
      return { ...other, head, form: {}, footer: undefined, knownRows: undefined };
    });
    this.#stagers = openStagers();
  }

  /**
   * Looks at the first rows of each.
   * @param known what an earlier run counted
   * @returns footers of all files, with the rows of those that are known, and the first rows of the others
   * @throws BAD_SHARD, also where all are text without a row, BAD_ROW
   */
  async look(known: ReadonlyMap<string, ShardIdentity> = new Map()): Promise<Footer[]> {
    const parquet = this.#files.filter(({ name }) => formatOf(name) === 'parquet');
    this.#parquet = new Map(readFooters(this.#connection, parquet).map((footer) => [footer.name, footer]));
    const again = await this.#lookAt(this.#found.map((each) => ({ each, csv: this.#csv })));
    // Of a column that is of another type elsewhere.
    await this.#lookAt(again);
    const heads = this.#found.map(({ source, head }) => ({ path: head, name: source.name }));
    readFooters(this.#connection, heads).forEach((footer, index) => (this.#found[index]!.footer = footer));
    this.#requireRows();
    return this.#merge((found) => {
      const rows = known.get(found.source.name);
      const isSame = rows?.bytes === found.bytes && rows.modifiedMs === found.modifiedMs;
      if (isSame) found.knownRows = rows.rowCount;
      return withRows(found, found.knownRows ?? found.footer!.rowCount);
    });
  }

  /** Names alone do not say the types of columns. @throws BAD_SHARD */
  #requireRows(): void {
    const isEmptyText = ({ source, footer }: Found): boolean => source.format !== 'arrow' && footer!.rowCount === 0;
    const [first] = this.#found;
    if (first === undefined || this.#parquet.size > 0 || !this.#found.every(isEmptyText)) return;
    throw new TandemError('BAD_SHARD', 'Expected a file with rows, got none: what type a column has is not known.', {
      place: { shard: first.source.name },
      remedy: 'Give at least one shard that has rows.',
    });
  }

  /** @returns what to look at again, with which types */
  async #lookAt(
    questions: readonly { readonly each: Found; readonly csv: CsvContract }[],
  ): Promise<{ readonly each: Found; readonly csv: CsvContract }[]> {
    const looks = questions.map(({ each: { source, head }, csv }): StageTask => ({
      kind: 'look',
      source,
      to: head,
      csv,
    }));
    const results = await this.#stagers.run(looks);
    const ofCsv = results.flatMap(({ form: { csv }, emptyColumns }) =>
      csv === undefined ? [] : [{ csv, emptyColumns }],
    );
    const united = uniteTypes(ofCsv);
    let next = 0;
    return results.flatMap(({ form }, index) => {
      const { each } = questions[index]!;
      each.form = form;
      if (form.csv === undefined) return [];
      const { columns } = united[next++]!;
      if (columns.every(([, type], column) => type === form.csv!.columns[column]![1])) return [];
      return [{ each, csv: { ...this.#csv, types: Object.fromEntries(columns) } }];
    });
  }

  /** Footers with the rows of all files. @param bytesMax files that are larger together are not counted. */
  async counted(bytesMax = Infinity): Promise<Footer[]> {
    if (this.#found.reduce((sum, { bytes }) => sum + bytes, 0) > bytesMax) {
      return this.#merge((found) => ({ ...withRows(found, found.footer!.rowCount), rowsUnknown: true }));
    }
    const tasks = this.#found.map(({ source, form }): StageTask => ({ kind: 'count', source, form }));
    const counts = await this.#stagers.run(tasks);
    return this.#merge((found) => withRows(found, counts[this.#found.indexOf(found)]!.rowCount));
  }

  /**
   * Turns what is not done into Parquet below a folder, or takes what an earlier run left there.
   * @returns footers of all files
   * @throws BAD_ROW with the line, BAD_SHARD, TRANSIENT where the disk has no room, STOPPED
   */
  async stage(folder: string, done: ReadonlySet<string>, tell: (progress: StagingProgress) => void): Promise<Footer[]> {
    const pending = this.#found.filter(({ source }) => !done.has(source.name));
    const missing = pending.filter((found) => !existsSync(stagedPath(folder, found))).sort((a, b) => b.bytes - a.bytes);
    try {
      for (const found of missing) makeFolder(dirname(stagedPath(folder, found)));
    } catch (cause) {
      throw cannotWrite(dirname(folder), cause);
    }
    if (missing.length > 0) {
      requireRoom(folder, missing);
      await this.#make(folder, missing, tell);
    }
    const staged = pending.map((found) => ({ path: stagedPath(folder, found), name: found.source.name }));
    const footers = new Map(readFooters(this.#connection, staged).map((footer) => [footer.name, footer]));
    return this.#merge((found) => {
      const { source, bytes, modifiedMs } = found;
      const footer = footers.get(source.name);
      return footer === undefined
        ? withRows(found, found.knownRows ?? found.footer!.rowCount)
        : { ...footer, bytes, modifiedMs, sourcePath: source.path };
    });
  }

  async #make(folder: string, missing: readonly Found[], tell: (progress: StagingProgress) => void): Promise<void> {
    const attempt = randomBytes(6).toString('hex');
    const temporary = (found: Found): string => `${stagedPath(folder, found)}.tmp-${attempt}`;
    const tasks = missing.map((found): StageTask => {
      return { kind: 'stage', source: found.source, form: found.form, to: temporary(found) };
    });
    const checks = new Map<number, Promise<void>>();
    const startMs = performance.now();
    let filesDone = 0;
    let bytesDone = 0;
    const look = (): void => {
      const inWork = [...this.#stagers.shares].map(([index, share]) => share * missing[index]!.bytes);
      tell({
        filesDone,
        filesTotal: missing.length,
        bytesDone: Math.round(inWork.reduce((sum, bytes) => sum + bytes, bytesDone)),
        bytesTotal: missing.reduce((sum, { bytes }) => sum + bytes, 0),
        secondsElapsed: (performance.now() - startMs) / 1000,
      });
    };
    const begin = (index: number): void => {
      const { path, name } = missing[index]!.source;
      if (!path.endsWith('.gz')) return;
      const check = checkGzip(path, name, this.#checks.signal);
      // Whoever waits for it hears of it.
      check.catch(() => {});
      checks.set(index, check);
    };
    const done = async (index: number): Promise<void> => {
      const found = missing[index]!;
      await checks.get(index);
      requireUnchanged(found);
      syncFile(temporary(found));
      renameSync(temporary(found), stagedPath(folder, found));
      filesDone++;
      bytesDone += found.bytes;
    };
    const timer = setInterval(look, stagingIntervalMs);
    look();
    try {
      await this.#stagers.run(tasks, begin, done);
    } finally {
      clearInterval(timer);
      for (const found of missing) rmSync(temporary(found), { force: true });
    }
  }

  /** The same below a folder that {@link close} removes, for a look at rows that no run scores. */
  stageAside(tell: (progress: StagingProgress) => void): Promise<Footer[]> {
    return this.stage(join(this.#scratch, 'whole'), new Set(), tell);
  }

  stop(): void {
    this.#checks.abort();
    this.#stagers.stop();
  }

  async close(): Promise<void> {
    this.#checks.abort();
    await this.#stagers.close();
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  /** Footers in the order of the files. */
  #merge(footerOf: (found: Found) => Footer): Footer[] {
    const found = new Map(this.#found.map((each) => [each.source.name, each]));
    return this.#files.map(({ name }) => {
      const footer = this.#parquet.get(name);
      if (footer !== undefined) return footer;
      const other = found.get(name);
      if (other === undefined) throw bug(`${name} was not looked at`);
      return footerOf(other);
    });
  }
}

/** A file that is no Parquet. @throws BAD_SHARD */
function statOther({ path, name }: ShardFile): Pick<Found, 'source' | 'bytes' | 'modifiedMs'>[] {
  const format = formatOf(name);
  if (format === 'parquet') return [];
  const { size: bytes, mtimeMs } = statSync(path);
  if (bytes > 0) return [{ source: { path, name, format }, bytes, modifiedMs: Math.floor(mtimeMs) }];
  throw new TandemError('BAD_SHARD', 'Expected rows, or the names of columns, got an empty file.', {
    place: { shard: name },
    remedy: 'Remove it, or write it again.',
  });
}

/** The footer of a file of which only the first rows are Parquet, as it would be if all were. */
function withRows({ source, bytes, modifiedMs, footer }: Found, rowCount: number): Footer {
  if (footer === undefined) throw bug(`${source.name} was not looked at`);
  const more = rowCount / Math.max(1, footer.rowCount);
  const columnSizes = new Map(
    [...footer.columnSizes].map(([name, size]): [string, ColumnSize] => {
      const inGroup = Math.min(more, rowGroupRowsDefault / Math.max(1, footer.rowCount));
      return [name, { bytes: size.bytes * more, rowGroupBytesMax: size.rowGroupBytesMax * inGroup }];
    }),
  );
  const groups = Math.ceil(rowCount / rowGroupRowsDefault);
  const rowGroupRows = Array.from({ length: groups }, (_, group) =>
    Math.min(rowGroupRowsDefault, rowCount - group * rowGroupRowsDefault),
  );
  return { ...footer, sourcePath: source.path, bytes, modifiedMs, rowCount, rowGroupRows, columnSizes };
}

/** Another file, or the same read otherwise, has another name. */
function stagedPath(folder: string, { source, bytes, modifiedMs, form }: Found): string {
  const read = JSON.stringify([stagedVersion, source.path, bytes, modifiedMs, form]);
  const print = createHash('sha256').update(read).digest('hex').slice(0, 12);
  return join(folder, `${source.name}.${print}`);
}

/** @throws TRANSIENT */
function requireUnchanged({ source, bytes, modifiedMs }: Found): void {
  const { size, mtimeMs } = statSync(source.path);
  if (size === bytes && Math.floor(mtimeMs) === modifiedMs) return;
  throw new TandemError('TRANSIENT', 'Expected the file to stay as it was while it was read, got another one.', {
    place: { shard: source.name },
    remedy: 'Run the same command again.',
  });
}

/** @throws TRANSIENT */
function requireRoom(folder: string, missing: readonly Found[]): void {
  const isPacked = (name: string): boolean => name.endsWith('.gz');
  const needed = missing.reduce(
    (sum, { source, bytes }) => sum + bytes * (isPacked(source.name) ? stagedSharePacked : stagedShare),
    0,
  );
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= needed) return;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new TandemError(
    'TRANSIENT',
    `Expected about ${gib(needed)} under ${dirname(folder)} for ${missing.length} files as Parquet, got ${gib(free)} free.`,
    { remedy: 'Make room, choose another folder (--output; TMPDIR for fit and tune), or take fewer files at once.' },
  );
}
