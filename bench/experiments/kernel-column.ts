/** One column through Tandem's featurizer, as a thread of a run does it: column and tensor lie in the kernels' memory. */
import type { TensorLayout } from '../../src/batch.ts';
import type { NumericStep } from '../../src/contract/contract.ts';
import { alignedBytes, createKernelMemory } from '../../src/engines/wasm.ts';
import { createFeaturizer, featurizerBytes } from '../../src/featurize/featurizer.ts';

export interface KernelColumn {
  /** What `run` writes. */
  readonly target: Float64Array;
  run(): void;
}

/** @param column is copied, once */
export function kernelColumn(steps: readonly NumericStep[], column: Float64Array): KernelColumn {
  const feature = { kind: 'number', source: { column: 'x' }, missing: undefined, steps } as const;
  const layout: TensorLayout = {
    ...{ name: 'x', elementType: 'float64', rowShape: [1], width: 1 },
    ...{ features: [feature], featureWidths: [1] },
  };
  const kernels = createKernelMemory(2 * alignedBytes(column.byteLength) + featurizerBytes(layout));
  const [values, target] = [0, 1].map(
    () => new Float64Array(kernels.memory.buffer, kernels.allocate(column.byteLength), column.length),
  );
  values!.set(column);
  const featurizer = createFeaturizer(layout, 0, kernels);
  const chunk = { rowCount: column.length, vectors: [{ kind: 'number', values: values!, validity: null } as const] };
  return { target: target!, run: () => featurizer.fill(chunk, 0, column.length, target!, 0) };
}
