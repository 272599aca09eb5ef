/** `tandem tune`: measures what a job is fastest with, and leaves a profile for `score`. */
import { tuneSecondsDefault, tuneSecondsMax } from '../limits.ts';
import {
  allowCpuNodesFlag,
  deviceFlag,
  gpuMemoryFlag,
  jsonFlag,
  memoryFlag,
  ortDirFlag,
  printResult,
  runOptions,
  warner,
  type Command,
} from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Flag } from './flags.ts';
import { formatRate } from './format.ts';
import { selectionFlags, selectionOptions } from './selection.ts';
import { watchSignals } from './signals.ts';
import { parseBytes } from './size.ts';

export const tuneFlags: readonly Flag[] = [
  { name: 'model', value: 'folder', required: 'always', describe: 'Model folder, or an .onnx file' },
  ...selectionFlags,
  filesFromFlag,
  deviceFlag,
  ortDirFlag,
  gpuMemoryFlag,
  allowCpuNodesFlag,
  {
    name: 'seconds',
    value: 'count',
    describe: 'About what it takes in all; more seconds, less noise',
    otherwise: String(tuneSecondsDefault),
  },
  memoryFlag,
  jsonFlag,
];

export const tuneCommand: Command = {
  spec: {
    name: 'tune',
    describe: 'Measures batch sizes, threads, slots and precision on short jobs, and leaves a profile for `score`.',
    notes:
      'It writes into a temporary folder that is gone afterwards. A precision beyond the tolerance of golden.parquet is never chosen.',
    positional: 'shards',
    flags: tuneFlags,
    examples: [
      ["tandem tune 'data/*.parquet' --model models/flights", 'What is fastest on this machine, and why'],
      ['tandem tune data --model m --device cuda --seconds 120', 'The same on the GPUs, with less noise'],
      ['tandem tune data --model m --json', 'The same for a script'],
    ],
  },
  async run(given, io, loadApi) {
    const devices = runOptions(given);
    const seconds = given.count('seconds', tuneSecondsMax);
    const memory = given.text('memory');
    const say = (line: string) => void io.stderr.write(`${line}\n`);
    const options = {
      shards: await shardsOf(given, io),
      model: given.text('model') ?? '',
      ...selectionOptions(given),
      ...devices,
      ...(seconds === undefined ? {} : { seconds }),
      ...(memory === undefined ? {} : { memoryBytes: parseBytes('--memory', memory) }),
    };
    const watch = watchSignals(io, say, 'stopping: nothing is left; again to end at once');
    try {
      const api = await loadApi();
      const report = await api.tune({
        ...options,
        signal: watch.signal,
        onWarning: warner(say),
        onProgress: ({ setting, rowsPerSecond, secondsElapsed }) => {
          if (rowsPerSecond !== undefined)
            say(`${secondsElapsed.toFixed(0).padStart(4)} s  ${setting}: ${formatRate(rowsPerSecond)}`);
        },
      });
      const { renderTune } = await import('./render-tune.ts');
      printResult(io, given, report, renderTune);
      return 0;
    } finally {
      watch.close();
    }
  },
};
