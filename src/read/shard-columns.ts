/** The columns of shards as the contract names them: renamed ones, and those that come from the path. */
import { TandemError } from '../errors.ts';
import { shardTable, type PartitionColumn, type Relation, type Rename } from '../relation.ts';
import type { Footer } from './footers.ts';
import { partitionColumns } from './partitions.ts';
import type { ColumnType } from './projection.ts';

/** New names by the old ones, as in the contract. */
export type Renames = Readonly<Record<string, string>>;

/**
 * Footers with the columns that everything else sees.
 * @param partitions the keys of each path, where these are not all the paths
 * @throws BAD_COLUMN for a shard that has the old and the new name of a column
 */
export function nameColumns(
  footers: readonly Footer[],
  renames: Renames = {},
  partitions = partitionColumns(footers.map(({ path }) => path)),
): Footer[] {
  return footers.map((footer, index) => withNames(footer, renames, partitions[index]!));
}

function withNames(footer: Footer, renames: Renames, ofPath: readonly PartitionColumn[]): Footer {
  const applied = applyRenames(footer, renames);
  const newName = new Map(applied.map(({ from, to }) => [from, to]));
  const ofFile = footer.columns.map(({ name, type }): ColumnType => ({ name: newName.get(name) ?? name, type }));
  const partitions = withoutOwn(ofPath, ofFile);
  if (applied.length === 0 && partitions.length === 0) return footer;
  const relation: Relation = { path: footer.path, name: footer.name, renames: applied, partitions };
  return {
    ...footer,
    ...relation,
    from: shardTable(relation),
    numberedFrom: `${shardTable(relation, true)} AS shard`,
    columns: [...ofFile, ...partitions.map(({ name, type }): ColumnType => ({ name, type, isOfPath: true }))],
    columnSizes: new Map([...footer.columnSizes].map(([name, size]) => [newName.get(name) ?? name, size])),
  };
}

/**
 * Keys that the file has no column for: a file's own column is read as it always was. Spark and DuckDB take the path's
 * value, which is the same where the writer kept the column in the file.
 */
export function withoutOwn(
  partitions: readonly PartitionColumn[],
  columns: readonly { readonly name: string }[],
): PartitionColumn[] {
  const own = new Set(columns.map(({ name }) => name.toLowerCase()));
  return partitions.filter(({ name }) => !own.has(name.toLowerCase()));
}

/** Those whose old name this shard has. @throws BAD_COLUMN */
function applyRenames({ name: shard, columns }: Footer, renames: Renames): Rename[] {
  const names = new Map(columns.map(({ name }) => [name.toLowerCase(), name]));
  const applied: Rename[] = [];
  for (const [old, to] of Object.entries(renames)) {
    const from = names.get(old.toLowerCase());
    if (from === undefined) continue;
    const other = names.get(to.toLowerCase());
    if (other !== undefined) {
      const got = applied.some((rename) => rename.to === other) ? 'two old names of it' : 'both';
      throw new TandemError('BAD_COLUMN', `Expected ${from} or ${to} in the shard, as \`renames\` says, got ${got}.`, {
        place: { shard, column: from },
        remedy: 'Take the one out of `renames` in tandem.json, or write the shard with one of the two.',
      });
    }
    applied.push({ from, to });
    names.set(to.toLowerCase(), to);
  }
  return applied;
}
