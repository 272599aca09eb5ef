/** Shards with their footers, and what reads them; files that are no Parquet are staged. */
import { loadUnfitted } from '../contract/load.ts';
import type { Contract } from '../contract/contract.ts';
import type { StageFiles } from '../check/known-files.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { coreBound } from '../machine.ts';
import { planning } from '../measure/progress.ts';
import type { StagingProgress } from '../messages.ts';
import type { InputOptions, ReaderName } from '../options.ts';
import { memoryLimit } from '../planning/build-plan.ts';
import {
  ParquetJsTables,
  checkParquetJsRows,
  parquetJsWarning,
  refuseOtherFormats,
} from '../planning/parquetjs-tables.ts';
import { describeSelection, isSelection, selectRows, type Selected } from '../planning/selection.ts';
import { DuckDbTables, type TableReader } from '../planning/tables.ts';
import { findShards } from '../read/find-shards.ts';
import { readFooters, type Footer } from '../read/footers.ts';
import { readParquetJsFooters } from '../read/parquetjs/footers.ts';
import { partitionColumns } from '../read/partitions.ts';
import { nameColumns } from '../read/shard-columns.ts';
import { formatOf } from '../shard-format.ts';
import { knownShards } from '../write/manifests.ts';
import { openCounter } from './counting.ts';
import type { PlannerEngines } from './planner-engines.ts';

/** What a request says about its shards; without a model there is no contract that names columns and chooses rows. */
export interface AskedShards extends Omit<InputOptions, 'model'> {
  readonly model: string | undefined;
  readonly threads?: number | undefined;
  readonly reader?: ReaderName | undefined;
  readonly memoryBytes?: number | undefined;
  /** Undefined: nothing is written. */
  readonly output: string | undefined;
}

export interface OpenShards {
  readonly reader: TableReader;
  /** With the rows that are taken; where files are being staged, their first rows, from which none are taken yet. */
  readonly selected: Selected;
  /** The same of other footers of these shards. */
  select(footers: readonly Footer[]): Selected;
  /** Whether not every row is taken. */
  readonly isSelecting: boolean;
}

/** Shards with their footers, and what reads them: without DuckDB where parquetjs-lite does. */
export async function openShards(engines: PlannerEngines, asked: AskedShards): Promise<OpenShards> {
  const { shards, reader, memoryBytes, output } = asked;
  const files = await findShards(shards, output);
  const { renames, where } = contractOf(asked.model) ?? {};
  if (reader === 'parquetjs') {
    engines.post({ kind: 'warning', text: parquetJsWarning });
    refuseOtherFormats(files);
    const footers = readParquetJsFooters(files);
    checkParquetJsRows(asked, { renames, where });
    const select = (others: readonly Footer[]): Selected => ({ footers: others, selection: undefined });
    return { reader: new ParquetJsTables(footers), selected: select(footers), select, isSelecting: false };
  }
  const open = engines.connect(memoryBytes);
  const tables = new DuckDbTables(open);
  // Of the files themselves, wherever they are staged.
  const partitions = partitionColumns(files.map(({ path }) => path));
  const name = (footers: readonly Footer[]): Footer[] => nameColumns(footers, renames, partitions);
  const select = (footers: readonly Footer[]): Selected => {
    const rowsTotal = footers.reduce((sum, { rowCount }) => sum + rowCount, 0);
    const needsCounting = asked.sample !== undefined || asked.where !== undefined || where !== undefined;
    const settings = { threads: asked.threads ?? coreBound().value, memoryLimitBytes: memoryLimit(memoryBytes).value };
    const counter = needsCounting ? openCounter(settings, rowsTotal, engines.post) : {};
    return selectRows(open, name(footers), asked, where, counter);
  };
  const opened = { reader: tables, select, isSelecting: isSelection(asked) || where !== undefined };
  if (files.every(({ name: file }) => formatOf(file) === 'parquet')) {
    return { ...opened, selected: select(readFooters(open, files)) };
  }
  const staging = await engines.stage(open, files, asked);
  const heads = name(await staging.look(output === undefined ? undefined : knownShards(output)));
  return { ...opened, selected: describeSelection(open, heads, asked, where) };
}

export function contractOf(model: string | undefined): Contract | undefined {
  return model === undefined ? undefined : loadUnfitted(model).contract;
}

/** Progress of {@link Staging}. */
export function tellStaging({ post }: PlannerEngines): (progress: StagingProgress) => void {
  return ({ secondsElapsed, ...reading }) =>
    post({ kind: 'progress', progress: { ...planning, phase: 'reading', secondsElapsed, reading } });
}

/** @param asked `model` undefined: what a contract says of CSV files is not about these */
export function stageInto(
  engines: PlannerEngines,
  open: Connection,
  folder: string,
  asked: Pick<AskedShards, 'threads' | 'model'>,
): StageFiles {
  return async (files) => {
    const staging = await engines.stage(open, files, asked);
    try {
      await staging.look();
      return await staging.stage(folder, new Set(), tellStaging(engines));
    } catch (error) {
      const { model } = asked;
      if (model !== undefined || !(error instanceof TandemError) || !/tandem\.json/.test(error.remedy ?? ''))
        throw error;
      const remedy = 'Correct the file, or write the known scores as Parquet: "csv" in tandem.json is about shards.';
      throw new TandemError(error.code, error.message, { place: error.place, remedy, cause: error });
    } finally {
      await engines.closeStaging();
    }
  };
}
