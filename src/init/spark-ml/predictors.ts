/** Linear models and forests as nodes of the graph. */
import { z } from 'zod';
import { TandemError } from '../../errors.ts';
import { readForest, writeForest } from './forest.ts';
import { Model, type Predictor } from './model.ts';
import { double, matrix, metadataOf, oneOf, paramsOf, vector, type SavedStage } from './saved.ts';

export const logisticRegression: Predictor = (stage, frame, graph) => {
  const form = z.object({ interceptVector: vector, coefficientMatrix: matrix, isMultinomial: z.boolean() });
  const { interceptVector, coefficientMatrix, isMultinomial } = oneOf(stage, form);
  const model = new Model(stage, frame, graph, coefficientMatrix[0]?.length ?? 0);
  const raw = graph.linear(model.x, coefficientMatrix, interceptVector);
  if (isMultinomial) {
    const probability = graph.add('Softmax', [raw], { axis: { int: 1 } });
    return model.outputs(model.likeliest(raw, probability), coefficientMatrix.length, probability, raw);
  }
  const { threshold } = paramsOf(stage, z.object({ threshold: double }));
  // LogisticRegressionParams.getThreshold
  const [first, second] = stage.isSet.has('thresholds') ? (model.thresholds ?? []) : [];
  const least = first === undefined || second === undefined ? threshold : 1 / (1 + first / second);
  const prediction = graph.flat(graph.above(raw, Math.log(least / (1 - least))));
  return model.outputs(prediction, 2, model.chances(raw, 1), model.bothWays(raw));
};

export const linearRegression: Predictor = (stage, frame, graph) => {
  const { intercept, coefficients } = oneOf(stage, z.object({ intercept: z.number(), coefficients: vector }));
  const model = new Model(stage, frame, graph, coefficients.length);
  return model.outputs(graph.flat(graph.linear(model.x, [coefficients], [intercept])));
};

export const linearSvc: Predictor = (stage, frame, graph) => {
  const { intercept, coefficients } = oneOf(stage, z.object({ intercept: z.number(), coefficients: vector }));
  const { threshold } = paramsOf(stage, z.object({ threshold: double }));
  const model = new Model(stage, frame, graph, coefficients.length);
  const margin = graph.linear(model.x, [coefficients], [intercept]);
  return model.outputs(graph.flat(graph.above(margin, threshold)), 2, undefined, model.bothWays(margin));
};

const sizes = z.object({ numFeatures: z.number(), numClasses: z.number().default(0) });

/** A sum of weighted trees, an average of them, or one. */
export const treeRegression: Predictor = (stage, frame, graph) => {
  const { numFeatures } = metadataOf(stage, sizes);
  const trees = readForest(stage);
  const model = new Model(stage, frame, graph, numFeatures, true);
  const sum = writeForest(graph, model.x, trees, 1, ({ prediction }) => [prediction]);
  const isAverage = stage.kind.startsWith('RandomForest');
  const scores = isAverage ? graph.add('Div', [sum, graph.constant([trees.length])]) : sum;
  return model.outputs(graph.flat(scores));
};

export const boostedClassification: Predictor = (stage, frame, graph) => {
  const { numFeatures } = metadataOf(stage, sizes);
  const model = new Model(stage, frame, graph, numFeatures, true);
  const margin = writeForest(graph, model.x, readForest(stage), 1, ({ prediction }) => [prediction]);
  const raw = model.bothWays(margin);
  const probability = model.chances(margin, 2);
  return model.outputs(model.likeliest(raw, probability), 2, probability, raw);
};

/** Each tree votes with the shares of the classes in its leaf; a single tree's raw prediction is their counts. */
export const treeClassification: Predictor = (stage, frame, graph) => {
  const { numFeatures, numClasses } = metadataOf(stage, sizes);
  const model = new Model(stage, frame, graph, numFeatures, true);
  const trees = readForest(stage);
  const shares = writeForest(graph, model.x, trees, numClasses, ({ impurityStats }) => {
    const total = impurityStats.reduce((sum, count) => sum + count, 0);
    if (total === 0) throw emptyLeaf(stage);
    return impurityStats.map((count) => count / total);
  });
  const isForest = stage.kind.startsWith('RandomForest');
  const probability = isForest ? graph.add('Div', [shares, graph.constant([trees.length])]) : shares;
  const raw = isForest ? shares : writeForest(graph, model.x, trees, numClasses, ({ impurityStats }) => impurityStats);
  return model.outputs(model.likeliest(shares, probability), numClasses, probability, raw);
};

function emptyLeaf({ uid }: SavedStage): TandemError {
  return new TandemError('BAD_MODEL', `Expected all leaves of ${uid} to have seen rows, got one of weight 0.`, {
    remedy: 'Fit it with minWeightFractionPerNode above 0.',
  });
}
