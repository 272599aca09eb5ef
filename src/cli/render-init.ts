/** What `tandem init` shows. Pure. */
import { relative } from 'node:path';
import type { DraftInput } from '../init/draft.ts';
import type { InitReport } from '../init/init.ts';
import type { Decision } from '../init/propose-outputs.ts';
import { quoted } from '../init/python.ts';
import type { CheckReport } from '../options.ts';
import { counted, formatList, formatTable, printable } from './format.ts';
import { renderCheck } from './render-check.ts';

const featuresShownMax = 6;

/** @param shards as they were typed, for the commands that come next */
export function renderInit(report: InitReport, shards: readonly string[]): string {
  return [
    report.contract === undefined ? stepsSection(report) : headline(report),
    inputSection(report.inputs),
    outputSection(report),
    list('notes', report.notes),
    decisionSection(report.decisions),
    list('score would refuse it', report.problems),
    report.check === undefined ? undefined : `check\n${indented(checkWords(report.check))}`,
    report.dryRun && report.contract !== undefined ? report.contract.trimEnd() : undefined,
    report.dryRun ? undefined : next(report, shards),
  ]
    .filter((part) => part !== undefined)
    .join('\n\n');
}

/** Rows are worth a look only where some are beyond the tolerance. */
function checkWords(check: CheckReport): string {
  return renderCheck(
    check.passed ? { ...check, columns: check.columns.map((each) => ({ ...each, worst: [] })) } : check,
  );
}

function headline({ folder, files, dryRun }: InitReport): string {
  return `${dryRun ? 'would write' : 'wrote'} ${files.join(', ')} in ${printable(shortened(folder))}`;
}

function stepsSection({ steps }: InitReport): string {
  return `would do, and you can do by hand:\n${steps.map((step) => `  ${step}`).join('\n')}`;
}

function inputSection(inputs: readonly DraftInput[]): string | undefined {
  if (inputs.length === 0) return undefined;
  const rows = inputs.map(({ name, type, sure, because, features }) => [
    printable(name),
    type,
    sure,
    printable(formatList(features, featuresShownMax)),
    printable(because),
  ]);
  return `inputs\n${formatTable(
    ['input', 'type', 'sure', 'columns', 'because'].map((title) => ({ title })),
    rows,
  )}`;
}

function outputSection({ outputs, keep, contract }: InitReport): string | undefined {
  if (contract === undefined) return undefined;
  const lines = Object.entries(outputs).map(([name, output]) => {
    if (output === false) return `${name} is left out`;
    if (typeof output === 'string') return name === output ? name : `${name} as ${output}`;
    return `${name}[${output.select}] as ${output.column}`;
  });
  const kept = keep === undefined ? 'all columns' : keep.join(', ');
  return `outputs\n  ${printable(lines.join(', '))}; kept: ${printable(kept)}`;
}

function decisionSection(decisions: readonly Decision[]): string | undefined {
  const shown = (must: boolean) =>
    decisions
      .filter((decision) => decision.must === must)
      .map(({ field, question, candidates }) => {
        const head = `${field}: ${question}`;
        return candidates.length === 0 ? head : `${head}\n    candidates: ${candidates.join('   ')}`;
      });
  const parts = [list('to fill in, where tandem.json has "?"', shown(true)), list('to look at', shown(false))];
  const given = parts.filter((part) => part !== undefined);
  return given.length === 0 ? undefined : given.join('\n\n');
}

function list(title: string, lines: readonly string[]): string | undefined {
  if (lines.length === 0) return undefined;
  return `${title}\n${lines.map((line) => `  ${line.split('\n').map(printable).join('\n  ')}`).join('\n')}`;
}

function next({ folder, decisions, check, problems }: InitReport, shards: readonly string[]): string {
  const model = quoted(shortened(folder));
  if (check?.passed === false) {
    return `next\n  do not score with it: its scores are not the library's\n  tandem check --model ${model}`;
  }
  const tables = shards.length === 0 ? "'data/*.parquet'" : shards.map((each) => quoted(each)).join(' ');
  const open = decisions.filter(({ must }) => must).length;
  const isDone = open === 0 && problems.length === 0;
  const steps = [
    ...(open === 0 ? [] : [`fill in ${counted(open, 'place')} of ${shortened(folder)}/tandem.json`]),
    ...(isDone ? [] : [`tandem inspect ${tables} --model ${model}`]),
    ...(check === undefined ? [] : [`tandem check --model ${model}`]),
    `tandem score ${tables} --model ${model} --output scores --dry-run`,
  ];
  return `next\n${steps.map((step) => `  ${step}`).join('\n')}`;
}

/** From here, where that is below. */
function shortened(folder: string): string {
  const path = relative(process.cwd(), folder);
  return path === '' ? '.' : path.startsWith('..') ? folder : path;
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}
