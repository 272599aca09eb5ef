/**
 * Step 13: the same rows prepared and scored side by side, with one, two and three device buffers, and one after the other:
 * first all features to Parquet by the cores, then a job that only scores them. Each way is what the product does.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ScoreOptions } from '../../src/options.ts';
import { identityModel } from '../../src/testing/models.ts';
import { writeModel } from '../../src/testing/onnx.ts';
import { costPerMillionRows, judgeFusing, type FusingPoint, type MachineTime } from '../fusing.ts';
import { contractOf, featureCount } from '../data.ts';
import { runJob } from '../job.ts';
import { expectClose } from '../measure.ts';
import type { BuffersResult, BuffersTask } from './buffers-job.ts';
import { compareOutputs, optionsOf, timedEnvironment } from './jobs.ts';
import { jobFolder, rowsPerShardOf, shardCountOf, shardPaths, type JobName } from './prepare.ts';
import type { StepContext } from './step.ts';
import type { DeviceTimes } from './timed-devices.ts';

const buffersJob = fileURLToPath(new URL('./buffers-job.js', import.meta.url));

/** From the lightest model to the heaviest. */
const workloads: readonly JobName[] = ['w2-logistic', 'w1-network', 'w4-wide'];

interface Way extends MachineTime {
  readonly computeSeconds: number;
}

export async function fuse(context: StepContext): Promise<void> {
  const prepared = await prepareAll(context);
  const points: FusingPoint[] = [];
  for (const workload of context.tiny ? workloads.slice(1, 2) : workloads) {
    const together: Way[] = [];
    for (const buffers of [1, 2, 3]) together.push(await sideBySide(context, workload, buffers));
    const apart = await scorePrepared(context, workload, prepared);
    const best = together.at(-1)!;
    const prepByGpu = prepared.seconds / best.computeSeconds;
    points.push({ prepByGpu, together: best, apart, rowCount: rowsOf(context) });
    context.record(workload, {
      prepByGpu,
      ...Object.fromEntries(together.map((way, index) => [`${index + 1} device buffers`, figuresOf(context, way)])),
      'prepared first, without a GPU': figuresOf(context, apart),
      'prepared first, on the same machine': figuresOf(context, {
        ...apart,
        gpuHeldSeconds: apart.wallSeconds,
        cpuHeldSeconds: 0,
      }),
    });
    if (!context.tiny && context.secondsLeft() < 0) break;
  }
  const { gpuPerHour, cpuPerHour } = context.prices;
  context.record('verdict', { ...judgeFusing(points, context.prices), gpuPerHour, cpuPerHour, prepared });
  rmSync(preparedFolder(context), { recursive: true, force: true });
}

function figuresOf(context: StepContext, way: Way): object {
  const gpuIdleShare = 1 - way.computeSeconds / way.gpuHeldSeconds;
  return { ...way, gpuIdleShare, costPerMillionRows: costPerMillionRows(way, rowsOf(context), context.prices) };
}

async function sideBySide(context: StepContext, workload: JobName, buffers: number): Promise<Way> {
  const file = join(context.work, 'times.json');
  const task: BuffersTask = { options: optionsOf(context, { workload }, togetherFolder(context)), buffers };
  const env = timedEnvironment({}, file);
  const { stdout } = await promisify(execFile)(process.execPath, [buffersJob, JSON.stringify(task)], { env });
  const { wallSeconds, rowsScored } = JSON.parse(stdout) as BuffersResult;
  expectClose('rows scored', rowsScored, rowsOf(context), 0);
  return { wallSeconds, gpuHeldSeconds: wallSeconds, cpuHeldSeconds: 0, computeSeconds: computeSeconds(file) };
}

interface Prepared {
  readonly seconds: number;
  readonly bytes: number;
}

/** All features as the models take them, one list for each row, by a model that gives back what it is given. */
async function prepareAll(context: StepContext): Promise<Prepared> {
  const model = join(context.work, 'prepare');
  writeModel(join(model, 'model.onnx'), identityModel('float32', ['N', featureCount]));
  writeContract(model, { ...contractOf('w1-network'), outputs: { y: 'features' } });
  const options: ScoreOptions = {
    ...optionsOf(context, { workload: 'w1-network' }, preparedFolder(context)),
    model,
    device: 'cpu',
  };
  const { result } = await runJob(options);
  return { seconds: result.wallSeconds, bytes: result.outputBytes };
}

async function scorePrepared(context: StepContext, workload: JobName, prepared: Prepared): Promise<Way> {
  const model = join(context.work, 'score');
  mkdirSync(model, { recursive: true });
  copyFileSync(join(jobFolder(context, workload), 'model.onnx'), join(model, 'model.onnx'));
  const contract = { ...contractOf('w1-network'), inputs: { x: [{ column: 'features', list: featureCount }] } };
  writeContract(model, contract);
  const output = join(context.work, 'apart');
  const file = join(context.work, 'times.json');
  const options: ScoreOptions = {
    ...optionsOf(context, { workload }, output),
    shards: shardPaths(context).map((path) => join(preparedFolder(context), path.slice(path.lastIndexOf('/') + 1))),
    model,
  };
  const { result } = await runJob(options, timedEnvironment({}, file));
  // The same scores, whichever way they came about.
  for (const path of shardPaths(context)) compareOutputs(path, output, togetherFolder(context));
  rmSync(output, { recursive: true, force: true });
  const scoreSeconds = result.wallSeconds;
  return {
    wallSeconds: prepared.seconds + scoreSeconds,
    gpuHeldSeconds: scoreSeconds,
    cpuHeldSeconds: prepared.seconds,
    computeSeconds: computeSeconds(file),
  };
}

function rowsOf(context: StepContext): number {
  return rowsPerShardOf(context) * shardCountOf(context);
}

function computeSeconds(file: string): number {
  return (JSON.parse(readFileSync(file, 'utf8')) as DeviceTimes).computeSeconds;
}

function writeContract(folder: string, contract: object): void {
  writeFileSync(join(folder, 'tandem.json'), JSON.stringify(contract, null, 2));
}

function preparedFolder({ work }: StepContext): string {
  return join(work, 'prepared');
}

function togetherFolder({ work }: StepContext): string {
  return join(work, 'together');
}
