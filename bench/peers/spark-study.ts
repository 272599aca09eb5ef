/**
 * The forensic study of Spark: what pandas_udf, mapInPandas and SynapseML do with the rows between Parquet and the model,
 * and between which sizes of a batch they neither starve nor fail. Tandem beside them, on the same shards and model.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { renderChart } from '../chart.ts';
import { defaultFolder, workloadNames, type WorkloadName } from '../data.ts';
import { environment } from '../environment.ts';
import { pythonWith } from './python.ts';
import { costChart, memoryChart, zoneChart, type SweepPoint } from './spark-charts.ts';
import { dissect, type Dissection } from './spark-dissect.ts';
import { asyncProfiler, synapseJars, type AsyncProfiler } from './spark-jars.ts';
import { costTable, sweepTable, trialTable, unknownText } from './spark-report.ts';
import { outputFolder, runTrial, type Contestant, type StudyTable, type TrialSettings } from './spark-trial.ts';
import { requirementsOf, type SparkWay } from './spark.ts';
import { narrowTable, wideTable } from './study-tables.ts';

const studied: readonly SparkWay[] = ['pandas_udf', 'mapInPandas', 'synapse'];
const recordsDefault = '100,1000,10000,100000,1000000';
/** Rows of the wide table in one shard fit into one batch of any size that is swept here. */
const wideRowsDefault = 2 ** 17;

/** Spark bounds a batch in bytes too since 4.1; its largest value is as good as none. */
const bytesUnbounded = String(2 ** 31 - 1);
const oneSplitPerShard = { 'spark.sql.files.maxPartitionBytes': '4g' };

function readFlags() {
  return yargs(process.argv.slice(2))
    .scriptName('npm run bench:spark --')
    .usage('$0 [flags]\n\nTakes apart what Spark and SynapseML do between Parquet and the model.')
    .options({
      ways: { type: 'string', default: studied.join(','), describe: 'Which of them' },
      workload: {
        choices: workloadNames,
        default: 'w1-network' as WorkloadName,
        describe: 'Model (not the trees with SynapseML)',
      },
      rows: { type: 'number', default: 1_000_000, describe: 'Rows that are dissected, of all shards together' },
      'sweep-rows': { type: 'number', default: 1_000_000, describe: 'Rows of 32 floats in the sweep; 0: none' },
      'wide-rows': { type: 'number', default: wideRowsDefault, describe: 'Rows of 2,048 floats in the sweep; 0: none' },
      records: {
        type: 'string',
        default: recordsDefault,
        describe: "Values of maxRecordsPerBatch (SynapseML's mini batch)",
      },
      'worker-memory': { type: 'string', default: '2g', describe: 'Address space of each Python worker in the sweep' },
      'jvm-memory': { type: 'string', default: '2g', describe: "The JVM's heap; Arrow gets as much off it" },
      'seconds-max': { type: 'number', default: 300, describe: 'Of one run; then it is ended' },
      dissect: { type: 'boolean', default: true, describe: 'Plans, stacks and memory; --no-dissect: the sweep alone' },
      out: { type: 'string', describe: 'Results file (otherwise: bench/results/<date>-spark-study.json)' },
    })
    .strict()
    .version(false)
    .locale('en')
    .parseAsync();
}

type Flags = Awaited<ReturnType<typeof readFlags>>;

function waysOf(list: string): readonly SparkWay[] {
  const names = list.split(',');
  const wrong = names.find((name) => !studied.includes(name as SparkWay));
  if (wrong !== undefined) throw new RangeError(`Expected --ways to be of ${studied.join(', ')}, got \`${wrong}\`.`);
  return names as SparkWay[];
}

function numbersOf(list: string): readonly number[] {
  const numbers = list.split(',').map(Number);
  if (!numbers.every((value) => Number.isInteger(value) && value > 0)) {
    throw new RangeError(`Expected --records to be whole numbers above 0, got \`${list}\`.`);
  }
  return numbers;
}

/** What cannot be set up, and why. */
interface Missing {
  readonly what: string;
  readonly reason: string;
}

function setUp(ways: readonly SparkWay[]): { pythons: Map<SparkWay, string>; missing: Missing[] } {
  const pythons = new Map<SparkWay, string>();
  const missing: Missing[] = [];
  for (const way of ways) {
    try {
      pythons.set(way, pythonWith(requirementsOf(way)));
      if (way === 'synapse') synapseJars();
    } catch (error) {
      pythons.delete(way);
      missing.push({ what: way, reason: (error as Error).message });
    }
  }
  return { pythons, missing };
}

const work = join(defaultFolder, 'spark-study');

function settingsOf(flags: Flags, contestant: Contestant, python: string, table: StudyTable): TrialSettings {
  const conf = { 'spark.driver.memory': flags['jvm-memory'] };
  const reference = contestant === 'tandem' ? undefined : join(work, 'tandem', outputFolder);
  const folder = join(work, contestant);
  return { contestant, table, python, conf, folder, reference, secondsMax: flags['seconds-max'] };
}

function profilerIfThere(missing: Missing[]): AsyncProfiler | undefined {
  try {
    return asyncProfiler();
  } catch (error) {
    missing.push({ what: 'stacks (async-profiler)', reason: (error as Error).message });
    return undefined;
  }
}

async function dissectAll(
  flags: Flags,
  pythons: ReadonlyMap<SparkWay, string>,
  profiler: AsyncProfiler | undefined,
): Promise<Dissection[]> {
  const table = narrowTable(flags.workload, flags.rows);
  const all: Dissection[] = [];
  // Tandem first: its scores are what the others' are compared with.
  for (const [way, python] of [['tandem', ''] as const, ...pythons]) {
    say(`${way}: ${table.rowCount} rows, once as it is${way === 'tandem' ? '' : ', once with its stacks sampled'}`);
    all.push(await dissect(settingsOf(flags, way, python, table), profiler));
  }
  return all;
}

/** Everything with the bound in bytes lifted; then the largest batches as Spark 4 comes. */
async function sweep(flags: Flags, pythons: ReadonlyMap<SparkWay, string>, table: StudyTable): Promise<SweepPoint[]> {
  const sizes = numbersOf(flags.records);
  const capped = { 'spark.executor.pyspark.memory': flags['worker-memory'], ...oneSplitPerShard };
  // Tandem's batch size is its own choice.
  const tandem = await runTrial(settingsOf(flags, 'tandem', '', table));
  const points: SweepPoint[] = [{ records: undefined, label: 'tandem', trial: tandem }];
  const run = async (way: SparkWay, records: number, conf: Readonly<Record<string, string>>, label?: string) => {
    const settings = settingsOf(flags, way, pythons.get(way)!, table);
    const size = { 'spark.sql.execution.arrow.maxRecordsPerBatch': String(records) };
    const trial = await runTrial({
      ...settings,
      folder: join(work, 'sweep'),
      conf: { ...settings.conf, ...capped, ...size, ...conf },
      ...(way === 'synapse' ? { miniBatchRows: records } : {}),
    });
    say(`${table.name}, ${label ?? way}, ${records} records: ${trial.outcome} ${trial.reason ?? ''}`);
    points.push({ records, label: label ?? way, trial });
  };
  for (const way of pythons.keys()) {
    const lifted = way === 'synapse' ? {} : { 'spark.sql.execution.arrow.maxBytesPerBatch': bytesUnbounded };
    for (const records of sizes) await run(way, records, lifted);
    if (way !== 'synapse') await run(way, Math.max(...sizes), {}, `${way}, bytes bounded`);
  }
  return points;
}

async function main(): Promise<void> {
  const flags = await readFlags();
  const { pythons, missing } = setUp(waysOf(flags.ways));
  const conditions = environment();
  const subtitle = `${conditions.cores} cores, ${conditions.cpu}; ${flags.workload}`;
  const dissections = flags.dissect ? await dissectAll(flags, pythons, profilerIfThere(missing)) : [];
  const tables = [
    ...(flags['sweep-rows'] > 0 ? [narrowTable(flags.workload, flags['sweep-rows'])] : []),
    ...(flags['wide-rows'] > 0 ? [wideTable(flags['wide-rows'])] : []),
  ];
  const points: SweepPoint[] = [];
  for (const table of tables) points.push(...(await sweep(flags, pythons, table)));
  const { ways: _ways, out, _: _rest, $0: _program, ...chosen } = flags;
  const path = save(out, { version: 1, environment: conditions, flags: chosen, missing, dissections, sweep: points });
  const chart = (name: string): string => path.replace(/\.json$/, `-${name}.svg`);
  if (dissections.length > 0) {
    const shares = dissections.flatMap(({ trial, shares }) =>
      shares ? [{ contestant: trial.contestant, shares }] : [],
    );
    if (shares.length > 0) await renderChart(costChart(shares, `${flags.rows} rows; ${subtitle}`), chart('cpu'));
    await renderChart(
      memoryChart(
        dissections.map(({ trial }) => trial),
        subtitle,
      ),
      chart('memory'),
    );
    console.log(`${trialTable(dissections)}\n\n${costTable(dissections)}\n\n${unknownText(dissections)}\n`);
    console.log(`plans, collapsed stacks and flame graphs: ${work}`);
  }
  if (points.length > 0) {
    const caps = `workers ${flags['worker-memory']} of address space, JVM ${flags['jvm-memory']}`;
    await renderChart(zoneChart(points, `${caps}; ${subtitle}`), chart('zone'));
    console.log(`\n${sweepTable(points)}`);
  }
  for (const { what, reason } of missing) console.log(`not measured: ${what}: ${reason}`);
  console.log(`\nfigures: ${path}`);
}

function save(out: string | undefined, results: object): string {
  const folder = fileURLToPath(new URL('../../../bench/results', import.meta.url));
  const path = resolve(out ?? join(folder, `${new Date().toISOString().slice(0, 10)}-spark-study.json`));
  mkdirSync(join(path, '..'), { recursive: true });
  // Where things lay on this machine is nobody's business; times keep their milliseconds.
  const rounded = (key: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(key === 'at' ? 13 : 4)) : value;
  const text = JSON.stringify(results, rounded).replaceAll(defaultFolder, '<data>');
  writeFileSync(path, `${text}\n`);
  JSON.parse(readFileSync(path, 'utf8'));
  return path;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

await main();
