/** Standardize, then clip: row at a time, vectorized, and by the product's kernel, on the same numbers. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatDifference, formatTable } from '../../src/cli/format.ts';
import type { VegaLiteSpec } from '../chart.ts';
import { defaultFolder } from '../data.ts';
import { median, medianRatio, type Rounds } from '../measure.ts';
import {
  expectSame,
  largestDifference,
  positive,
  roundsFlag,
  secondsFlag,
  whole,
  type Experiment,
} from './experiment.ts';
import { NoPython, pythonOfExperiments, PythonScript } from './python.ts';
import { timed, timeInRounds, type Contestant } from './rounds.ts';
import { names, normalColumn, scoreOf, waysOfJavaScript, type Standardizing } from './standardize-ways.ts';

/** Vectorized by row at a time, and the largest difference of their answers, as published for 4 million values. */
const published = { ratio: 49.3, difference: 0 };

const flags = {
  values: { type: 'number', default: 4_000_000, describe: 'Numbers of the column', coerce: whole('values') },
  clip: { type: 'number', default: 3, describe: 'Clip at so many standard deviations', coerce: positive('clip') },
  rounds: roundsFlag,
  seconds: secondsFlag(0.3),
} as const;

export const standardize: Experiment<typeof flags> = {
  name: 'standardize',
  question: 'What does row at a time cost against whole columns?',
  explain:
    'z = clip((x - mean) / std) over one float64 column of normal values: a Python function for each row, row objects in JavaScript, ' +
    'numpy, typed arrays, and the kernel that Tandem generates. One core. All give the same bits, or the experiment ends with an error. ' +
    'Rows come twice, as both are often seen: Python floats (what a row UDF gets) and what looping over a numpy array gives; ' +
    'new row objects with their fields named, and by { ...row, z }. With --clip 1 a third of the values is clipped, at random: ' +
    'loops with branches become slow, numpy does not.',
  flags,
  async run({ values, clip, rounds, seconds }, say) {
    const task: Standardizing = { mean: 4.5, std: 2.5, low: -clip, high: clip };
    const column = normalColumn(values, task);
    const expected = Float64Array.from(column, (x) => scoreOf(x, task));
    say('checking the answers');
    const ways = waysOfJavaScript(column, task);
    const differences: Record<string, number> = {};
    for (const [name, way] of Object.entries(ways)) {
      differences[name] = expectSame(name, largestDifference(way.answers(), expected));
    }
    const python = await openPython(column, expected, task);
    Object.assign(differences, python.differences);
    say('measuring');
    const inTurn = Object.fromEntries(Object.entries(ways).map(([name, { once }]) => [name, timed(values, once)]));
    const rates = await timeInRounds({ ...python.contestants, ...inTurn }, rounds, seconds);
    const childSeconds = python.close();
    const table = tableOf(rates, differences);
    const missing = python.reason === undefined ? [] : [`Without the lines of Python: ${python.reason}`];
    return {
      table,
      sentences: [...sentencesOf(rates), ...missing],
      figures: {
        values,
        ...task,
        published,
        differences,
        valuesPerSecond: rates,
        versions: python.versions,
      },
      chart: chartOf(rates, values),
      childSeconds,
    };
  },
};

interface OpenedPython {
  readonly contestants: Readonly<Record<string, Contestant>>;
  readonly differences: Readonly<Record<string, number>>;
  readonly versions: object | undefined;
  /** Why there is none. */
  readonly reason?: string;
  /** Gives its CPU seconds. */
  close(): number;
}

/** The ways of Python, checked; none where there is no Python. */
async function openPython(
  column: Float64Array,
  expected: Float64Array,
  standardizing: Standardizing,
): Promise<OpenedPython> {
  let python: string;
  try {
    python = pythonOfExperiments();
  } catch (error) {
    if (!(error instanceof NoPython)) throw error;
    return { contestants: {}, differences: {}, versions: undefined, reason: error.message, close: () => 0 };
  }
  const folder = join(defaultFolder, 'experiments');
  mkdirSync(folder, { recursive: true });
  const [input, output] = [join(folder, 'standardize-in.f64'), join(folder, 'standardize-out.f64')];
  writeFileSync(input, column);
  const task = { input, output, ...standardizing };
  const { script, greeting } = await PythonScript.start<object>(python, 'standardize.py', task);
  let cpuSeconds = 0;
  const contestants: Record<string, Contestant> = {};
  const differences: Record<string, number> = {};
  for (const key of ['floats', 'scalars', 'numpy'] as const) {
    await script.ask(`${key} keep`);
    const bytes = readFileSync(output);
    const answers = new Float64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    differences[names[key]] = expectSame(names[key], largestDifference(answers, expected));
    contestants[names[key]] = async () => {
      const answer = await script.ask<{ readonly seconds: number; readonly cpuSeconds: number }>(key);
      cpuSeconds = answer.cpuSeconds;
      return { units: column.length, seconds: answer.seconds };
    };
  }
  const close = (): number => {
    script.close();
    for (const path of [input, output]) rmSync(path, { force: true });
    return cpuSeconds;
  };
  return { contestants, differences, versions: greeting, close };
}

function tableOf(rates: Rounds, differences: Readonly<Record<string, number>>): string {
  const right = 'right' as const;
  const base = rates[names.floats];
  const rows = Object.entries(rates).map(([name, rounds]) => [
    name,
    (median(rounds) / 1e6).toFixed(2),
    base === undefined ? '-' : medianRatio(rounds, base).toFixed(1),
    name === names.numpy ? published.ratio.toFixed(1) : '',
    formatDifference(differences[name]!),
    name === names.numpy ? formatDifference(published.difference) : '',
  ]);
  return formatTable(
    [
      { title: 'way' },
      { title: 'M values/s', align: right },
      { title: 'times the UDF', align: right },
      { title: 'published', align: right },
      { title: 'largest difference', align: right },
      { title: 'published', align: right },
    ],
    rows,
  );
}

function sentencesOf(rates: Rounds): string[] {
  const ratio = (one: string, other: string): string => medianRatio(rates[one]!, rates[other]!).toFixed(1);
  const inJavaScript = `Without leaving JavaScript, typed arrays are ${ratio(names.arrays, names.objects)} times row objects.`;
  if (rates[names.numpy] === undefined) return [inJavaScript];
  return [
    `numpy is ${ratio(names.numpy, names.floats)} times a Python function for each row (published: ${published.ratio}); ` +
      `Tandem's kernel is ${ratio(names.kernel, names.floats)} times that function and ${ratio(names.kernel, names.numpy)} times numpy.`,
    inJavaScript,
  ];
}

function chartOf(rates: Rounds, values: number): VegaLiteSpec {
  const rows = Object.entries(rates).flatMap(([way, rounds]) => rounds.map((rate) => ({ way, rate: rate / 1e6 })));
  const medians = Object.entries(rates).map(([way, rounds]) => ({ way, rate: median(rounds) / 1e6 }));
  const y = {
    field: 'way',
    type: 'nominal',
    sort: Object.keys(rates),
    title: null,
  } as const;
  const x = {
    field: 'rate',
    type: 'quantitative',
    scale: { type: 'log' },
    title: 'million values per second, one core (log scale; each round a dot)',
  } as const;
  return {
    title: `Standardize, then clip ${(values / 1e6).toFixed(1)} million values`,
    width: 460,
    height: { step: 30 },
    layer: [
      { data: { values: rows }, mark: { type: 'circle', size: 60 }, encoding: { x, y } },
      {
        data: { values: medians },
        mark: { type: 'text', dy: -11 },
        encoding: { x, y, text: { field: 'rate', type: 'quantitative', format: '.3~r' } },
      },
    ],
  };
}
