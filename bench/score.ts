/** Score: what the plan chose, at the batch size that it chooses, against ONNX Runtime in a bare loop at each size. */
import { closeSession, openSession } from '../src/engines/onnxruntime/session.ts';
import { BoundRun, createRunOptions } from '../src/engines/onnxruntime/run.ts';
import { createSharedMemory } from '../src/engines/wasm.ts';
import { createFeaturizer } from '../src/featurize/featurizer.ts';
import type { Pointer } from '../src/engines/native.ts';
import type { ModelPlan } from '../src/plan.ts';
import { addSample, chosenBatchSize, nextBatchSize, startSweep } from '../src/score/batch-size.ts';
import { layOutSlot, slotBytes, type Slot } from '../src/score/scorer.ts';
import type { InPlaceScorer } from '../src/threads/in-place-scorer.ts';
import { expectedScores, scoreTolerance } from './expected.ts';
import { firstChunk } from './featurize.ts';
import { expectClose, type Stage, type StageTask } from './measure.ts';
import { byRows, openPlanned } from './scorer.ts';

/** Rows that are scored before the clock is read again. */
const rowsPerPiece = 16_384;
const checkedRows = 500;

export const batchSizes = startSweep(8_192).candidates;

export function openScore({ plan, workload, threadIndex }: StageTask): Stage {
  const session = openSession(plan.model.path, { intraOpThreads: 1 });
  const runOptions = createRunOptions();
  const chunk = firstChunk(plan, threadIndex % plan.shards.length);
  const fill = (model: ModelPlan, slot: Slot): void => {
    const featurizer = createFeaturizer(model.inputs[0]!, 0);
    for (let row = 0; row < slot.rowCount; row += chunk.rowCount) {
      featurizer.fill(chunk, 0, Math.min(chunk.rowCount, slot.rowCount - row), slot.inputs[0]!, row);
    }
  };
  const { slot, scorer } = openPlanned(plan, session);
  fill(plan.model, slot);
  const chosen = chooseSize(scorer, plan.slotRows);
  const model = byRows(plan.model);
  const bytes = slotBytes(model, plan.slotRows);
  const theirs = layOutSlot(model, plan.slotRows, createSharedMemory(bytes).buffer, 0);
  fill(model, theirs);
  const pieces = (rowCount: number, run: () => void) => (): number => {
    const runs = Math.max(1, Math.round(rowsPerPiece / rowCount));
    for (let index = 0; index < runs; index++) run();
    return runs * rowCount;
  };
  const sizes = batchSizes.filter((size) => size <= plan.slotRows);
  return {
    check() {
      scorer.score(checkedRows);
      const expected = expectedScores(workload, model.inputs[0]!);
      for (let row = 0; row < checkedRows; row++) {
        const columns = chunk.vectors.map((vector) => Number((vector as { values: ArrayLike<number> }).values[row]));
        expectClose(`the score of row ${row}`, Number(slot.outputs[0]![row]), expected(columns), scoreTolerance);
      }
    },
    contestants: {
      ours: pieces(chosen, () => scorer.score(chosen)),
      ...Object.fromEntries(sizes.map((size) => [`size ${size}`, pieces(size, () => scorer.score(size))])),
      ...Object.fromEntries(
        sizes.map((size) => {
          const bound = bareRun(model, session, theirs, size);
          return [`bare ${size}`, pieces(size, () => bound.run(runOptions))];
        }),
      ),
    },
    batchSize: chosen,
    close() {
      scorer.close();
      closeSession(session);
    },
  };
}

/** As at the start of a run. */
function chooseSize(scorer: InPlaceScorer, slotRows: number): number {
  let sweep = startSweep(slotRows);
  for (;;) {
    const chosen = chosenBatchSize(sweep);
    if (chosen !== undefined) return chosen;
    const rowCount = nextBatchSize(sweep);
    const started = performance.now();
    scorer.score(rowCount);
    sweep = addSample(sweep, { rowCount, seconds: (performance.now() - started) / 1000 });
  }
}

function bareRun(model: ModelPlan, session: Pointer, slot: Slot, rowCount: number): BoundRun {
  const bind = (tensors: ModelPlan['inputs'] | ModelPlan['outputs'], values: Slot['inputs']) =>
    tensors.map(({ name, elementType, rowShape }, index) => ({
      name,
      elementType,
      shape: [rowCount, ...rowShape],
      values: values[index]!,
    }));
  return new BoundRun(session, bind(model.inputs, slot.inputs), bind(model.outputs, slot.outputs));
}
