/** How long ONNX Runtime would take for a job: where that is short, nothing else is worth looking for. */
import { BoundRun, createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { choiceMs, choiceMsPerMegabyteOfTrees, choiceMsTrees, estimateMs, estimateRuns } from '../limits.ts';
import type { ModelPlan } from '../plan.ts';
import { boundTensors, type PlanningEngines, type ResolvedModel } from './model.ts';

/**
 * Seconds that ONNX Runtime takes for a row on one thread, by its first rows; undefined: there are none.
 * @param now seconds, from a monotonic clock
 */
export function secondsPerRow(
  { session }: Pick<PlanningEngines, 'session'>,
  resolved: Pick<ResolvedModel, 'layouts' | 'firstRows'>,
  { outputs, fixedBatchRows }: Pick<ModelPlan, 'outputs' | 'fixedBatchRows'>,
  now: () => number,
): number | undefined {
  const firstRows = resolved.firstRows();
  if (firstRows === undefined) return undefined;
  const rowCount = fixedBatchRows ?? firstRows.rowCount;
  const runOptions = createRunOptions();
  const names = outputs.map(({ name }) => ({ name }));
  let bound: BoundRun | undefined;
  try {
    bound = new BoundRun(session, boundTensors(resolved, firstRows, rowCount), names);
    const begun = now();
    let best = Infinity;
    // The first one prepares the shape, and any may be interrupted.
    for (let run = 0; run < 2 || (run < estimateRuns && now() - begun < estimateMs / 1000); run++) {
      const started = now();
      bound.run(runOptions);
      best = Math.min(best, now() - started);
    }
    return best / rowCount;
  } finally {
    bound?.close();
    releaseRunOptions(runOptions);
  }
}

/** Seconds until a kernel has been read, compiled, compared and timed, in a process that has done none of it before. */
export function secondsToChoose(modelBytes: number, hasTrees: boolean): number {
  const trees = hasTrees ? choiceMsTrees + (choiceMsPerMegabyteOfTrees * modelBytes) / 2 ** 20 : 0;
  return (choiceMs + trees) / 1000;
}
