/** Counts which rows of a shard a condition takes, in stretches: between two of them it can tell how far it is. */
import type { Span } from '../batch.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { countedBlocksMax, countedRowsFirst, countedRowsMax } from '../limits.ts';
import type { Footer } from '../read/footers.ts';
import { between, countedBlocks, takenRows, type Selection } from '../relation.ts';
import { fileRowOf } from '../read/row-failure.ts';

/** What counting has come to. */
export interface CountedRows {
  /** Of each block, see `countedBlocks`. */
  readonly takenBlocks: readonly number[];
  readonly rowCount: number;
  /** Where the rows end that may be taken, as a row number of the file; undefined: at its end. */
  readonly endRow: number | undefined;
}

/** Blocks that one query counts. */
interface Stretch extends Span {
  readonly first: number;
  /** Row numbers at which they begin. */
  readonly starts: readonly number[];
}

/**
 * Looks at every row, or at as many stretches as it takes to find `rowsMax`.
 * @param connection may be of a database with several threads, which then count together
 * @param tell hears of rows that have been looked at
 * @throws DuckDbError
 */
export function countRows(
  connection: Connection,
  footer: Footer,
  selection: Selection,
  rowsMax: number,
  tell: (rowCount: number) => void,
): CountedRows {
  const blocks = countedBlocks(footer.rowGroupRows);
  const takenBlocks = blocks.map(() => 0);
  const numberedFrom = `${takenRows(footer, selection, true)} AS shard`;
  let rowCount = 0;
  for (const stretch of stretchesOf(blocks, rowsMax === Infinity ? countedRowsMax : countedRowsFirst)) {
    const sql = `SELECT ${blockSql(stretch.starts)} AS block, count(*) FROM ${numberedFrom} WHERE ${between(stretch)} GROUP BY ALL`;
    for (const [block, count] of connection.rows(sql)) takenBlocks[stretch.first + Number(block)] = Number(count);
    rowCount = takenBlocks.reduce((sum, count) => sum + count, 0);
    tell(stretch.rowCount);
    if (rowCount >= rowsMax) break;
  }
  if (rowCount < rowsMax) return { takenBlocks, rowCount, endRow: undefined };
  return endAt(connection, footer.name, numberedFrom, blocks, takenBlocks, rowsMax);
}

/** The same up to the last row that may be taken. */
function endAt(
  connection: Connection,
  name: string,
  numberedFrom: string,
  blocks: readonly number[],
  counted: readonly number[],
  rowsMax: number,
): CountedRows {
  const takenBlocks = blocks.map(() => 0);
  let [left, firstRow, block] = [rowsMax, 0, 0];
  for (; left > counted[block]!; block++) {
    takenBlocks[block] = counted[block]!;
    left -= counted[block]!;
    firstRow += blocks[block]!;
  }
  takenBlocks[block] = left;
  const rows = { name, numberedFrom, fileRows: { firstRow, rowCount: blocks[block]! }, rowGroupRows: [] };
  return { takenBlocks, rowCount: rowsMax, endRow: fileRowOf(connection, rows, left - 1) + 1 };
}

/** Each twice as long as the one before, up to a bound: where a few rows are wanted, few are looked at. */
function* stretchesOf(blocks: readonly number[], rowsFirst: number): Generator<Stretch, void, void> {
  let [first, firstRow, rowsLeast] = [0, 0, rowsFirst];
  while (first < blocks.length) {
    const starts: number[] = [];
    let end = firstRow;
    for (; starts.length < countedBlocksMax && end - firstRow < rowsLeast && first + starts.length < blocks.length;) {
      const rowCount = blocks[first + starts.length]!;
      starts.push(end);
      end += rowCount;
    }
    yield { first, starts, firstRow, rowCount: end - firstRow };
    first += starts.length;
    firstRow = end;
    rowsLeast = Math.min(countedRowsMax, 2 * rowsLeast);
  }
}

/** Which of the blocks a row lies in, by halves: one or two comparisons a row for each doubling of their number. */
function blockSql(starts: readonly number[], from = 0, to = starts.length): string {
  if (to - from === 1) return String(from);
  const middle = Math.floor((from + to) / 2);
  return `CASE WHEN shard.file_row_number < ${starts[middle]} THEN ${blockSql(starts, from, middle)} ELSE ${blockSql(starts, middle, to)} END`;
}
