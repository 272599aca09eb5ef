/** What `tandem score` and `tandem featurize` say at the end. Pure. */
import type { DeviceReport, Progress, ScoreResult } from '../options.ts';
import { counted, formatBytes, formatCount, formatRate, formatSeconds, printable } from './format.ts';

export function renderScore(result: ScoreResult): string {
  return [...doneLines(result, 'scored'), ...readLines(result.output)].join('\n');
}

/** What `tandem featurize` says at the end. @param format undefined: Parquet */
export function renderFeaturize(result: ScoreResult, format?: 'parquet' | 'arrow'): string {
  const { output } = result;
  const arrow = `read it: pyarrow.dataset.dataset(${JSON.stringify(output)}, format="ipc")`;
  return [...doneLines(result, 'featurized'), ...(format === 'arrow' ? [arrow] : readLines(output))].join('\n');
}

function readLines(output: string): string[] {
  return [`read it: ${readCommand(output)}`, `     or: pandas.read_parquet(${JSON.stringify(output)})`];
}

function doneLines(result: ScoreResult, done: 'scored' | 'featurized'): string[] {
  const {
    rowsIn,
    rowsOut,
    shards,
    shardsSkipped,
    wallSeconds,
    rowsPerSecond,
    batchSize,
    threads,
    device,
    precision,
    output,
    scorer,
  } = result;
  const lines: string[] = [];
  if (shards === 0 && shardsSkipped > 0) lines.push(`nothing to do: ${counted(shardsSkipped, 'shard')} whole already`);
  else {
    lines.push(
      `${done} ${counted(rowsIn, 'row')} of ${counted(shards, 'shard')} in ` +
        `${formatSeconds(wallSeconds)}: ${formatRate(rowsPerSecond)}`,
    );
    if (shardsSkipped > 0) lines.push(`  ${counted(shardsSkipped, 'more shard')} whole already`);
    if (rowsOut !== rowsIn) lines.push(`  ${counted(rowsOut, 'row')} written`);
    const batch = batchSize === undefined ? '' : `batch size ${formatCount(batchSize)}, `;
    const products = precision === 'float32' ? '' : `, ${precision}`;
    lines.push(`  ${batch}${counted(threads, 'thread')}, ${device}${products}`, ...result.devices.map(renderDevice));
    // Of a model without a kernel there is nothing to know.
    if (done === 'scored' && !scorer.startsWith('ONNX Runtime')) lines.push(`  ${printable(scorer)}`);
  }
  if (result.ledger !== undefined) lines.push(`  ${result.ledger.verdict.sentence}`);
  lines.push(`result: ${output}${result.outputBytes === 0 ? '' : ` (${formatBytes(result.outputBytes)})`}`);
  return lines;
}

function renderDevice({ name, label, rowCount, batchCount, memoryPeakBytes, memoryBudgetBytes }: DeviceReport): string {
  const promised = memoryBudgetBytes === undefined ? '' : ` of the promised ${formatBytes(memoryBudgetBytes)}`;
  const scored = `${counted(rowCount, 'row')} in ${formatCount(batchCount)} batches`;
  return `  ${name} (${printable(label)}): ${scored}, at most ${formatBytes(memoryPeakBytes)}${promised} of its memory`;
}

/** A command that shows the first scores; for a POSIX shell. */
export function readCommand(output: string): string {
  const folder = output.replace(/\/+$/, '').replace(/[*?[]/g, '[$&]').replaceAll("'", "''");
  const sql = `FROM '${folder}/**/*.parquet' LIMIT 10`;
  return `duckdb -c "${sql.replace(/[\\"$`]/g, '\\$&')}"`;
}

/** What is whole after a run that was stopped. */
export function renderStopped({ shardsDone, shardsTotal, shardsSkipped }: Progress): string {
  const whole = shardsDone + shardsSkipped;
  const all = counted(shardsTotal + shardsSkipped, 'shard');
  return `stopped: ${formatCount(whole)} of ${all} whole; the same command goes on`;
}
