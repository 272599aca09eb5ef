/** `tandem profile`: where the time of a job goes, down to functions. */
import { profileSecondsDefault, profileSecondsMax } from '../limits.ts';
import type { Progress } from '../options.ts';
import {
  batchSizeFlag,
  deviceFlag,
  jsonFlag,
  keepFlag,
  kernelsFlag,
  memoryFlag,
  ortDirFlag,
  precisionFlag,
  printResult,
  runOptions,
  threadsFlag,
  treesFlag,
  warner,
  type Command,
} from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Flag } from './flags.ts';
import { parseKeep } from './score.ts';
import { selectionFlags, selectionOptions } from './selection.ts';
import { watchSignals } from './signals.ts';
import { parseBytes } from './size.ts';

export const profileFlags: readonly Flag[] = [
  { name: 'model', value: 'folder', required: 'always', describe: 'Model folder, or an .onnx file' },
  ...selectionFlags,
  filesFromFlag,
  {
    name: 'output',
    value: 'folder',
    describe: 'New or empty folder for the profile; scores go to a temporary one that is gone afterwards',
    otherwise: 'profile-<date> in the current folder',
  },
  {
    name: 'seconds',
    value: 'count',
    describe: 'How long to look once the run has warmed up; shards that end sooner end it',
    otherwise: String(profileSecondsDefault),
  },
  deviceFlag,
  precisionFlag,
  ortDirFlag,
  keepFlag,
  threadsFlag,
  kernelsFlag,
  treesFlag,
  batchSizeFlag,
  memoryFlag,
  jsonFlag,
];

/** Lines as a terminal of 80 columns shows them. */
const guide = `How to read it:
  The verdict says what holds the job up, and what would change it.
  The ledger divides the time of each scorer (a GPU, or the threads where the
  CPU scores) into parts that add up to 100 %: computing is what you pay for,
  every other part names what was done or waited for instead.
  Functions: the time of all threads together, without what they slept.
  duckdb_... decodes and writes, Ort... is the model, generated:featurize the
  contract's arithmetic. Threads are sampled every millisecond, also those in
  line for a core. What C functions call inside is not seen here; on Linux
  \`perf record -g -p PID\` shows it.

How to open it:
  report.html   in a browser: verdict, ledger, what happened when, flame graph
                of each thread, memory over time
  *.cpuprofile  in Chrome (DevTools, Performance, "Load profile"), or drop it
                on https://speedscope.app
  record.json   the report as data; \`tandem report\` compares it with another

A job that runs already: \`kill -USR2 PID\` writes the same of its next ten
seconds beside its output.`;

export const profileCommand: Command = {
  spec: {
    name: 'profile',
    describe: 'Scores for some seconds and shows where the time went: ledger, verdict, hottest functions, memory.',
    positional: 'shards',
    flags: profileFlags,
    examples: [
      ["tandem profile 'data/*.parquet' --model models/flights", 'Ten seconds of the job, with CPU profiles'],
      ['tandem profile data --model m --device cuda --seconds 30', 'Why the GPU waits'],
      ['tandem profile data --model m --output p --json', 'The same for a script'],
    ],
    guide,
  },
  async run(given, io, loadApi) {
    const seconds = given.count('seconds', profileSecondsMax);
    const [output, memory] = [given.text('output'), given.text('memory')];
    const keep = parseKeep(given.texts('keep'));
    const options = {
      shards: await shardsOf(given, io),
      model: given.text('model') ?? '',
      ...selectionOptions(given),
      ...runOptions(given),
      ...(seconds === undefined ? {} : { seconds }),
      ...(output === undefined ? {} : { output }),
      ...(keep === undefined ? {} : { keep }),
      ...(memory === undefined ? {} : { memoryBytes: parseBytes('--memory', memory) }),
    };
    const say = (line: string) => void io.stderr.write(`${line}\n`);
    const watch = watchSignals(io, say, 'stopping: nothing is left; again to end at once');
    let phase: Progress['phase'] | undefined;
    try {
      const api = await loadApi();
      const report = await api.profile({
        ...options,
        command: given.commandLine,
        signal: watch.signal,
        onWarning: warner(say),
        onProgress: (progress) => {
          const text = words[progress.phase];
          if (progress.phase !== phase && text !== undefined) say(text);
          phase = progress.phase;
        },
      });
      const { renderProfile } = await import('./render-profile.ts');
      printResult(io, given, report, renderProfile);
      return 0;
    } finally {
      watch.close();
    }
  },
};

const words: Partial<Record<Progress['phase'], string>> = {
  planning: 'planning',
  reading: 'reading files that are no Parquet',
  counting: 'counting the rows that are taken',
  scoring: 'scoring into a temporary folder; the profile begins when the run has warmed up',
};
