import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { DeviceRun } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { deviceSettledRuns } from '../limits.ts';
import type { ModelPlan } from '../plan.ts';
import { identityModel } from '../testing/models.ts';
import { writeModel } from '../testing/onnx.ts';
import { tempDir } from '../testing/shards.ts';
import { SoftwareGpu, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { DeviceScorer } from './device-scorer.ts';
import { layOutSlot, slotBytes } from './scorer.ts';

const gpu: SoftwareGpuOptions = { memoryBytes: 2 ** 20 };
const rows = 8;

/** Remembers what was run. */
class RecordingGpu extends SoftwareGpu {
  readonly runs: DeviceRun[] = [];

  override run(run: DeviceRun, stream: Pointer): void {
    this.runs.push(run);
    super.run(run, stream);
  }
}

const tensor = { elementType: 'float32', rowShape: [1], width: 1 } as const;
const model: ModelPlan = {
  path: 'model.onnx',
  bytes: 0,
  sha256: '',
  contractSha256: '',
  inputs: [{ ...tensor, name: 'x', features: [], featureWidths: [] }],
  constants: [],
  outputs: [{ ...tensor, name: 'y' }],
  columns: [],
  fixedBatchRows: undefined,
};

/** One device buffer of 8 rows and one slot, whose row k holds k. */
function open(t: TestContext, options: SoftwareGpuOptions) {
  const driver = new RecordingGpu(options);
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, identityModel('float32'));
  const session = openSession(path, { intraOpThreads: 1 });
  const [runOptions, shrinkOptions, settleOptions] = [createRunOptions(), createRunOptions(), createRunOptions()];
  const slot = layOutSlot(model, rows, new SharedArrayBuffer(slotBytes(model, rows)), 0);
  for (let row = 0; row < rows; row++) slot.inputs[0]![row] = row;
  const computeStream = driver.createStream();
  const scorer = new DeviceScorer({
    ...{ driver, model, computeStream, runOptions, shrinkOptions, settleOptions },
    slots: [slot],
    buffers: 1,
    bufferRows: rows,
    nowMs: () => performance.now(),
  });
  scorer.useSession(session);
  t.after(() => {
    driver.settle();
    scorer.close();
    closeSession(session);
    driver.close();
    for (const each of [runOptions, shrinkOptions, settleOptions]) releaseRunOptions(each);
  });
  return { driver, scorer, settleOptions, scores: () => [...(slot.outputs[0] as Float32Array)] };
}

const piece = { slot: 0, slotRow: 0, bufferRow: 0, rowCount: rows };
const halves = [
  { bufferRow: 0, rowCount: 4 },
  { bufferRow: 4, rowCount: 4 },
];

test('after out of memory nothing runs any more that a new session would pull the rug from under', (t) => {
  const seconds = 0.15;
  const { scorer, scores } = open(t, { ...gpu, runMicroseconds: seconds * 1e6, outOfMemoryRuns: [1] });
  scorer.copyIn(0, piece);
  const started = performance.now();
  assert.throws(() => scorer.score(0, halves, [piece]), { kind: 'outOfMemory' });
  assert.ok(performance.now() - started >= seconds * 1000, 'the first half was still under way');
  scorer.score(0, halves, [piece]);
  scorer.block(0);
  assert.deepEqual(scores(), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test('one run in many is waited for', (t) => {
  const { driver, scorer, settleOptions } = open(t, gpu);
  for (let run = 0; run < 2 * deviceSettledRuns; run++) {
    scorer.copyIn(0, piece);
    scorer.score(0, [{ bufferRow: 0, rowCount: rows }], [piece]);
    scorer.block(0);
  }
  const settled = driver.runs.flatMap(({ runOptions }, run) => (runOptions === settleOptions ? [run] : []));
  assert.deepEqual(settled, [deviceSettledRuns - 1, 2 * deviceSettledRuns - 1]);
});
