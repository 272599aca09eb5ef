/** `tandem init`: a model folder from somebody else's model and shards that it has not seen. */
import { errorCodes, formatError, TandemError } from '../errors.ts';
import type { InitReport, InitSource } from '../init/init.ts';
import type { CheckReport } from '../options.ts';
import { goldenDiffers } from './check.ts';
import { jsonFlag, printResult, warner, type Command } from './command.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import type { Arguments, Flag } from './flags.ts';
import { formatDifference } from './format.ts';
import { watchSignals } from './signals.ts';

const rowsNamedMax = 5;

const sourceKinds = [
  'model',
  'spark-ml',
  'sklearn',
  'xgboost',
  'lightgbm',
] as const satisfies readonly InitSource['kind'][];

export const initFlags: readonly Flag[] = [
  { name: 'model', value: 'file', describe: 'ONNX model: its inputs are matched to the columns of the shards' },
  {
    name: 'spark-ml',
    value: 'folder',
    describe: 'Pipeline of Spark ML, saved by PipelineModel.save; needs neither Spark nor shards',
  },
  {
    name: 'sklearn',
    value: 'file',
    describe:
      'Model of scikit-learn, saved by joblib or pickle. Loading one runs what code it holds: trust who made it',
  },
  { name: 'xgboost', value: 'file', describe: 'Model of XGBoost, saved by save_model as JSON or UBJSON' },
  { name: 'lightgbm', value: 'file', describe: 'Model of LightGBM, saved by save_model as text' },
  {
    name: 'output',
    value: 'folder',
    describe: 'Model folder to make, with a copy of the model',
    otherwise: 'tandem.json is written beside an ONNX model',
  },
  {
    name: 'python',
    value: 'command',
    describe: 'Python that makes the environment for the export',
    otherwise: 'python3',
  },
  { name: 'raw-prediction', describe: "Spark ML's rawPrediction becomes a column too" },
  { name: 'dry-run', describe: 'Print what would be written, or the steps of an export to do by hand; change nothing' },
  { name: 'overwrite', describe: 'Replace model.onnx, tandem.json and golden.parquet that are there' },
  filesFromFlag,
  jsonFlag,
];

export const initCommand: Command = {
  spec: {
    name: 'init',
    describe: 'Writes the contract between your shards and a model: which column feeds which input, and how.',
    notes:
      'What is certain is written; what is guessed is written and said; what only a person can know is a "?" in ' +
      `tandem.json, listed with candidates, and the command ends with ${errorCodes.BAD_CONTRACT.exitCode}. Models of ` +
      'scikit-learn, XGBoost and LightGBM are exported in a Python environment of their own (under ~/.cache/tandem), ' +
      "and golden.parquet gets the library's own scores of up to 1,000 rows, which are compared at once.",
    positional: 'shards',
    positionalOptional: true,
    flags: initFlags,
    examples: [
      ["tandem init 'data/*.parquet' --model model.onnx --dry-run", 'What would feed the model; writes nothing'],
      ["tandem init 'data/*.parquet' --model model.onnx", 'tandem.json beside model.onnx'],
      [
        "tandem init 'data/*.parquet' --sklearn pipeline.joblib --output models/churn",
        'A pipeline, strings and nulls included',
      ],
      ["tandem init 'data/*.parquet' --lightgbm model.txt --output models/churn", 'The same for LightGBM'],
      ['tandem init --spark-ml pipelines/churn --output models/churn', 'A saved PipelineModel, without Spark'],
      ['tandem init --xgboost model.json --output models/churn', 'Without shards: golden rows are made up'],
      ['tandem init --sklearn pipeline.joblib --output models/churn --dry-run', 'The steps, to do them elsewhere'],
    ],
  },
  async run(given, io, loadApi) {
    const source = sourceOf(given);
    const shards = await shardsOf(given, io);
    const output = given.text('output');
    const python = given.text('python');
    const say = (line: string) => void io.stderr.write(`${line}\n`);
    const watch = watchSignals(io, say);
    try {
      const api = await loadApi();
      const report = await api.init({
        source,
        ...(shards.length === 0 ? {} : { shards }),
        ...(output === undefined ? {} : { output }),
        ...(python === undefined ? {} : { python }),
        ...(given.isOn('raw-prediction') ? { rawPrediction: true } : {}),
        overwrite: given.isOn('overwrite'),
        dryRun: given.isOn('dry-run'),
        environment: io.environment,
        signal: watch.signal,
        onProgress: say,
        onWarning: warner(say),
      });
      const { renderInit } = await import('./render-init.ts');
      printResult(io, given, report, (each) => renderInit(each, given.positionals));
      if (report.check?.passed === false) {
        say(formatError(goldenDiffers(report.check, exportDiffers(report.check))));
      }
      return exitCodeOf(report);
    } finally {
      watch.close();
    }
  },
};

/** @throws USAGE unless there is exactly one */
function sourceOf(given: Arguments): InitSource {
  const sources = sourceKinds.flatMap((kind) => {
    const path = given.text(kind);
    return path === undefined ? [] : [{ kind, path }];
  });
  if (sources.length === 1) return sources[0]!;
  const got = sources.length === 0 ? 'none' : sources.map(({ kind }) => `--${kind}`).join(' and ');
  throw new TandemError(
    'USAGE',
    `Expected tandem init to be given one of ${sourceKinds.map((kind) => `--${kind}`).join(', ')}, got ${got}.`,
    { remedy: "For example: tandem init 'data/*.parquet' --model model.onnx" },
  );
}

function exportDiffers({ columns }: CheckReport): string {
  const off = columns.filter(({ rowsBeyond }) => rowsBeyond > 0);
  const most = Math.max(0, ...off.map(({ differenceMax }) => differenceMax));
  const rows = [...new Set(off.flatMap(({ worst }) => worst.map(({ row }) => row)))].slice(0, rowsNamedMax);
  return (
    `The export is not the model: it differs by up to ${formatDifference(most)}, most in rows ${rows.join(', ')} of ` +
    'golden.parquet. See what these have in common (nulls and unknown categories behind an encoder, a DOUBLE on a ' +
    'threshold of a tree), and change that step; until `tandem check` passes, score with the library.'
  );
}

function exitCodeOf({ decisions, problems, check }: InitReport): number {
  if (problems.length > 0 || decisions.some(({ must }) => must)) return errorCodes.BAD_CONTRACT.exitCode;
  return check?.passed === false ? errorCodes.GOLDEN_DIFFERS.exitCode : 0;
}
