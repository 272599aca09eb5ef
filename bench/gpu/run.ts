/**
 * The benchmark for a GPU: what `step.ts` lists, one step after the other, each in a process of its own with a limit of
 * its own; the results file is written anew after every figure, so that a crash loses one step. Not yet run on a GPU.
 *
 * On a machine with a GPU, network or not (production packages and dist/ are enough), under eight minutes:
 *
 *   node dist/bench/gpu/run.js --ort-dir FOLDER --price-per-hour 3.5 --cpu-price-per-hour 0.8
 *
 * FOLDER holds ONNX Runtime's CUDA provider (`tandem setup cuda --to FOLDER`; without the flag it is looked for in the
 * usual places); CUDA's libraries are found in pip's packages. With a provider that was cut down to one architecture,
 * say so: TANDEM_PROVIDER_SHA256=$(sha256sum FOLDER/libonnxruntime_providers_cuda.so | cut -d' ' -f1).
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import yargs from 'yargs';
import { formatTable } from '../../src/cli/format.ts';
import { environment, type Environment } from '../environment.ts';
import { runStep } from './run-step.ts';
import { stepSpecs, type StepInput, type StepRecord, type StepSpec } from './step.ts';
import { judgeTargets, type TargetLine } from './targets.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
/** Of all steps together: under eight minutes with what lies between them. */
const secondsDefault = 465;

interface Results {
  readonly version: 1;
  readonly startedAt: string;
  readonly device: unknown;
  readonly environment: Environment;
  readonly conditions: Readonly<Record<string, unknown>>;
  readonly seconds: number;
  readonly targets: readonly TargetLine[];
  readonly steps: readonly StepRecord[];
}

async function readFlags() {
  const steps = stepSpecs.map(({ number, name, question }) => `  ${String(number).padStart(2)}  ${name}: ${question}`);
  return yargs(process.argv.slice(2))
    .scriptName('npm run bench:gpu --')
    .usage(`$0 [flags]\n\nMeasures Tandem on one GPU, unattended.\n\nSteps:\n${steps.join('\n')}`)
    .options({
      device: { type: 'string', default: 'cuda:0', describe: 'The GPU: cuda:0, cuda:1, ...' },
      'ort-dir': { type: 'string', describe: "Folder of ONNX Runtime's CUDA provider" },
      steps: { type: 'string', describe: 'Only these: 1,4,7 (0 is always run: the others need its data)' },
      seconds: { type: 'number', default: secondsDefault, describe: 'Time of all steps together; limits follow it' },
      rows: { type: 'number', default: 10_000_000, describe: 'Rows of the generated shards' },
      data: { type: 'string', default: join(tmpdir(), 'tandem-bench-gpu'), describe: 'Folder for models and shards' },
      out: { type: 'string', describe: 'Results file (otherwise: bench/results/<date>-<GPU>.json)' },
      tiny: { type: 'boolean', default: false, describe: 'Sizes that only show that the benchmark works' },
      'price-per-hour': { type: 'number', default: 3.5, describe: 'Of the machine with the GPU, in any currency' },
      'cpu-price-per-hour': { type: 'number', default: 0.8, describe: 'Of one with the same cores and no GPU' },
    })
    .strict()
    .version(false)
    .locale('en')
    .check(({ seconds, rows, steps }) => {
      if (!(seconds > 0)) throw new RangeError('Expected --seconds to be a number above 0.');
      if (!(rows >= 16)) throw new RangeError('Expected --rows to be a number of at least 16.');
      chosenSteps(steps);
      return true;
    })
    .parseAsync();
}

/** @throws RangeError for what is no step */
function chosenSteps(list: string | undefined): readonly StepSpec[] {
  if (list === undefined) return stepSpecs;
  const numbers = list.split(',').map(Number);
  const wrong = numbers.find((number) => !stepSpecs.some((spec) => spec.number === number));
  if (wrong !== undefined) {
    throw new RangeError(`Expected --steps to be numbers from 0 to ${stepSpecs.length - 1}, got \`${list}\`.`);
  }
  return stepSpecs.filter(({ number }) => number === 0 || numbers.includes(number));
}

/** Keeps the results in a file that is whole at any moment, and has the GPU's name as soon as it is known. */
class ResultsFile {
  #path: string | undefined;
  readonly #given: string | undefined;
  readonly #places: readonly (readonly [string, string])[];

  constructor(given: string | undefined, data: string) {
    this.#given = given === undefined ? undefined : resolve(given);
    this.#places = [
      [data, '<data>'],
      [root, ''],
      [homedir(), '~'],
    ];
  }

  get path(): string | undefined {
    return this.#path;
  }

  save(results: Results): void {
    const path =
      this.#given ?? join(root, 'bench', 'results', `${results.startedAt.slice(0, 10)}-${slug(results.device)}.json`);
    // Where things lay on this machine is nobody's business.
    const text = this.#places.reduce(
      (current, [place, name]) => current.replaceAll(place, name),
      JSON.stringify(results, undefined, 1),
    );
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.tmp`, `${text}\n`);
    renameSync(`${path}.tmp`, path);
    if (this.#path !== undefined && this.#path !== path) rmSync(this.#path, { force: true });
    this.#path = path;
  }
}

function slug(device: unknown): string {
  const { label } = (device ?? {}) as { label?: string };
  return (label ?? 'gpu').toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}

function targetsTable(targets: readonly TargetLine[]): string {
  const rows = targets.map(({ name, target, measured, kept }) => {
    const verdict = kept === undefined ? '-' : kept ? 'kept' : 'missed';
    return [name, target, measured, verdict];
  });
  return formatTable([{ title: 'what' }, { title: 'target' }, { title: 'measured' }, { title: '' }], rows);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(): Promise<void> {
  const flags = await readFlags();
  const data = resolve(flags.data);
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const scale = flags.seconds / stepSpecs.reduce((sum, { secondsMax }) => sum + secondsMax, 0);
  const file = new ResultsFile(flags.out, data);
  const { rows, tiny, device, seconds } = flags;
  const conditions = {
    rows,
    tiny,
    device,
    seconds,
    prices: pricesOf(flags),
    fileCache: 'shards are in the page cache',
  };
  const machine = environment();
  const done: StepRecord[] = [];
  const elapsed = (): number => Number(((performance.now() - started) / 1000).toFixed(1));
  const save = (steps: readonly StepRecord[]): void => {
    const found = steps.find(({ name }) => name === 'provider')?.figures['device'] ?? null;
    const targets = judgeTargets(steps);
    file.save({
      version: 1,
      startedAt,
      device: found,
      environment: machine,
      conditions,
      seconds: elapsed(),
      targets,
      steps,
    });
  };
  for (const spec of chosenSteps(flags.steps)) {
    const secondsMax = Math.min(spec.secondsMax * scale, seconds - elapsed());
    const record =
      done[0]?.status === 'failed'
        ? ({ ...spec, status: 'skipped', reason: 'step 0 failed', seconds: 0, figures: {} } as const)
        : secondsMax < 1
          ? ({ ...spec, status: 'skipped', reason: 'no time left', seconds: 0, figures: {} } as const)
          : await runStep(spec, inputOf(flags, data, spec), secondsMax, (partial) => save([...done, partial]));
    done.push(record);
    save(done);
    say(
      `${String(spec.number).padStart(2)} ${spec.name}: ${record.status}, ${record.seconds} s ${firstLine(record.reason)}`,
    );
  }
  const fused = done.find(({ name }) => name === 'fuse')?.figures['verdict'] as
    { readonly sentence: string } | undefined;
  const lines = [targetsTable(judgeTargets(done)), fused?.sentence, `results: ${file.path}`];
  console.log(lines.filter((line) => line !== undefined).join('\n\n'));
  if (done.some(({ status }) => status !== 'done' && status !== 'skipped')) process.exitCode = 1;
}

interface Flags {
  readonly device: string;
  readonly 'ort-dir': string | undefined;
  readonly tiny: boolean;
  readonly rows: number;
  readonly 'price-per-hour': number;
  readonly 'cpu-price-per-hour': number;
}

function pricesOf(flags: Flags): StepInput['prices'] {
  return { gpuPerHour: flags['price-per-hour'], cpuPerHour: flags['cpu-price-per-hour'] };
}

function inputOf(flags: Flags, data: string, { name }: StepSpec): Omit<StepInput, 'seconds' | 'secondsMax'> {
  const { device, tiny, rows } = flags;
  const ortDir = flags['ort-dir'] === undefined ? undefined : resolve(flags['ort-dir']);
  return { device, ortDir, tiny, rows, data, work: join(data, 'work', name), prices: pricesOf(flags) };
}

function firstLine(reason = ''): string {
  return reason.split('\n')[0]!;
}

await main();
