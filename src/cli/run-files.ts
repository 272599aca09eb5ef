/** What is kept of a run beside its output, or served while it lasts: report, trace, metrics. The same for every command that runs. */
import { resolve } from 'node:path';
import { asTandemError, formatError, TandemError } from '../errors.ts';
import type { Progress, ScoreOptions } from '../options.ts';
import type { RunRecord } from '../run-record.ts';
import { checkSideFile } from '../write/side-file.ts';
import { parseAddress } from './address.ts';
import type { Arguments, Flag } from './flags.ts';
import type { ProgressView } from './progress-view.ts';

export const recordFlags: readonly Flag[] = [
  {
    name: 'report',
    value: 'file',
    describe: 'Write what is known of the run as one HTML file: verdict, ledger, timeline, charts; it opens offline',
  },
  {
    name: 'trace',
    value: 'file',
    describe: 'Write what each thread did when; Perfetto (ui.perfetto.dev) and chrome://tracing open it',
  },
  {
    name: 'metrics',
    value: 'host:port',
    describe:
      'Serve Prometheus at http://host:port/metrics while the run lasts; port 0 takes a free one and says which',
  },
];

export interface RunFiles {
  /** @param say where the address of the metrics is said */
  options(say: (line: string) => void): Pick<ScoreOptions, 'trace' | 'metrics' | 'onRecord'>;
  /** Once; nothing where no record came. @throws USAGE where the place is gone */
  writeReport(view: ProgressView): void;
  /** The run's own failure is what its caller hears; one of the report is said beside it. */
  writeReportAfterFailure(view: ProgressView): void;
}

/** What the flags ask for. @param output of the run @throws USAGE where it could not be written */
export async function openRunFiles(given: Arguments, output: string, dryRun: boolean): Promise<RunFiles> {
  const [report, trace, metrics] = [given.text('report'), given.text('trace'), given.text('metrics')];
  const address = metrics === undefined ? undefined : parseAddress('--metrics', metrics);
  expectTwoFiles(report, trace);
  const reporter = dryRun || report === undefined ? undefined : await openReporter(report, output);
  return {
    options: (say) => ({
      ...(trace === undefined ? {} : { trace }),
      ...(address && { metrics: { ...address, onListening: (url: string) => say(`metrics: ${url}`) } }),
      ...(reporter && { onRecord: reporter.keep }),
    }),
    writeReport: (view) => reporter?.write(view),
    writeReportAfterFailure: (view) => {
      try {
        reporter?.write(view);
      } catch (error) {
        view.say(formatError(asTandemError(error)));
      }
    },
  };
}

/** What only a run writes or serves. */
export function noteUnused(given: Arguments, say: (line: string) => void): void {
  const unused = ['report', 'trace', 'metrics'].filter((name) => given.text(name) !== undefined);
  if (unused.length > 0)
    say(`note: --dry-run only plans; without effect: ${unused.map((name) => `--${name}`).join(', ')}`);
}

function expectTwoFiles(report: string | undefined, trace: string | undefined): void {
  if (report === undefined || trace === undefined || resolve(report) !== resolve(trace)) return;
  throw new TandemError('USAGE', `Expected --report and --trace to be two files, got \`${report}\` twice.`);
}

/** Keeps the record of a run until its report can be written. @throws USAGE where it could not be */
async function openReporter(path: string, output: string) {
  const { writeReport } = await import('../report/write-report.ts');
  checkSideFile('--report', path, output);
  let record: RunRecord | undefined;
  return {
    keep: (kept: RunRecord): void => void (record = kept),
    write: (view: ProgressView): void => {
      const kept = record;
      record = undefined;
      if (kept === undefined) return;
      writeReport(path, [kept]);
      view.say(`report: ${path}`);
    },
  };
}

/** After a stop. @param last how far the run was; undefined: it had not begun */
export async function sayWhatIsWhole(thrown: unknown, last: Progress | undefined, view: ProgressView): Promise<void> {
  if (!(thrown instanceof TandemError) || thrown.code !== 'STOPPED' || last === undefined) return;
  const { renderStopped } = await import('./render-score.ts');
  view.say(renderStopped(last));
}
