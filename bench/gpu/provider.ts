/** Step 1: does the provider load, on what does each node of a model run, and does the device give the CPU's scores. */
import { nodesByProvider, recordAssignment } from '../../src/engines/onnxruntime/assignment.ts';
import { doctor } from '../../src/index.ts';
import { modelNames } from './models.ts';
import { checkAnswers, findDevice, isCuda, Rig } from './rig.ts';
import type { StepContext } from './step.ts';

/** Of float32 sums in another order, through up to fifty layers. */
export const scoreTolerance = 1e-3;

/** Rows on which the CPU's scores are the measure: a second of its time at most. */
export function checkedRows(name: string, tiny: boolean): number {
  if (tiny) return 4;
  return name === 'resnet50' || name === 'minilm' ? 4 : 256;
}

export async function provider(context: StepContext): Promise<void> {
  if (isCuda()) {
    const report = await doctor({
      device: context.device,
      ...(context.ortDir === undefined ? {} : { ortDir: context.ortDir }),
    });
    const items = report.items.map(({ name, state, found }) => ({ name, state, found }));
    context.record('doctor', { passed: report.passed, items, notes: report.notes });
  } else {
    context.record('doctor', { skipped: 'the device is a stand-in: there is no CUDA to look for' });
  }
  const device = await findDevice(context);
  const { label, name, freeBytes, totalBytes } = device.found;
  const module = isCuda() ? 'CUDA' : 'a stand-in';
  context.record('device', { label, name, freeBytes, totalBytes, driver: module });
  for (const model of modelNames) {
    const rows = checkedRows(model, context.tiny);
    const rig = new Rig(device, context, { model, buffers: 1, bufferRows: rows, configure: recordAssignment });
    const started = performance.now();
    rig.fillBuffers();
    const firstRunSeconds = (performance.now() - started) / 1000;
    const nodes = [...nodesByProvider(rig.session)].map(([provider_, list]) => ({
      provider: provider_,
      nodes: list.length,
      operators: [...new Set(list.map(({ operator }) => operator))].slice(0, 12),
    }));
    context.record(model, {
      sessionSeconds: rig.secondsToOpen,
      firstRunSeconds,
      pinned: rig.pinned,
      nodesByProvider: nodes,
      rowsChecked: rows,
      scoreDifferenceMax: checkAnswers(rig, rows, scoreTolerance),
    });
    rig.close();
  }
}
