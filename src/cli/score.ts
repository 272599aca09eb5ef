/** `tandem score`: flags to options, options to `score` or `planScore`, what comes back to text. */
import { TandemError } from '../errors.ts';
import type { BatchSizeDecision, Progress, ReaderName, ScoreOptions } from '../options.ts';
import type { PlannedSelection } from '../relation.ts';
import {
  allowCpuNodesFlag,
  batchSizeFlag,
  deviceFlag,
  gpuMemoryFlag,
  jsonFlag,
  keepFlag,
  kernelsFlag,
  memoryFlag,
  noProfileFlag,
  ortDirFlag,
  precisionFlag,
  printResult,
  readerFlag,
  runOptions,
  threadsFlag,
  treesFlag,
  warner,
  type Command,
} from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Arguments, CommandSpec, Flag } from './flags.ts';
import { counted, printable } from './format.ts';
import { outputFlags, outputOptions } from './output-flags.ts';
import { openProgress, progressModes, type ProgressMode } from './progress-view.ts';
import { noteUnused, openRunFiles, recordFlags, sayWhatIsWhole } from './run-files.ts';
import { selectionFlags, selectionLines, selectionOptions } from './selection.ts';
import { watchProfileSignal } from './profile-signal.ts';
import { watchSignals } from './signals.ts';
import { parseBytes } from './size.ts';

export const progressFlag: Flag = {
  name: 'progress',
  value: 'kind',
  choices: progressModes,
  describe: 'How progress is shown on standard error',
  otherwise: 'auto, which is live on a terminal and plain elsewhere',
};

export const scoreFlags: readonly Flag[] = [
  {
    name: 'model',
    value: 'folder',
    required: 'always',
    describe: 'Model folder (model.onnx, tandem.json), or an .onnx file',
  },
  {
    name: 'output',
    value: 'folder',
    required: 'unless --dry-run',
    describe: 'Folder for the scores; made if it is missing',
  },
  ...selectionFlags,
  filesFromFlag,
  keepFlag,
  { name: 'dry-run', describe: 'Print the plan with its memory table, write nothing' },
  {
    name: 'explain',
    describe: 'With --dry-run: how each feature is read and computed, and how fast, measured on the first rows',
  },
  { name: 'overwrite', describe: 'Remove what Tandem wrote under the output folder, then start' },
  deviceFlag,
  precisionFlag,
  ortDirFlag,
  gpuMemoryFlag,
  allowCpuNodesFlag,
  threadsFlag,
  kernelsFlag,
  treesFlag,
  batchSizeFlag,
  noProfileFlag,
  memoryFlag,
  ...outputFlags,
  readerFlag,
  progressFlag,
  ...recordFlags,
  jsonFlag,
];

const spec: CommandSpec = {
  name: 'score',
  describe: 'Scores every row of the shards and writes the scores as Parquet, one file for each shard.',
  positional: 'shards',
  flags: scoreFlags,
  examples: [
    [
      "tandem score 'data/**/*.parquet' --model models/flights --output scores",
      'Score; the same command again goes on where it stopped',
    ],
    ['tandem score data --model m.onnx --output scores --dry-run', 'Show the plan, write nothing'],
    ['tandem score data --model m --dry-run --explain', 'Show how each feature is computed, and how fast'],
    [`tandem score data --model m --output scores --where "country = 'DE'" --limit 1000`, 'Score some rows only'],
    ['tandem score data --model m --output scores --keep id,date', 'Copy two columns beside the scores'],
    ['tandem score data --model m --output scores --overwrite --json', 'Start afresh; one JSON object for a script'],
    ['tandem score data --model m --output scores --threads 4 --memory 2GiB', 'Leave room for others'],
    ['tandem score data --model m --output scores --report run.html', 'See where its time went'],
    ['tandem score data --model m --output scores --trace run.json --metrics 127.0.0.1:9464', 'Watch what it does'],
  ],
};

/** What the flags say, without what only a run can give. @throws USAGE */
export function scoreOptions(given: Arguments): ScoreOptions {
  const keep = parseKeep(given.texts('keep'));
  const memory = given.text('memory');
  return {
    shards: given.positionals,
    model: given.text('model') ?? '',
    output: given.text('output') ?? defaultPlanOutput,
    ...selectionOptions(given),
    ...runOptions(given),
    ...(keep === undefined ? {} : { keep }),
    ...(memory === undefined ? {} : { memoryBytes: parseBytes('--memory', memory) }),
    ...outputOptions(given),
    reader: (given.text('reader') ?? 'duckdb') as ReaderName,
    overwrite: given.isOn('overwrite'),
    ...(given.isOn('explain') ? { explain: true } : {}),
    ...(given.isOn('no-profile') ? { useProfile: false } : {}),
  };
}

/** Where a plan would write that was asked for without an output folder: a name that no folder is likely to have. */
const defaultPlanOutput = 'tandem-dry-run';

/** `a,b` and `c` -> three names; `none` -> no name; undefined: not said. @throws USAGE */
export function parseKeep(texts: readonly string[]): readonly string[] | 'all' | undefined {
  if (texts.length === 0) return undefined;
  if (texts.length === 1 && texts[0] === 'none') return [];
  if (texts.length === 1 && texts[0] === 'all') return 'all';
  const names = texts.flatMap((text) => text.split(/(?<!\\),/).map((name) => name.replaceAll('\\,', ',').trim()));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (names.includes('') || twice !== undefined) {
    const found = names.includes('') ? 'an empty name' : `\`${twice}\` twice`;
    throw new TandemError(
      'USAGE',
      `Expected --keep to be different column names, got ${found} in \`${texts.join(' ')}\`.`,
      { remedy: '`--keep none` copies no column, `--keep all` copies all of them.' },
    );
  }
  return names;
}

export const scoreCommand: Command = {
  spec,
  async run(given, io, loadApi) {
    const options = { ...scoreOptions(given), shards: await shardsOf(given, io) };
    const dryRun = given.isOn('dry-run');
    if (given.isOn('explain') && !dryRun) {
      const remedy = 'Add --dry-run: nothing is scored then.';
      throw new TandemError('USAGE', 'Expected --explain to come with --dry-run, got it alone.', { remedy });
    }
    const files = await openRunFiles(given, options.output, dryRun);
    const mode: ProgressMode = dryRun ? 'none' : ((given.text('progress') ?? 'auto') as ProgressMode);
    const view = await openProgress(mode, io);
    const watch = watchSignals(io, (line) => view.say(line));
    const profiles = watchProfileSignal(io, options.output, (line) => view.say(line));
    const warn = warner((line) => view.say(line));
    let last: Progress | undefined;
    try {
      const api = await loadApi();
      if (dryRun) noteUnused(given, (line) => view.say(line));
      const common = { ...options, signal: watch.signal, onWarning: warn };
      if (dryRun) {
        const [plan, { renderPlan }] = await Promise.all([api.planScore(common), import('./render-plan.ts')]);
        plan.warnings.forEach(warn);
        printResult(io, given, plan, renderPlan);
        return 0;
      }
      const onProgress = (progress: Progress) => {
        last = progress;
        view.show(progress);
      };
      const onDecision = ({ device, rows, reason, isSearch }: BatchSizeDecision) =>
        view.log(`${device}: ${counted(rows, 'row')} a batch: ${reason}`, isSearch);
      // Of a model without a kernel there is little to know.
      const onScorer = (words: string) => view.log(`scorer: ${printable(words)}`, words.startsWith('ONNX Runtime'));
      const onSelection = (selection: PlannedSelection, rowCount: number) =>
        view.log(selectionLines(selection, rowCount).join(', '), false);
      const watched = { command: given.commandLine, ...files.options((line) => view.say(line)) };
      const [result, { renderScore }] = await Promise.all([
        api.score({ ...common, ...watched, onProgress, onSelection, onScorer, onDecision, onRun: profiles.begin }),
        import('./render-score.ts'),
      ]);
      await profiles.end();
      result.warnings.forEach(warn);
      view.close();
      printResult(io, given, result, renderScore);
      files.writeReport(view);
      return 0;
    } catch (thrown) {
      await profiles.end();
      view.close();
      files.writeReportAfterFailure(view);
      await sayWhatIsWhole(thrown, last, view);
      throw thrown;
    } finally {
      await profiles.end();
      view.close();
      watch.close();
    }
  },
};
