/** Scores and known scores from queries, and what comparing them gives. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { KnownComparison, KnownRequest } from '../check/against-report.ts';
import { compareKnown } from '../check/compare-known.ts';
import type { StageFiles } from '../check/known-files.ts';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import { openStaging } from '../planning/open-staging.ts';
import { tempDir, writeShard } from './shards.ts';

export interface Sides {
  /** Queries, by name of the file. */
  readonly scores: Readonly<Record<string, string>>;
  readonly known: Readonly<Record<string, string>>;
}

export type Changes = Partial<Omit<KnownRequest, 'shards' | 'model' | 'selection'>>;

/** What `check --against` makes of them. */
export function compare(t: TestContext, sides: Sides, changes: Changes = {}): Promise<KnownComparison> {
  const folder = tempDir(t);
  mkdirSync(join(folder, 'scratch'));
  for (const side of ['scores', 'known'] as const) {
    for (const [name, sql] of Object.entries(sides[side])) writeShard(join(folder, side, name), sql);
  }
  const request = {
    against: join(folder, 'known'),
    key: [],
    map: {},
    tolerance: 1e-6,
    scores: join(folder, 'scores'),
    scratch: join(folder, 'scratch'),
    worst: undefined,
    shardNames: Object.keys(sides.scores).sort(),
    ...changes,
  };
  return withOpen((connection) => compareKnown(connection, request, stageInto(connection, request.scratch)));
}

function stageInto(connection: Connection, folder: string): StageFiles {
  return async (files) => {
    const staging = openStaging(connection, files, { threads: 1, model: undefined });
    try {
      await staging.look();
      return await staging.stage(folder, new Set(), () => {});
    } finally {
      await staging.close();
    }
  };
}

async function withOpen<T>(use: (connection: Connection) => Promise<T>): Promise<T> {
  const database = openDatabase();
  const connection = new Connection(database);
  try {
    return await use(connection);
  } finally {
    connection.close();
    closeDatabase(database);
  }
}

/** Rows 0 to count - 1: `id`, and y from an expression of p, a probability that is its own for each row. */
export function rows(y: string, count = 1000): string {
  return `SELECT i AS id, ${y} AS y FROM (SELECT i::INTEGER AS i, ((i * 7919) % 1000 + 0.5) / 1001 AS p FROM range(${count}) AS r(i))`;
}

export const one = (y: string, count?: number) => ({ 'a.parquet': rows(y, count) });
