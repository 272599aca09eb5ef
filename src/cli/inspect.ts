/** `tandem inspect`: what the shards hold, where they differ, and what would feed the model. */
import { errorCodes } from '../errors.ts';
import type { ReaderName } from '../options.ts';
import {
  jsonFlag,
  kernelOptions,
  kernelsFlag,
  printResult,
  readerFlag,
  treesFlag,
  warner,
  type Command,
} from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Flag } from './flags.ts';
import { selectionFlags, selectionOptions } from './selection.ts';

export const inspectFlags: readonly Flag[] = [
  {
    name: 'model',
    value: 'folder',
    describe: 'Model folder, or an .onnx file: show what feeds which input, and what does not fit',
  },
  ...selectionFlags,
  kernelsFlag,
  treesFlag,
  filesFromFlag,
  readerFlag,
  jsonFlag,
];

export const inspectCommand: Command = {
  spec: {
    name: 'inspect',
    describe: 'Shows what the shards hold, how they differ, and which column feeds which input.',
    notes: `Ends with ${errorCodes.BAD_COLUMN.exitCode} when score would refuse.`,
    positional: 'shards',
    flags: inspectFlags,
    examples: [
      ["tandem inspect 'data/**/*.parquet'", 'Rows, columns, row groups, differences'],
      ["tandem inspect 'data/**/*.parquet' --model models/flights", 'Which column feeds which input'],
      ['tandem inspect data --model m --json', 'The same for a script'],
    ],
  },
  async run(given, io, loadApi) {
    const model = given.text('model');
    const reader = given.text('reader') as ReaderName | undefined;
    const api = await loadApi();
    const report = await api.inspect({
      shards: await shardsOf(given, io),
      ...(model === undefined ? {} : { model }),
      ...selectionOptions(given),
      ...(reader === undefined ? {} : { reader }),
      ...kernelOptions(given),
      onWarning: warner((line) => void io.stderr.write(`${line}\n`)),
    });
    const { renderInspect } = await import('./render-inspect.ts');
    printResult(io, given, report, renderInspect);
    return report.problems.length === 0 ? 0 : errorCodes.BAD_COLUMN.exitCode;
  },
};
