/** What `tandem score --dry-run` shows. Pure. */
import { readTensors } from '../batch.ts';
import { sourceName, type Feature, type NumericStep } from '../contract/contract.ts';
import { bug } from '../errors.ts';
import type { PlannedShard, RunPlan, TensorExplanation } from '../plan.ts';
import { counted, formatBytes, formatCount, formatList, formatTable, printable } from './format.ts';
import { selectionLines } from './selection.ts';

/** Shards and features that are named; the rest is counted. */
const shardsShownMax = 10;
const featuresShownMax = 8;
/** Features that are explained one by one. */
const explainedMax = 200;

export function renderPlan(plan: RunPlan): string {
  const work = `${counted(plan.rowsTotal, 'row')} of ${counted(plan.shards.length, 'shard')}`;
  return [
    `plan: ${work} -> ${printable(plan.output)} (nothing is written now)`,
    ...(plan.selection === undefined
      ? []
      : [section('rows', indented(selectionLines(plan.selection, rowsTaken(plan))))]),
    section('shards', shardTable(plan.shards)),
    section(`inputs of ${printable(plan.model.path)} (${formatBytes(plan.model.bytes)})`, inputTable(plan)),
    ...(plan.explanation ?? []).map((tensor) =>
      section(`how ${printable(tensor.name)} is made`, explanationText(plan, tensor)),
    ),
    section('outputs', outputTable(plan)),
    section('keep', keepLines(plan)),
    section('run', runLines(plan)),
    section('memory', memoryTable(plan)),
  ].join('\n\n');
}

function rowsTaken({ shards }: RunPlan): number {
  return shards.reduce((sum, { rowCount }) => sum + rowCount, 0);
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}`).join('\n');
}

function section(title: string, body: string): string {
  return `${title}\n${body}`;
}

function shardTable(shards: readonly PlannedShard[]): string {
  const rows = shards
    .slice(0, shardsShownMax)
    .map((shard) => [
      shard.name,
      formatCount(shard.rowCount),
      formatCount(shard.rowGroupRows.length),
      formatBytes(shard.bytes),
      shard.done ? 'whole already' : shard.mode === 'whole' ? 'one thread' : 'split among threads',
    ]);
  const table = formatTable(
    [{ title: 'name' }, right('rows'), right('row groups'), right('size'), { title: 'read and written by' }],
    rows,
  );
  return shards.length <= shardsShownMax
    ? table
    : `${table}\n  and ${formatCount(shards.length - shardsShownMax)} more`;
}

function inputTable({ model }: RunPlan): string {
  const rows = readTensors(model.inputs).map((input) => [
    input.name,
    tensorType(input.elementType, input.rowShape),
    formatList(input.features.map(describeFeature), featuresShownMax, '; '),
  ]);
  const constants = model.constants.map((constant) => [
    constant.name,
    `${constant.elementType}[${constant.shape.join(', ')}]`,
    `constant ${formatList([constant.value].flat().map(String), featuresShownMax)}`,
  ]);
  return formatTable([{ title: 'name' }, { title: 'type' }, { title: 'fed by' }], [...rows, ...constants]);
}

/** A feature a line: what SQL selects, what comes of it, what is computed and by what. */
function explanationText({ model }: RunPlan, { name, rowsPerSecond, rowCount, features }: TensorExplanation): string {
  const input = model.inputs.find((tensor) => tensor.name === name);
  if (input === undefined) throw bug(`The plan explains ${name}, which is no input`);
  const rows = features.slice(0, explainedMax).map(({ sql, vector, loopBecause }, index) => {
    const how = describeKind(input.features[index]!);
    return [
      printable(sql),
      vector,
      how === '' ? 'as it is' : how,
      input.elementType,
      loopBecause === undefined ? 'SIMD kernel' : `JavaScript: ${loopBecause}`,
    ];
  });
  const table = formatTable(
    [{ title: 'SQL selects' }, { title: 'which gives' }, { title: 'then' }, { title: 'stored as' }, { title: 'by' }],
    rows,
  );
  const rate = `${Number((rowsPerSecond / 1e6).toPrecision(2))} M rows/s a core without reading`;
  const more = features.length > explainedMax ? `\n  and ${formatCount(features.length - explainedMax)} more` : '';
  return `${table}${more}\n  ${rate}: measured just now on the first ${counted(rowCount, 'row')}`;
}

function tensorType(elementType: string, rowShape: readonly number[]): string {
  return `${elementType}[${['N', ...rowShape].join(', ')}]`;
}

/** `distance: standardize, clip`, `hour(date)`, `origin: index of 229` */
export function describeFeature(feature: Feature): string {
  const from = sourceName(feature.source);
  const how = describeKind(feature);
  return how === '' ? from : `${from}: ${how}`;
}

function describeKind(feature: Feature): string {
  switch (feature.kind) {
    case 'number':
      return stepNames(feature.steps);
    case 'list':
      return ['list', ...(feature.steps.length === 0 ? [] : [stepNames(feature.steps)])].join(', ');
    case 'length':
      return 'length';
    case 'index':
      return `index of ${formatCount(feature.categories.length)}`;
    case 'oneHot':
      return `one-hot of ${formatCount(feature.categories.length)}`;
    case 'hash':
      return `hash into ${formatCount(feature.buckets)}`;
    case 'text':
      return 'text';
  }
}

function stepNames(steps: readonly NumericStep[]): string {
  return steps.map((step) => step.kind).join(', ');
}

function outputTable({ model }: RunPlan): string {
  const rows = model.columns.map((column) => {
    const output = model.outputs[column.output];
    if (output === undefined)
      throw bug(`Column ${column.name} comes from output ${column.output}, which is not planned`);
    const isList = column.position === undefined && output.width !== 1;
    const from = column.position === undefined ? output.name : `${output.name}[${column.position}]`;
    return [column.name, isList ? `${output.elementType}[${output.rowShape.join(', ')}]` : output.elementType, from];
  });
  return formatTable([{ title: 'column' }, { title: 'type' }, { title: 'from' }], rows);
}

function keepLines(plan: RunPlan): string {
  if (plan.keep.length === 0) return '  no columns';
  const cost = `${formatBytes(plan.keepBytes)} compressed to copy; the features read ${formatBytes(plan.featureBytes)}`;
  const lines = [`  ${formatList(plan.keep.map(printable), featuresShownMax)}`, `  ${cost}`];
  if (plan.keepsAll) lines.push('  every column is copied: --keep a,b or --keep none copies less');
  return lines.join('\n');
}

function runLines(plan: RunPlan): string {
  const startsAt = plan.devices.find(({ profile }) => profile !== undefined)?.profile?.rows;
  const from = startsAt === undefined ? 'measured at the start' : `${counted(startsAt, 'row')}, then measured`;
  const batch = plan.batchSize === undefined ? from : counted(plan.batchSize, 'row');
  const fixed = plan.model.fixedBatchRows === undefined ? '' : ' (fixed by the model)';
  return [
    `  threads      ${formatCount(plan.threads)}: ${plan.threadsBound}`,
    ...(plan.devices.length === 0 ? ['  device       cpu'] : []),
    ...plan.devices.map(
      ({ name, label, buffers, bufferRows, memoryBudgetBytes }) =>
        `  device       ${name} (${printable(label)}): ${buffers} buffers of up to ${counted(bufferRows, 'row')}` +
        (memoryBudgetBytes === undefined ? '' : `, ${formatBytes(memoryBudgetBytes)} of memory promised for all`),
    ),
    `  scorer       ${printable(plan.scorer.words)}`,
    ...(plan.devices.length === 0 ? [] : [`  precision    ${plan.precision}`]),
    ...profileLines(plan),
    `  batch size   ${batch}${fixed}`,
    `  slot         ${counted(plan.slotRows, 'row')}`,
    `  output       ${outputWords(plan)}`,
  ].join('\n');
}

/** `zstd 9, row groups of 122,880 rows, files of at most 1,000,000 rows` */
function outputWords({ files, features }: RunPlan): string {
  if (features?.format === 'arrow') return `Arrow, record batches of at most ${counted(files.rowGroupRows, 'row')}`;
  const { compression, compressionLevel, rowGroupRows, rowsPerFile } = files;
  return [
    compressionLevel === undefined ? compression : `${compression} ${compressionLevel}`,
    `row groups of ${counted(rowGroupRows, 'row')}`,
    ...(rowsPerFile === undefined ? [] : [`files of at most ${counted(rowsPerFile, 'row')}`]),
  ].join(', ');
}

/** GPUs of one kind share a profile. */
function profileLines({ profiles }: RunPlan): string[] {
  const lines = profiles.used.flatMap((used) => {
    if (used === undefined) return [];
    const { path, profile, sets } = used;
    const from = `${printable(path)} (${profile.writtenBy}, ${profile.writtenAt.slice(0, 10)})`;
    if (sets.length === 0) return [`  profile      overridden: ${from}`];
    return [`  profile      ${sets.join(', ')}: ${from}; --no-profile ignores it`];
  });
  return [...new Set(lines)];
}

function memoryTable(plan: RunPlan): string {
  const rows = plan.memory.map((line) => [
    printable(line.what),
    line.where,
    formatCount(line.count),
    formatBytes(line.bytesEach),
    formatBytes(line.count * line.bytesEach),
  ]);
  const ofHost = plan.memory.filter((line) => line.where !== 'device');
  const sum = ofHost.reduce((bytes, line) => bytes + line.count * line.bytesEach, 0);
  const sumOf = ofHost.length === plan.memory.length ? 'sum' : 'sum without device';
  rows.push([sumOf, '', '', '', formatBytes(sum)], ['limit', '', '', '', formatBytes(plan.memoryLimitBytes)]);
  const table = formatTable(
    [{ title: 'what' }, { title: 'where' }, right('count'), right('each'), right('bytes')],
    rows,
  );
  return `${table}\n  limit set by: ${plan.memoryBound}`;
}

function right(title: string) {
  return { title, align: 'right' } as const;
}
