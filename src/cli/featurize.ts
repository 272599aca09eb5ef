/** `tandem featurize`: what the model would get, as files for whoever trains the next one. */
import type { FeaturizeOptions } from '../feature-options.ts';
import type { Progress } from '../options.ts';
import type { PlannedSelection } from '../relation.ts';
import { outputShardsMax, threadsMax } from '../limits.ts';
import { jsonFlag, keepFlag, memoryFlag, printResult, threadsFlag, warner, type Command } from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Arguments, Flag } from './flags.ts';
import { outputFlags, outputOptions } from './output-flags.ts';
import { openProgress, type ProgressMode } from './progress-view.ts';
import { noteUnused, openRunFiles, recordFlags, sayWhatIsWhole } from './run-files.ts';
import { parseKeep, progressFlag } from './score.ts';
import { selectionFlags, selectionLines, selectionOptions } from './selection.ts';
import { watchSignals } from './signals.ts';
import { parseBytes } from './size.ts';

export const featurizeFlags: readonly Flag[] = [
  {
    name: 'model',
    value: 'folder',
    required: 'always',
    describe: 'Folder with the tandem.json that says how; it needs no model file: inputs are float32 then, or text',
  },
  {
    name: 'output',
    value: 'folder',
    required: 'unless --dry-run',
    describe: 'Folder for the features; made if it is missing',
  },
  {
    name: 'shards',
    value: 'count',
    describe:
      'Spread the rows evenly over so many files, part-00000-of-00016.parquet and so on, in the order of the shards',
    otherwise: 'one file for each shard',
  },
  {
    name: 'format',
    value: 'name',
    choices: ['parquet', 'arrow'],
    describe: 'Of the files; arrow: IPC files with features as FixedSizeList, to be mapped into memory',
    otherwise: 'parquet',
  },
  ...selectionFlags,
  filesFromFlag,
  { ...keepFlag, otherwise: "the contract's list, or none" },
  { name: 'dry-run', describe: 'Print the plan with its memory table, write nothing' },
  { name: 'overwrite', describe: 'Remove what Tandem wrote under the output folder, then start' },
  { ...threadsFlag, describe: 'Threads that read, featurize and write' },
  memoryFlag,
  ...outputFlags,
  progressFlag,
  ...recordFlags,
  jsonFlag,
];

/** What the flags say. @throws USAGE */
function featurizeOptions(given: Arguments): Omit<FeaturizeOptions, 'shards'> {
  const keep = parseKeep(given.texts('keep'));
  const { compression, ...files } = outputOptions(given);
  const memory = given.text('memory');
  const threads = given.count('threads', threadsMax);
  const format = given.text('format') as FeaturizeOptions['format'];
  const outputShards = given.count('shards', outputShardsMax);
  return {
    model: given.text('model') ?? '',
    output: given.text('output') ?? 'tandem-dry-run',
    ...selectionOptions(given),
    ...files,
    // It has a default, which Arrow files do not take.
    ...(given.text('compression') === undefined ? {} : { compression }),
    ...(format === undefined ? {} : { format }),
    ...(outputShards === undefined ? {} : { outputShards }),
    ...(keep === undefined ? {} : { keep }),
    ...(threads === undefined ? {} : { threads }),
    ...(memory === undefined ? {} : { memoryBytes: parseBytes('--memory', memory) }),
    overwrite: given.isOn('overwrite'),
    command: given.commandLine,
  };
}

export const featurizeCommand: Command = {
  spec: {
    name: 'featurize',
    describe:
      'Writes what the model would get as Parquet or Arrow, one file for each shard or in equal files: each input that columns feed is a column, ' +
      'a list where it has several values a row, with the very bits that `score` gives the model (float16 as FLOAT).',
    positional: 'shards',
    flags: featurizeFlags,
    examples: [
      ["tandem featurize 'data/**/*.parquet' --model m --output features --keep label", 'Features beside a label'],
      ["tandem featurize 'data/**/*.parquet' --model m --output features --shards 16", 'Equal files for 16 workers'],
      [`tandem featurize data --model m --output train --where "day < '2026-05-01'"`, 'Of some rows only'],
      ['tandem featurize data --model m --dry-run', 'Show the plan, write nothing'],
    ],
  },
  async run(given, io, loadApi) {
    const options = { ...featurizeOptions(given), shards: await shardsOf(given, io) };
    const isDry = given.isOn('dry-run');
    const files = await openRunFiles(given, options.output, isDry);
    const view = await openProgress(isDry ? 'none' : ((given.text('progress') ?? 'auto') as ProgressMode), io);
    const watch = watchSignals(io, (line) => view.say(line));
    const warn = warner((line) => view.say(line));
    const common = { ...options, signal: watch.signal, onWarning: warn };
    let last: Progress | undefined;
    try {
      const api = await loadApi();
      if (isDry) noteUnused(given, (line) => view.say(line));
      if (isDry) {
        const [plan, { renderPlan }] = await Promise.all([api.planFeaturize(common), import('./render-plan.ts')]);
        plan.warnings.forEach(warn);
        printResult(io, given, plan, renderPlan);
        return 0;
      }
      const [result, { renderFeaturize }] = await Promise.all([
        api.featurize({
          ...common,
          ...files.options((line) => view.say(line)),
          onProgress: (progress) => {
            last = progress;
            view.show(progress);
          },
          onSelection: (selection: PlannedSelection, rowCount: number) =>
            view.log(selectionLines(selection, rowCount).join(', '), false),
        }),
        import('./render-score.ts'),
      ]);
      view.close();
      printResult(io, given, result, (done) => renderFeaturize(done, options.format));
      files.writeReport(view);
      return 0;
    } catch (thrown) {
      view.close();
      files.writeReportAfterFailure(view);
      await sayWhatIsWhole(thrown, last, view);
      throw thrown;
    } finally {
      view.close();
      watch.close();
    }
  },
};
