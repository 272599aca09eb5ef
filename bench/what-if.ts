/**
 * What the verdict of a run says that more threads would bring, against a run with these threads; and what it says of a
 * stage at no cost, which nobody can buy, left out. Needs two cores.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { formatTable } from '../src/cli/format.ts';
import { defaultFolder, ensureWorkloads, workloadNames } from './data.ts';
import { runJob, type JobRun } from './job.ts';
import { median } from './measure.ts';

const rounds = 3;
const cores = availableParallelism();
if (cores < 2) throw new Error('Expected two cores or more, got one: there is nothing to add.');
const { shards, models } = ensureWorkloads();
const rows: string[][] = [];

/** Rows a second while the threads work, by the ledger: what the verdict speaks of. */
function workingRate({ result }: JobRun): number {
  const { scorers } = result.ledger!;
  const seconds = scorers.map(({ parts, wallSeconds }) =>
    parts.reduce((left, { name, seconds: each }) => (name === 'warmUp' || name === 'idleTail' ? left - each : left), wallSeconds),
  );
  return (result.rowsOut / seconds.reduce((sum, each) => sum + each, 0)) * scorers.length;
}

for (const workload of workloadNames) {
  const options = (threads: number) => ({
    shards: workload === 'w3-trees' ? shards.slice(0, 1) : shards,
    model: models[workload],
    output: join(defaultFolder, 'output-what-if'),
    overwrite: true,
    useProfile: false,
    threads,
  });
  const [predicted, measured, half]: [number[], number[], number[]] = [[], [], []];
  let change = '';
  for (let round = 0; round < rounds; round++) {
    const one = await runJob(options(Math.floor(cores / 2)));
    const { whatIf } = one.result.ledger!.verdict;
    if (whatIf === undefined) throw new Error(`Expected a verdict that says what would help, got ${JSON.stringify(one.result.ledger!.verdict)}.`);
    change = whatIf.change;
    half.push(workingRate(one));
    predicted.push(whatIf.rowsPerSecond);
    measured.push(workingRate(await runJob(options(cores))));
  }
  const ratio = median(measured.map((rate, round) => rate / predicted[round]!));
  const rates = [half, predicted, measured].map((each) => (median(each) / 1e6).toFixed(2));
  rows.push([workload, ...rates, ratio.toFixed(2), change]);
}
const right = 'right' as const;
const titles = [`${Math.floor(cores / 2)} threads`, 'predicted', `${cores} threads`, 'ratio'];
console.log(
  formatTable(
    [{ title: 'M rows/s' }, ...titles.map((title) => ({ title, align: right })), { title: 'change' }],
    rows,
  ),
);
