/**
 * The classic experiments, each one command: checks its answers, measures, prints a small table with the published
 * figure beside ours, and draws a chart. What each one asks: `--help`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import yargs, { type Argv, type InferredOptionTypes } from 'yargs';
import { renderChart } from '../chart.ts';
import { coreSeconds, environment, othersShare } from '../environment.ts';
import { batchSize } from './batch-size.ts';
import type { Experiment, Flags } from './experiment.ts';
import { modelLifetime } from './model-lifetime.ts';
import { paths } from './paths.ts';
import { handoff } from './size-handoff.ts';
import { standardize } from './standardize.ts';

const resultsFolder = fileURLToPath(new URL('../../../bench/results', import.meta.url));

/** Above this long pieces of work are interrupted more often than short ones, and ratios are no longer theirs. */
const othersShareMax = 0.1;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Runs the experiment, prints what it found and keeps the rounds; the chart comes last, lest it cost the figures. */
async function conduct<Given extends Flags>(
  { name, question, run }: Experiment<Given>,
  given: InferredOptionTypes<Given>,
  folder: string,
): Promise<void> {
  const conditions = environment();
  const [before, ownBefore, startedMs] = [coreSeconds(), process.cpuUsage(), performance.now()];
  const { table, sentences, figures, chart, childSeconds = 0 } = await run(given, say);
  const { user, system } = process.cpuUsage(ownBefore);
  const others = othersShare(before, coreSeconds(), (user + system) / 1e6 + childSeconds);
  const seconds = (performance.now() - startedMs) / 1000;
  const { cpu, cores, node, onnxRuntime, duckDb } = conditions;
  const machine = [
    `${cores} cores, ${cpu}; Node ${node}, ONNX Runtime ${onnxRuntime}, DuckDB ${duckDb}; medians of the rounds;`,
    `others took ${(others * 100).toFixed(0)} % of the cores in these ${seconds.toFixed(0)} s`,
  ].join(' ');
  const shared =
    others > othersShareMax
      ? ['The machine was shared: run it again in quiet before you believe a rate or a ratio.']
      : [];
  console.log([question, machine, table, ...sentences, ...shared].join('\n\n'));
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${new Date().toISOString().slice(0, 10)}-${name}`);
  const results = { version: 1, experiment: name, environment: conditions, othersShare: others, seconds, ...figures };
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
  writeFileSync(`${path}.json`, `${JSON.stringify(results, rounded, 1)}\n`);
  await renderChart(chart, `${path}.svg`);
  console.log(`\nrounds and environment: ${path}.json\nchart: ${path}.svg`);
}

function withExperiment<Given extends Flags>(parser: Argv, experiment: Experiment<Given>): Argv {
  const { name, question, explain, flags } = experiment;
  const out = {
    type: 'string',
    default: resultsFolder,
    defaultDescription: 'bench/results',
    describe: 'Folder for the figures and the chart',
  } as const;
  return parser.command(
    name,
    question,
    (command) => command.usage(`$0 ${name} [flags]\n\n${question}\n\n${explain}`).options(flags).option('out', out),
    // The parser has checked the flags against the options that the experiment names.
    (given) => conduct(experiment, given as unknown as InferredOptionTypes<Given>, resolve(String(given['out']))),
  );
}

async function main(): Promise<void> {
  let parser = yargs(process.argv.slice(2))
    .scriptName('npm run bench:experiments --')
    .usage('$0 <experiment> [flags]\n\nThe classic experiments of batch scoring, each one command on your machine.')
    .epilogue(
      'Each checks that all ways give the same answers, lets them take turns, prints a table and writes the rounds (JSON) and a ' +
        'chart (SVG). Rates of one run compare with each other; a shared machine drifts between runs. <experiment> --help says more.',
    );
  parser = withExperiment(parser, standardize);
  parser = withExperiment(parser, batchSize);
  parser = withExperiment(parser, modelLifetime);
  parser = withExperiment(parser, paths);
  parser = withExperiment(parser, handoff);
  await parser
    .demandCommand(1, 'Expected the name of an experiment: --help lists them.')
    .strict()
    .version(false)
    .locale('en')
    .wrap(Math.min(120, process.stdout.columns || 120))
    .parseAsync();
}

await main();
