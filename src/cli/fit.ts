/** `tandem fit`: means, deviations, ranges, quantiles and categories from shards into tandem.json. */
import { progressIntervalMs, threadsMax } from '../limits.ts';
import { jsonFlag, memoryFlag, printResult, threadsFlag, warner, type Command } from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Flag } from './flags.ts';
import { counted, formatCount } from './format.ts';
import { readingText } from './progress-text.ts';
import { selectionFlags, selectionOptions } from './selection.ts';
import { watchSignals } from './signals.ts';
import { parseBytes } from './size.ts';

export const fitFlags: readonly Flag[] = [
  {
    name: 'model',
    value: 'folder',
    required: 'always',
    describe: 'Folder with the tandem.json that is to be filled in; it needs no model file yet',
  },
  ...selectionFlags,
  { name: 'dry-run', describe: 'Show what would be written, write nothing' },
  { name: 'all', describe: 'Fit again what a fit before has found (a "fit" stands beside it), by the same rules' },
  filesFromFlag,
  { ...threadsFlag, describe: 'Threads that read and count' },
  memoryFlag,
  jsonFlag,
];

/** Between two lines about how far it is, in milliseconds. */
const saidEveryMs = 2_000;

export const fitCommand: Command = {
  spec: {
    name: 'fit',
    describe: 'Finds in all rows of the shards what tandem.json says is to be fitted, and writes it there.',
    notes:
      'In place of its values a feature says "standardize": "fit" (or { "fit": "population" }), "minMax": "fit", "index" or ' +
      '"oneHot": "fit" (or { "fit": { "max": 1000, "minCount": 10, "order": "alphabet" } }), "bucketize": { "quantiles": 10 }, ' +
      '"clip": { "quantiles": [0.01, 0.99] }, "missing": "mean" or "median". Nothing else in the file changes.',
    positional: 'shards',
    flags: fitFlags,
    examples: [
      ["tandem fit 'data/**/*.parquet' --model models/flights", 'Fill in what tandem.json leaves open'],
      ["tandem fit 'data/**/*.parquet' --model m --dry-run", 'Show it, write nothing'],
      ["tandem fit 'data/2026-*.parquet' --model m --all", 'Take newer rows for everything that a fit has found'],
    ],
  },
  async run(given, io, loadApi) {
    const threads = given.count('threads', threadsMax);
    const memory = given.text('memory');
    const say = (line: string) => void io.stderr.write(`${line}\n`);
    const options = {
      shards: await shardsOf(given, io),
      model: given.text('model') ?? '',
      ...selectionOptions(given),
      all: given.isOn('all'),
      dryRun: given.isOn('dry-run'),
      ...(threads === undefined ? {} : { threads }),
      ...(memory === undefined ? {} : { memoryBytes: parseBytes('--memory', memory) }),
    };
    const watch = watchSignals(io, say, 'stopping: tandem.json stays as it was; again to end at once');
    let saidMs = io.nowMs();
    try {
      const api = await loadApi();
      const report = await api.fit({
        ...options,
        signal: watch.signal,
        onWarning: warner(say),
        onProgress: (progress) => {
          if (io.nowMs() - saidMs < saidEveryMs - progressIntervalMs) return;
          saidMs = io.nowMs();
          const { pass, rowsDone, rowsTotal, reading } = progress;
          const passText = `pass ${pass}: ${formatCount(rowsDone)} of ${counted(rowsTotal, 'row')}`;
          say(reading === undefined ? passText : readingText(progress));
        },
      });
      const { renderFit } = await import('./render-fit.ts');
      printResult(io, given, { ...report, dryRun: options.dryRun }, renderFit);
      return 0;
    } finally {
      watch.close();
    }
  },
};
