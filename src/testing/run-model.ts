/** Runs a model once on values given inline. */
import { join } from 'node:path';
import { closeSession, openSession } from '../engines/onnxruntime/session.ts';
import {
  BoundRun,
  createRunOptions,
  releaseRunOptions,
  type BoundTensor,
  type FetchedTensor,
} from '../engines/onnxruntime/run.ts';
import { writeModel, type ModelSpec } from './onnx.ts';

/** Outputs by name. The file is written as `folder`/model.onnx. */
export function runModel(
  folder: string,
  model: ModelSpec,
  inputs: readonly BoundTensor[],
  outputNames = model.outputs.map((output) => output.name),
): Record<string, FetchedTensor> {
  const path = join(folder, 'model.onnx');
  writeModel(path, model);
  const session = openSession(path, { intraOpThreads: 1 });
  const runOptions = createRunOptions();
  try {
    const run = new BoundRun(
      session,
      inputs,
      outputNames.map((name) => ({ name })),
    );
    try {
      run.run(runOptions);
      return Object.fromEntries(run.fetch().map((tensor) => [tensor.name, tensor]));
    } finally {
      run.close();
    }
  } finally {
    releaseRunOptions(runOptions);
    closeSession(session);
  }
}
