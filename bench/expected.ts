/** Scores of the workloads' models in plain TypeScript, from the seeds with which the models were made. */
import type { NumberVector, TensorLayout } from '../src/batch.ts';
import { featurizeRow } from '../src/featurize/reference.ts';
import { randomNetwork, scoreNetwork } from '../src/testing/networks.ts';
import { randomTrees, scoreTrees } from '../src/testing/trees.ts';
import { featureCount, networkWidths, type WorkloadName } from './data.ts';

/** ONNX Runtime adds up in float32, the reference in float64. */
export const scoreTolerance = 1e-5;

/** The score of a row of raw columns. */
export type ExpectedScore = (columns: readonly number[]) => number;

export function expectedScores(workload: WorkloadName, layout: TensorLayout): ExpectedScore {
  const model = referenceModel(workload);
  return (columns) => {
    const vectors = columns.map(vectorOf);
    return model(featurizeRow(layout, vectors, 0) as number[]);
  };
}

function vectorOf(value: number): NumberVector {
  return { kind: 'number', values: Float32Array.of(value), validity: null };
}

/** From the features of a row to its score. Seeds and sizes as in data.ts; where they differ, no check passes. */
export function referenceModel(workload: WorkloadName): (features: ArrayLike<number>) => number {
  if (workload === 'w3-trees') {
    const ranges = Array.from({ length: featureCount }, (_, f) => [-0.5, f + 0.5] as const);
    const trees = randomTrees({ treeCount: 100, leafCount: 31, ranges, seed: 3 });
    return (features) => scoreTrees(trees, features);
  }
  const network = randomNetwork(networkWidths[workload], workload === 'w1-network' ? 1 : 2);
  return (features) => scoreNetwork(network, features)[0]!;
}
