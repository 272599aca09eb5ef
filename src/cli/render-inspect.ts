/** What `tandem inspect` shows. Pure. */
import type { InspectReport } from '../inspect-report.ts';
import { counted, formatBytes, formatCount, formatList, formatTable, printable } from './format.ts';
import { selectionLines } from './selection.ts';

const shardsShownMax = 10;
const driftShownMax = 20;
const featuresShownMax = 8;

export function renderInspect(report: InspectReport): string {
  return [
    headline(report),
    // A selection is made of counted rows only.
    report.selection && selectionLines(report.selection, report.rowCount!).join('\n'),
    shardSection(report),
    columnSection(report),
    driftSection(report),
    modelSection(report),
    problemSection(report),
  ]
    .filter((part) => part !== undefined)
    .join('\n\n');
}

function headline({ rowCount, shards, bytes, rowGroups }: InspectReport): string {
  const span =
    rowGroups.rowsMin === rowGroups.rowsMax
      ? counted(rowGroups.rowsMax, 'row')
      : `${formatCount(rowGroups.rowsMin)} to ${counted(rowGroups.rowsMax, 'row')}`;
  const rows = rowCount === undefined ? 'rows of text are counted when they are scored' : counted(rowCount, 'row');
  const first = `${rows} in ${counted(shards.length, 'shard')}, ${formatBytes(bytes)}`;
  if (rowGroups.count === 0) return `${first}; no row groups`;
  const largest = formatBytes(rowGroups.compressedBytesMax);
  return `${first}\n${counted(rowGroups.count, 'row group')} of ${span}, at most ${largest} compressed`;
}

function shardSection({ shards }: InspectReport): string {
  const rows = shards
    .slice(0, shardsShownMax)
    .map((shard) => [
      shard.name,
      shard.rowCount === undefined ? '' : formatCount(shard.rowCount),
      formatCount(shard.rowGroups),
      formatBytes(shard.bytes),
    ]);
  const table = formatTable([{ title: 'name' }, right('rows'), right('row groups'), right('size')], rows);
  return `shards\n${table}${more(shards.length - shardsShownMax)}`;
}

function columnSection(report: InspectReport): string {
  const withModel = report.model !== undefined;
  const rows = report.columns.map((column) => [
    column.name,
    column.types.join(' or ') + (column.isOfPath === true ? ' (of the path)' : ''),
    column.shards === report.shards.length
      ? 'all'
      : `${formatCount(column.shards)} of ${formatCount(report.shards.length)}`,
    ...(withModel ? [column.feeds.join(', '), column.kept ? 'yes' : ''] : []),
  ]);
  const titles = ['column', 'type', 'in shards', ...(withModel ? ['feeds', 'kept'] : [])];
  return `columns\n${formatTable(
    titles.map((title) => ({ title })),
    rows,
  )}`;
}

function driftSection({ drift, shards }: InspectReport): string | undefined {
  if (drift.length === 0)
    return shards.length > 1 ? 'drift\n  none: every shard has the same columns and types' : undefined;
  return `drift\n${drift
    .slice(0, driftShownMax)
    .map((line) => `  ${printable(line)}`)
    .join('\n')}${more(drift.length - driftShownMax)}`;
}

function modelSection({ model }: InspectReport): string | undefined {
  if (model === undefined) return undefined;
  const inputs = model.inputs.map((input) => [
    input.name,
    input.type,
    formatList(input.features, featuresShownMax, '; '),
  ]);
  const outputs = model.outputs.map((output) => [
    output.name,
    output.type,
    formatList(output.columns, featuresShownMax),
  ]);
  return [
    `model ${printable(model.path)}`,
    ...(model.scorer === undefined ? [] : [`  scored on the CPU by ${printable(model.scorer)}`]),
    formatTable([{ title: 'input' }, { title: 'type' }, { title: 'fed by' }], inputs),
    formatTable([{ title: 'output' }, { title: 'type' }, { title: 'columns' }], outputs),
  ].join('\n');
}

function problemSection({ problems, model }: InspectReport): string | undefined {
  if (problems.length === 0) return model === undefined ? undefined : 'score would start: nothing is in its way';
  return `score would refuse:\n${problems.map((problem) => problem.replace(/^/gm, '  ')).join('\n')}`;
}

function more(count: number): string {
  return count > 0 ? `\n  and ${formatCount(count)} more` : '';
}

function right(title: string) {
  return { title, align: 'right' } as const;
}
