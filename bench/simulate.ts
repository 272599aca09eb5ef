/** Prints what a machine with 16 cores and GPUs would do if the assumptions in simulation.ts held. */
import { parseArgs } from 'node:util';
import { formatBytes, formatCount, formatTable, type TableColumn } from '../src/cli/format.ts';
import { costPerMillionRows, judgeFusing, type FusingPoint, type HourlyPrices, type MachineTime } from './fusing.ts';
import {
  batchRows,
  copyBytesPerSecond,
  copyLatencySeconds,
  coresOfMachine,
  flopPerRow,
  modelFactors,
  launchSeconds,
  newestRates,
  peakFlopPerSecond,
  peakShare,
  secondsPerRow,
  shardRows,
  simulate,
  simulateSequence,
  type CoreRates,
  type Setup,
} from './simulation.ts';

const models = modelFactors.map((modelFactor) => ({
  name: modelFactor === 1 ? 'MLP' : `${modelFactor} MLPs`,
  modelFactor,
}));

function right(...titles: string[]): TableColumn[] {
  return titles.map((title) => ({ title, align: 'right' }));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function millions(rowsPerSecond: number): string {
  return (rowsPerSecond / 1e6).toFixed(1);
}

/** Shares of the wall time, means of all threads and of all GPUs. */
function waitingRow(name: string, setup: Setup): string[] {
  const { run, slotBytes } = simulate(setup);
  const compute = run.gpus.map((gpu) => gpu.compute);
  return [
    name,
    millions(run.rowsPerSecond),
    percent(mean(run.threads.map(({ fillShare, writeShare }) => fillShare + writeShare))),
    percent(mean(run.threads.map(({ waitShare }) => waitShare))),
    percent(mean(compute.map(({ busy }) => busy))),
    percent(mean(compute.map(({ forRows }) => forRows))),
    percent(mean(compute.map(({ forCopyIn }) => forCopyIn))),
    percent(mean(compute.map(({ forBuffer }) => forBuffer))),
    formatBytes(slotBytes),
  ];
}

const waitingColumns = right(
  'M rows/s',
  'cores work',
  'wait for GPU',
  'GPU computes',
  'waits for rows',
  'for copies',
  'for a buffer',
  'host slots',
);

function gpusTable(rates: CoreRates): string {
  const rows = models.flatMap(({ name, modelFactor }) =>
    [1, 2, 4, 8].map((gpus) =>
      waitingRow(`${name}, ${gpus} GPU${gpus === 1 ? '' : 's'}`, { rates, cores: coresOfMachine, gpus, modelFactor }),
    ),
  );
  return formatTable([{ title: 'model, GPUs' }, ...waitingColumns], rows);
}

function shardsTable(rates: CoreRates): string {
  const rows = [1_000_000, 100_000, 10_000].map((rowsPerShard) =>
    waitingRow(formatCount(rowsPerShard), { rates, cores: coresOfMachine, gpus: 1, modelFactor: 1, rowsPerShard }),
  );
  return formatTable([{ title: 'rows per shard' }, ...waitingColumns], rows);
}

interface Way extends MachineTime {
  readonly name: string;
  readonly rowCount: number;
  readonly computeSeconds: number;
  readonly slotBytes: number;
}

/** With one GPU. */
function waysOf(setup: Setup): Way[] {
  const { prepareSeconds, scoring, slotBytes } = simulateSequence(setup);
  const scoreSeconds = scoring.makespanSeconds;
  const wallSeconds = prepareSeconds + scoreSeconds;
  const computeSeconds = scoring.gpus[0]!.compute.busy * scoreSeconds;
  const sequence = { rowCount: scoring.rowCount, wallSeconds, computeSeconds, slotBytes };
  const together = [1, 2, 3].map((buffers) => {
    const { run, ...memory } = simulate({ ...setup, buffers });
    const { makespanSeconds, rowCount } = run;
    return {
      name: `side by side, ${buffers} device buffer${buffers === 1 ? '' : 's'}`,
      rowCount,
      wallSeconds: makespanSeconds,
      gpuHeldSeconds: makespanSeconds,
      cpuHeldSeconds: 0,
      computeSeconds: run.gpus[0]!.compute.busy * makespanSeconds,
      ...memory,
    };
  });
  return [
    { name: 'prepare all, then score', ...sequence, gpuHeldSeconds: wallSeconds, cpuHeldSeconds: 0 },
    { name: apartName, ...sequence, gpuHeldSeconds: scoreSeconds, cpuHeldSeconds: prepareSeconds },
    ...together,
  ];
}

const apartName = '... on a machine without a GPU';

function waysTable(rates: CoreRates, prices: HourlyPrices | undefined): string {
  const rows = models.flatMap(({ name, modelFactor }) =>
    waysOf({ rates, cores: coresOfMachine, gpus: 1, modelFactor }).map((way) => [
      name,
      way.name,
      way.wallSeconds.toFixed(2),
      way.gpuHeldSeconds.toFixed(2),
      percent(1 - way.computeSeconds / way.gpuHeldSeconds),
      formatBytes(way.slotBytes),
      prices === undefined ? '-' : costPerMillionRows(way, way.rowCount, prices).toPrecision(3),
    ]),
  );
  const columns = right('wall s', 'GPU held s', 'GPU idle', 'host memory', 'price / M rows');
  return formatTable([{ title: 'model' }, { title: 'way' }, ...columns], rows);
}

/** Models from much lighter to much heavier than the cores' work. */
function fusingPoints(rates: CoreRates): FusingPoint[] {
  const even = 16;
  return [1 / 16, 1 / 4, 1 / 2, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 4, 16].map((heavier) => {
    const ways = waysOf({ rates, cores: coresOfMachine, gpus: 1, modelFactor: even * heavier });
    const apart = ways.find(({ name }) => name === apartName)!;
    const together = ways.at(-1)!;
    return { prepByGpu: apart.cpuHeldSeconds / together.computeSeconds, together, apart, rowCount: apart.rowCount };
  });
}

function assumptions({ decode, featurize, write, source }: CoreRates): string {
  const share = `${percent(peakShare)} of ${peakFlopPerSecond / 1e12} T/s`;
  return [
    `${coresOfMachine} cores, each as measured in ${source}:`,
    `decode ${millions(decode)}, featurize ${millions(featurize)}, write ${millions(write)} M rows/s`,
    `GPU assumed: copies ${copyBytesPerSecond / 1e9} GB/s each way, ${copyLatencySeconds * 1e6} us before each;`,
    `runs ${launchSeconds * 1e6} us, and ${formatCount(flopPerRow)} operations a row at ${share}`,
    `= ${millions(1 / secondsPerRow(1))} M rows/s; batches of ${formatCount(batchRows)} rows`,
    `N MLPs: so many times the operations; ${formatCount(shardRows)} rows a shard; storage never waits`,
  ].join('\n');
}

function priceOf(flag: string, text: string | undefined): number | undefined {
  const price = text === undefined ? undefined : Number(text);
  if (price === undefined || price >= 0) return price;
  throw new RangeError(`Expected --${flag} to be a number of at least 0, got \`${text}\`.`);
}

/** Without prices the machines are compared by time alone. */
function readPrices(): HourlyPrices | undefined {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({ options: { 'price-per-hour': option, 'cpu-price-per-hour': option } });
  const gpuPerHour = priceOf('price-per-hour', values['price-per-hour']);
  const cpuPerHour = priceOf('cpu-price-per-hour', values['cpu-price-per-hour']);
  if (gpuPerHour === undefined && cpuPerHour === undefined) return undefined;
  if (gpuPerHour === undefined || cpuPerHour === undefined) {
    throw new RangeError('Expected --price-per-hour and --cpu-price-per-hour to be given together.');
  }
  return { gpuPerHour, cpuPerHour };
}

const help = `node dist/bench/simulate.js [--price-per-hour <price> --cpu-price-per-hour <price>]

Simulates larger machines from the newest rates in bench/results. Prices are of an hour of the machine with the GPU, and of
one with the same cores and no GPU, in any currency; without them the machines are compared by time alone.`;

function main(): void {
  if (process.argv.includes('--help')) return console.log(help);
  const prices = readPrices();
  const rates = newestRates();
  const heading = 'SIMULATION, not measured on a GPU';
  console.log(`${heading}\n${assumptions(rates)}\n`);
  console.log(`${heading}: who waits for whom, three device buffers\n${gpusTable(rates)}\n`);
  console.log(`${heading}: small shards, MLP, one GPU\n${shardsTable(rates)}\n`);
  console.log(`${heading}: the same rows in other ways, one GPU\n${waysTable(rates, prices)}`);
  if (prices === undefined)
    console.log('\n--price-per-hour (with a GPU) and --cpu-price-per-hour (without) add costs.');
  else console.log(`\n${heading}: ${judgeFusing(fusingPoints(rates), prices).sentence}`);
}

main();
