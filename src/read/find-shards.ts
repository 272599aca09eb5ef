/** Which files a pattern means. */
import { stat } from 'node:fs/promises';
import { dirname, relative, resolve, sep } from 'node:path';
import { TandemError } from '../errors.ts';
import { formatOf } from '../shard-format.ts';

/** One input file. */
export interface ShardFile {
  /** Absolute. */
  readonly path: string;
  /** Its path below the patterns' common folder, with `/`: what people see and output files are called. Unique. */
  readonly name: string;
}

/** What one pattern gave: files, and the folder that their names are relative to. */
interface Found {
  readonly folder: string;
  readonly paths: readonly string[];
}

/**
 * The shards that one or more patterns mean, sorted by name. A pattern is an existing file, a folder or a glob; relative
 * ones start at the working directory. A folder means every `.parquet` below it; where there is none, what is called like
 * another format, but for `.json`, as settings are called too. Below a folder or a glob's fixed part, what starts with `_`
 * or `.` is no shard (Spark's and Hive's rule); links to files and folders are followed.
 * @param outside absolute path of a folder whose files are no shards: the output of the run
 * @throws NO_SHARDS for a pattern that matches nothing
 */
export async function findShards(patterns: string | readonly string[], outside?: string): Promise<ShardFile[]> {
  const found: Found[] = [];
  for (const pattern of typeof patterns === 'string' ? [patterns] : patterns) found.push(await findOne(pattern));
  if (found.length === 0) throw nothingFound('(none)');
  const folder = found.map((one) => one.folder).reduce(commonFolder);
  const paths = new Set(found.flatMap((one) => one.paths));
  const others = [...paths].filter((path) => outside === undefined || !path.startsWith(outside + sep));
  // All of them below the output folder: the shards' own folder was given as output, which is refused with its own words.
  return (others.length === 0 ? [...paths] : others)
    .map((path) => ({ path, name: relative(folder, path).replaceAll(sep, '/') }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function findOne(pattern: string): Promise<Found> {
  const path = resolve(pattern);
  // A file that is really called `g[1].parquet` is meant by its name before the name is meant as a glob.
  const kind = pattern === '' ? 'none' : await kindOf(path);
  if (kind === 'file') return { folder: dirname(path), paths: [path] };
  const { folder, rest } = kind === 'folder' ? { folder: path, rest: '**/*.parquet' } : await fixedPart(pattern);
  const found = await globIn(folder, rest);
  const paths = found.length > 0 || kind !== 'folder' ? found : (await globIn(folder, '**/*')).filter(isOtherFormat);
  if (paths.length === 0) throw nothingFound(pattern);
  return { folder, paths };
}

async function globIn(folder: string, rest: string): Promise<string[]> {
  if (rest === '') return [];
  // Files that are named as they are need no library.
  const { glob } = await import('tinyglobby');
  const matches = await glob(rest, { cwd: folder, expandDirectories: false });
  return matches.filter((match) => !match.split('/').some(isHidden)).map((match) => resolve(folder, match));
}

function isOtherFormat(path: string): boolean {
  return formatOf(path) !== 'parquet' && !/\.json(?:\.gz)?$/i.test(path);
}

/** The folder that a glob starts in, and the rest; a folder whose name has glob characters counts if it exists. */
async function fixedPart(pattern: string): Promise<{ folder: string; rest: string }> {
  const { isDynamicPattern } = await import('tinyglobby');
  const segments = pattern.split('/');
  let folder = pattern.startsWith('/') ? '/' : resolve('.');
  let next = 0;
  for (; next < segments.length - 1; next++) {
    const inside = resolve(folder, segments[next]!);
    if (isDynamicPattern(segments[next]!) && (await kindOf(inside)) !== 'folder') break;
    folder = inside;
  }
  return { folder, rest: segments.slice(next).join('/') };
}

async function kindOf(path: string): Promise<'file' | 'folder' | 'none'> {
  try {
    const stats = await stat(path);
    return stats.isDirectory() ? 'folder' : 'file';
  } catch {
    return 'none';
  }
}

function isHidden(name: string): boolean {
  return name.startsWith('_') || (name.startsWith('.') && name !== '.' && name !== '..');
}

function commonFolder(a: string, b: string): string {
  let folder = a;
  while (b !== folder && !b.startsWith(folder.endsWith(sep) ? folder : folder + sep)) folder = dirname(folder);
  return folder;
}

function nothingFound(pattern: string): TandemError {
  const message = `Expected \`${pattern}\` to match Parquet files, got none, looking from ${process.cwd()}.`;
  return new TandemError('NO_SHARDS', message, {
    remedy:
      "Check the path; in a shell put a pattern in quotes: 'data/**/*.parquet'. CSV, JSON Lines and Arrow IPC are known " +
      'by the ends of their names.',
  });
}
