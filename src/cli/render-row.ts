/** What `tandem check --row` shows. Pure. */
import type { RowFeature, RowReport } from '../check/row-report.ts';
import { formatList, formatTable } from './format.ts';

/** Values of a list that are shown. */
const valuesShown = 12;

export function renderRow(report: RowReport): string {
  const { shard, row, leftOutBy, columns, features, differences, outputs, scores, device, scorer } = report;
  const parts = [
    `row ${row} of ${shard}`,
    ...(leftOutBy === undefined ? [] : [`no run scores it: \`where\` in tandem.json leaves it out: ${leftOutBy}`]),
    table(
      ['column', 'type', 'value'],
      columns.map(({ name, type, value }) => [name, type, value ?? 'null']),
    ),
    'what becomes of it',
    table(['input', 'source', 'step', 'value'], features.flatMap(featureRows)),
  ];
  if (differences.length > 0) {
    const rows = differences.map(({ input, position, reference, made }) => [`${input}[${position}]`, reference, made]);
    parts.push(
      'a run makes other values than the reference; this is a bug',
      table(['input', 'reference', 'run'], rows),
    );
  } else if (outputs.length > 0) parts.push('a run makes the same values, bit by bit');
  if (outputs.length > 0) {
    const rows = outputs.map(({ name, type, values }) => [name, type, list(values)]);
    parts.push('the model on it (ONNX Runtime)', table(['output', 'type', 'values'], rows));
  }
  if (scores.length > 0) {
    parts.push(`scores (${device}; ${scorer})`, scoreTable(report));
    parts.push(...(report.known?.columns ?? []).flatMap(({ name, hints }) => hints.map((hint) => `${name}: ${hint}`)));
  }
  return parts.join('\n');
}

function featureRows({ input, position, source, steps, values, madeBy, problem }: RowFeature): string[][] {
  const place = values.length > 1 ? `${input}[${position}..${position + values.length - 1}]` : `${input}[${position}]`;
  const last = problem === undefined ? ['tensor', `${sparse(values)}  (${madeBy})`] : ['cannot be used', problem];
  const rows = [...steps.map(({ step, values: made }) => [step, made.length === 0 ? '' : list(made)]), last];
  return rows.map((row, index) => [index === 0 ? place : '', index === 0 ? source : '', ...row]);
}

function list(values: readonly (string | null)[]): string {
  return formatList(
    values.map((value) => value ?? 'null'),
    valuesShown,
  );
}

/** Long rows of zeros, which one-hot features give, by what is none. */
function sparse(values: readonly string[]): string {
  const others = values.flatMap((value, index) => (value === '0' ? [] : [`[${index}] = ${value}`]));
  if (values.length <= valuesShown || others.length > valuesShown / 2) return list(values);
  return others.length === 0 ? `${values.length} times 0` : `0, but ${others.join(', ')}`;
}

function scoreTable({ scores, known }: RowReport): string {
  if (known === undefined) {
    return table(
      ['column', 'value'],
      scores.map(({ name, value }) => [name, value ?? 'null']),
    );
  }
  const same = known.rows.both === 0 ? 'no such row' : 'the same';
  const rows = scores.map(({ name, value }) => {
    // `probability[1]` is a position of `probability`.
    const found = known.columns.filter((each) => each.name === name || each.name.startsWith(`${name}[`));
    const texts = found.map(({ name: each, worst }) => `${each.slice(name.length)} ${worst[0]?.known ?? same}`.trim());
    return [name, value ?? 'null', texts.join(', ')];
  });
  return table(['column', 'value', 'known'], rows);
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return formatTable(
    titles.map((title) => ({ title })),
    rows,
  );
}
