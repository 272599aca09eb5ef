/** `tandem report`: what runs have left about themselves, for reading; two of them side by side. */
import { checkSideFile } from '../write/side-file.ts';
import { TandemError } from '../errors.ts';
import type { RunRecord } from '../run-record.ts';
import { jsonFlag, printResult, type Command } from './command.ts';
import type { Flag } from './flags.ts';

export const reportFlags: readonly Flag[] = [
  { name: 'html', value: 'file', describe: 'Write the runs as one HTML file that opens offline' },
  jsonFlag,
];

interface NamedRun {
  readonly name: string;
  readonly record: RunRecord;
}

export const reportCommand: Command = {
  spec: {
    name: 'report',
    describe: 'Shows where the time of a run went; of two runs, what changed and what it did.',
    notes:
      'A run is an output folder, its _report.json (_report-1.json of the run before it), the folder of a profile, or a report that ' +
      '`tandem score --report` or this command wrote. Parts of runs and profiles are compared by what they did while working. ' +
      'Each part of the ledger is a share of the wall time. A part named after a stage is time in which a GPU had nothing to score ' +
      'because of that stage; a thread on the CPU prepares and writes its own rows, so there it is work.',
    positional: 'runs',
    flags: reportFlags,
    examples: [
      ['tandem report scores', 'Verdict and ledger of the run that wrote this folder'],
      ['tandem report before after', 'What changed between two runs, and what it did'],
      ['tandem report before after --html both.html', 'The same with charts, for a browser'],
      ['tandem report scores --json', 'The whole record for a script; of two runs, the comparison'],
    ],
  },
  async run(given, io, loadApi) {
    const html = given.text('html');
    const [api, { compareRuns }, rendering] = await Promise.all([
      loadApi(),
      import('../report/comparison.ts'),
      import('./render-report.ts'),
    ]);
    const runs: NamedRun[] = [];
    for (const path of given.positionals) runs.push(...named(path, await api.readRecords(path)));
    const [first, second, third] = runs;
    if (third !== undefined && html === undefined) {
      throw new TandemError('USAGE', `Expected tandem report to be given one run or two, got ${runs.length}.`, {
        remedy: '`--html <file>` writes any number of runs, each compared with the first one.',
      });
    }
    if (html !== undefined) {
      const { writeReport } = await import('../report/write-report.ts');
      checkSideFile('--html', html, undefined);
      writeReport(
        html,
        runs.map(({ record }) => record),
        runs.map(({ name }) => name),
      );
      io.stderr.write(`report written to ${html}\n`);
      if (third !== undefined) return 0;
    }
    if (second === undefined) {
      printResult(io, given, first!.record, (record) => rendering.renderRun(record, first!.name));
      return 0;
    }
    const names = [first!.name, second.name] as const;
    printResult(io, given, compareRuns(first!.record, second.record), (comparison) =>
      rendering.renderComparison(comparison, names),
    );
    return 0;
  },
};

/** Named after the path; the runs of a report by their number too. */
function named(path: string, records: readonly RunRecord[]): NamedRun[] {
  return records.map((record, index) => ({ name: records.length === 1 ? path : `${path} (${index + 1})`, record }));
}
