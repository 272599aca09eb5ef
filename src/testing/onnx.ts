/** Small ONNX models for tests. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { buildModel, type ModelSpec } from '../engines/onnxruntime/write-model.ts';

export * from '../engines/onnxruntime/write-model.ts';

/** Writes a model file, its folder too where there is none. */
export function writeModel(path: string, model: ModelSpec): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, buildModel(model));
}
