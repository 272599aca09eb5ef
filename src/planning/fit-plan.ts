/** What a fit reads: units of rows, and the SQL that gives each feature's values. */
import type { ColumnRequest, TakenSpan } from '../batch.ts';
import type { Feature } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import { fitUnitRows } from '../limits.ts';
import type { Footer } from '../read/footers.ts';
import { isNumeric } from '../read/projection.ts';
import { SchemaPlanner } from './schemas.ts';
import { joinBlocks } from './spans.ts';
import type { TableReader } from './tables.ts';

/** Consecutive whole row groups of a shard, or their rows that are taken: what a thread reads in one go. */
export interface FitUnit extends TakenSpan {
  /** Position among the plan's shards. */
  readonly shardIndex: number;
}

export interface FitShard extends Pick<
  Footer,
  'path' | 'sourcePath' | 'name' | 'from' | 'numberedFrom' | 'rowCount' | 'rowGroupRows' | 'bytes' | 'modifiedMs'
> {
  /** Position in `expressions`. */
  readonly schema: number;
}

export interface FitPlan {
  readonly requests: readonly ColumnRequest[];
  /** For each schema what is selected for each request. */
  readonly expressions: readonly (readonly string[])[];
  readonly shards: readonly FitShard[];
  readonly units: readonly FitUnit[];
  readonly rowCount: number;
}

/** @throws BAD_COLUMN, BAD_CONTRACT for features that a shard cannot give */
export function planFit(reader: TableReader, footers: readonly Footer[], features: readonly Feature[]): FitPlan {
  const schemas = new SchemaPlanner(reader, footers);
  const requests = features.map((feature) => requestOf(feature, schemas, footers));
  const expressions: (readonly string[])[] = [];
  const shards = footers.map((footer): FitShard => {
    const { path, sourcePath, name, from, numberedFrom, rowCount, rowGroupRows, bytes, modifiedMs } = footer;
    const schema = schemas.indexOf(footer);
    expressions[schema] ??= requests.map((request) => schemas.expression(footer, request));
    const file = { path, ...(sourcePath === undefined ? {} : { sourcePath }), name, bytes, modifiedMs };
    return { ...file, from, numberedFrom, rowCount, rowGroupRows, schema };
  });
  const units = footers.flatMap((footer, shardIndex) => unitsOf(footer).map((unit) => ({ ...unit, shardIndex })));
  return { requests, expressions, shards, units, rowCount: footers.reduce((sum, { rowCount }) => sum + rowCount, 0) };
}

/** Numbers as float64, as kernels compute with them; categories as numbers only where every shard has numbers. */
function requestOf(feature: Feature, schemas: SchemaPlanner, footers: readonly Footer[]): ColumnRequest {
  if (feature.kind === 'number' || feature.kind === 'list') {
    return { feature, as: feature.kind, exactIntegers: false };
  }
  const types = footers.map((footer) => {
    try {
      return schemas.typeOf(feature.source, footer);
    } catch (error) {
      throw error instanceof TandemError ? error.at({ shard: footer.name }) : error;
    }
  });
  return { feature, as: types.every(isNumeric) ? 'number' : 'text', exactIntegers: false };
}

/** A column called `file_row_number` would hide the one that tells rows apart: such a shard is one unit. */
function unitsOf({ rowCount, rowGroupRows, takenBlocks, columns }: Footer): TakenSpan[] {
  if (rowCount === 0) return [];
  if (takenBlocks !== undefined) return joinBlocks({ rowGroupRows, takenBlocks }, fitUnitRows);
  if (columns.some(({ name }) => name.toLowerCase() === 'file_row_number')) return [{ firstRow: 0, rowCount }];
  const units: TakenSpan[] = [];
  let [firstRow, rows] = [0, 0];
  for (const group of rowGroupRows) {
    rows += group;
    if (rows < fitUnitRows) continue;
    units.push({ firstRow, rowCount: rows });
    firstRow += rows;
    rows = 0;
  }
  return rows === 0 ? units : [...units, { firstRow, rowCount: rows }];
}
