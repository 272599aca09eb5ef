/** Step 12: the same job, shards and weights in pyarrow and PyTorch, in the same minutes; `peer.py` is the program. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { randomNetwork } from '../../src/testing/networks.ts';
import { runDeviceJob } from './jobs.ts';
import { widthsOf } from './models.ts';
import { jobFolder, shardPaths } from './prepare.ts';
import { isCuda } from './rig.ts';
import { SkippedStep, type StepContext } from './step.ts';

const script = fileURLToPath(new URL('../../../bench/gpu/peer.py', import.meta.url));

export async function python(context: StepContext): Promise<void> {
  if (!isCuda()) throw new SkippedStep('PyTorch would run on another device than the stand-in');
  const run = promisify(execFile);
  try {
    await run('python3', ['-c', 'import pyarrow.dataset, torch; assert torch.cuda.is_available()']);
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new SkippedStep(
      `no python3 with pyarrow, torch and CUDA: ${(stderr ?? String(error)).trim().split('\n').at(-1)}`,
    );
  }
  for (const [workload, model, seed] of [
    ['w1-network', 'mlp', 1],
    ['w4-wide', 'mlp2048', 4],
  ] as const) {
    const folder = join(context.work, 'weights');
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    randomNetwork(widthsOf(model, context.tiny), seed).layers.forEach(({ weights, bias }, layer) => {
      writeFileSync(join(folder, `w${layer}.bin`), weights);
      writeFileSync(join(folder, `b${layer}.bin`), bias);
    });
    const { inputs } = JSON.parse(readFileSync(join(jobFolder(context, workload), 'tandem.json'), 'utf8')) as {
      inputs: { x: unknown };
    };
    const task = {
      shards: shardPaths(context),
      widths: widthsOf(model, context.tiny),
      weights: folder,
      features: inputs.x,
      output: join(context.work, 'peer'),
      batchRows: 65_536,
      secondsMax: context.seconds / 4,
    };
    const { stdout } = await run('python3', [script, JSON.stringify(task)], { maxBuffer: 2 ** 26 });
    const ours = await runDeviceJob(context, { workload });
    context.record(workload, { python: JSON.parse(stdout) as unknown, tandem: ours });
  }
}
