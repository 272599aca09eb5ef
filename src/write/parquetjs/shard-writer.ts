/** Writes one shard's output without DuckDB: kept columns as the pages have them, scores beside them. */
import { rmSync, statSync } from 'node:fs';
import type { TensorValues } from '../../batch.ts';
import { readColumn, type ParquetFile } from '../../engines/parquetjs/file.ts';
import type { Leaf, ParquetColumn } from '../../engines/parquetjs/schema.ts';
import { ParquetFileWriter } from '../../engines/parquetjs/writer.ts';
import { TandemError } from '../../errors.ts';
import type { PlannedShard, RunPlan } from '../../plan.ts';
import { publishShard } from '../output-folder.ts';
import { temporaryPath } from '../shard-files.ts';
import { cannotWrite } from '../write-failure.ts';
import { identityOf } from '../shard-writer.ts';
import { rawScores, scoreFields } from './score-columns.ts';

/** Scores of the next rows. */
export interface TakenScores {
  /** 0 at the end. */
  readonly rowCount: number;
  /** One for each score column; they stay as they are. */
  readonly columns: readonly TensorValues[];
}

/** Takes up to `rowsMax` rows, in row order. */
export type TakeScores = (rowsMax: number) => TakenScores;

export class ParquetJsShardWriter {
  readonly #plan: RunPlan;
  readonly #attempt: string;

  constructor(plan: RunPlan, attempt: string) {
    this.#plan = plan;
    this.#attempt = attempt;
  }

  /**
   * Writes, checks and publishes the output of a shard, with the shard's own row groups.
   * @param kept columns of the file, in the order of the output
   * @returns bytes of the output
   * @throws whatever `take` throws; ParquetJsError, TRANSIENT, BAD_OUTPUT
   */
  write(shard: PlannedShard, file: ParquetFile, kept: readonly ParquetColumn[], take: TakeScores): number {
    const temporary = temporaryPath(this.#plan.output, shard.name, this.#attempt);
    try {
      const delivered = this.#fill(temporary, file, kept, take);
      this.#checkRows(shard, delivered);
      return publishShard(this.#plan, identityOf(this.#plan), shard, this.#attempt);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  #fill(temporary: string, file: ParquetFile, kept: readonly ParquetColumn[], take: TakeScores): number {
    const fields = scoreFields(this.#plan.model);
    const columns = [...kept, ...fields.map((field) => field.column)];
    const compression = this.#plan.files.compression === 'none' ? 'UNCOMPRESSED' : 'SNAPPY';
    const writing = <T>(work: () => T): T => {
      try {
        return work();
      } catch (error) {
        throw cannotWrite(this.#plan.output, error);
      }
    };
    const writer = writing(() => new ParquetFileWriter(temporary, columns, compression));
    let delivered = 0;
    try {
      for (const group of file.rowGroups) {
        if (group.rowCount === 0) continue;
        const { rowCount, pieces } = collect(take, group.rowCount, fields.length);
        delivered += rowCount;
        if (rowCount < group.rowCount) return delivered;
        const raw = kept.map((column) => readColumn(file.path, group, column.leaf as Leaf));
        const scores = fields.map((field, index) => rawScores(field, rowCount, pieces[index]!));
        writing(() => writer.writeRowGroup(rowCount, [...raw, ...scores]));
      }
      writing(() => writer.finish());
      // Whatever comes after the last row is one too many; asking also lets the reader see its end.
      return delivered + take(1).rowCount;
    } finally {
      writer.close();
    }
  }

  #checkRows(shard: PlannedShard, delivered: number): void {
    const { size, mtimeMs } = statSync(shard.path);
    const changed = size !== shard.bytes || Math.floor(mtimeMs) !== shard.modifiedMs;
    if (!changed && delivered === shard.rowCount) return;
    const got = `${delivered}${changed ? '; the file has changed' : ''}`;
    throw new TandemError('TRANSIENT', `Expected ${shard.rowCount} rows of scores, got ${got}.`, {
      place: { shard: shard.name },
      remedy: 'The file changed while it was read: run the same command again.',
    });
  }
}

/** Takes the scores of a row group, in as many pieces as they come. */
function collect(
  take: TakeScores,
  rowsWanted: number,
  columnCount: number,
): { readonly rowCount: number; readonly pieces: readonly TensorValues[][] } {
  const pieces: TensorValues[][] = Array.from({ length: columnCount }, () => []);
  let rowCount = 0;
  while (rowCount < rowsWanted) {
    const taken = take(rowsWanted - rowCount);
    if (taken.rowCount === 0) break;
    taken.columns.forEach((values, index) => pieces[index]!.push(values));
    rowCount += taken.rowCount;
  }
  return { rowCount, pieces };
}
