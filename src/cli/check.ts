/** `tandem check`: golden.parquet through the whole path. */
import { formatError, TandemError } from '../errors.ts';
import { goldenGrossDifference } from '../limits.ts';
import type { CheckReport } from '../options.ts';
import { againstFlags, checkUnused, hasKnown, runAgainst, runRow } from './check-against.ts';
import {
  allowCpuNodesFlag,
  batchSizeFlag,
  deviceFlag,
  gpuMemoryFlag,
  jsonFlag,
  kernelsFlag,
  ortDirFlag,
  precisionFlag,
  printResult,
  runOptions,
  threadsFlag,
  treesFlag,
  warner,
  type Command,
} from './command.ts';
import type { Flag } from './flags.ts';
import { counted } from './format.ts';
import { watchSignals } from './signals.ts';

export const checkFlags: readonly Flag[] = [
  {
    name: 'model',
    value: 'folder',
    required: 'always',
    describe: 'Model folder, with a golden.parquet unless --against is given',
  },
  ...againstFlags,
  deviceFlag,
  precisionFlag,
  ortDirFlag,
  gpuMemoryFlag,
  allowCpuNodesFlag,
  threadsFlag,
  kernelsFlag,
  treesFlag,
  batchSizeFlag,
  jsonFlag,
];

export const checkCommand: Command = {
  spec: {
    name: 'check',
    describe:
      "Compares scores with those that the model folder's golden.parquet holds, or somebody else's of any shards.",
    positional: 'shards',
    positionalOptional: true,
    flags: checkFlags,
    examples: [
      ['tandem check --model models/flights', 'Rows, largest difference, worst rows'],
      ['tandem check --model models/flights --batch-size 7 --threads 3', 'The scores must not depend on either'],
      ['tandem check --model models/flights --device cuda', 'What a GPU makes of the same rows'],
      [
        'tandem check --model models/flights --device cuda --precision tf32',
        'Whether rounded products are good enough',
      ],
      ['tandem check --model models/flights --json', 'The same for a script'],
      [
        "tandem check 'data/*.parquet' --model m --against notebook.parquet --key id",
        "Why they are not the notebook's scores, wherever its rows lie",
      ],
      [
        "tandem check 'data/*.parquet' --model m --against spark-scores --map p=probability[1]",
        'The same rows in the same order; other names',
      ],
      ["tandem check 'data/*.parquet' --model m --row part-3.parquet:17", 'What one row becomes, step by step'],
    ],
  },
  async run(given, io, loadApi) {
    const row = given.text('row');
    if (row !== undefined) return runRow(given, row, io, loadApi);
    if (hasKnown(given)) return runAgainst(given, io, loadApi);
    checkUnused(given);
    const options = { model: given.text('model') ?? '', ...runOptions(given) };
    const say = (line: string) => void io.stderr.write(`${line}\n`);
    const watch = watchSignals(io, say);
    try {
      const api = await loadApi();
      const report = await api.check({ ...options, signal: watch.signal, onWarning: warner(say) });
      const { renderCheck } = await import('./render-check.ts');
      printResult(io, given, report, renderCheck);
      if (report.passed) return 0;
      const error = goldenDiffers(report);
      say(formatError(error));
      return error.exitCode;
    } finally {
      watch.close();
    }
  },
};

/** What a check that failed ends with; `init` adds what it knows of the cause. */
export function goldenDiffers(report: CheckReport, remedy = adviceOf(report)): TandemError {
  const differing = report.columns.filter((column) => column.rowsBeyond > 0);
  const names = differing.map((column) => column.name).join(', ');
  const rows = Math.max(0, ...differing.map((column) => column.rowsBeyond));
  return new TandemError(
    'GOLDEN_DIFFERS',
    `Expected scores of ${names} to be within ${report.tolerance} of golden.parquet, got ${counted(rows, 'row')} off.`,
    { remedy },
  );
}

function adviceOf({ precision, columns }: CheckReport): string {
  if (precision === 'tf32') {
    return 'Leave --precision tf32 out; or widen the tolerance in tandem.json, if scores so far off are good enough.';
  }
  const compare = 'Compare the contract with how golden.parquet was made';
  // A wrong feature or a wrong model, which no tolerance is for.
  if (columns.some(({ differenceMax }) => differenceMax > goldenGrossDifference)) {
    return `${compare}: no rounding makes scores differ by more than ${goldenGrossDifference}.`;
  }
  return `${compare}; or widen its tolerance in tandem.json.`;
}
