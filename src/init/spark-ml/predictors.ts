/** Linear models and forests as nodes of the graph, with the outputs that Spark's columns are. */
import { z } from 'zod';
import { TandemError } from '../../errors.ts';
import type { Frame } from './columns.ts';
import { writeFeatures, type WrittenFeatures } from './features.ts';
import { readForest, writeForest } from './forest.ts';
import type { Graph } from './graph.ts';
import { double, matrix, metadataOf, oneOf, paramsOf, vector, type SavedStage } from './saved.ts';

/** A value of the graph that becomes a column. */
export interface PredictedOutput {
  /** Of the model's output. */
  readonly name: string;
  /** As Spark's stage calls it. */
  readonly column: string;
  readonly value: string;
  /** Values in a row; undefined: one, [N]. */
  readonly width: number | undefined;
  readonly elementType: 'float64' | 'string';
}

export interface Prediction {
  readonly written: WrittenFeatures;
  readonly outputs: readonly PredictedOutput[];
}

export type Predictor = (stage: SavedStage, frame: Frame, graph: Graph) => Prediction;

const columnsForm = z.object({
  featuresCol: z.string(),
  predictionCol: z.string(),
  probabilityCol: z.string().optional(),
  rawPredictionCol: z.string().optional(),
  thresholds: z.array(double).optional(),
});

/** The features of a model, and the outputs of what it makes of them. */
class Model {
  readonly graph: Graph;
  readonly x: string;
  readonly #written: WrittenFeatures;
  readonly #columns: z.output<typeof columnsForm>;

  constructor(stage: SavedStage, frame: Frame, graph: Graph, size: number, isExact = false) {
    this.graph = graph;
    this.#columns = paramsOf(stage, columnsForm);
    this.#written = writeFeatures(frame.vector(this.#columns.featuresCol, size, stage), graph, isExact);
    this.x = this.#written.value;
  }

  get thresholds(): readonly number[] | undefined {
    return this.#columns.thresholds;
  }

  /** @param prediction [N]; @param probability and @param raw [N, classes] */
  outputs(prediction: string, classCount = 0, probability?: string, raw?: string): Prediction {
    const { predictionCol, probabilityCol, rawPredictionCol } = this.#columns;
    const outputs: PredictedOutput[] = [];
    const add = (name: string, column: string | undefined, value: string | undefined, width?: number): void => {
      if (value !== undefined && column) outputs.push({ name, column, value, width, elementType: 'float64' });
    };
    add('prediction', predictionCol, prediction);
    add('probability', probabilityCol, probability, classCount);
    add('rawPrediction', rawPredictionCol, raw, classCount);
    return { written: this.#written, outputs };
  }

  /** ProbabilisticClassificationModel.raw2prediction: the first of the largest, by thresholds of the probabilities. */
  likeliest(raw: string, probability: string): string {
    const { graph, thresholds } = this;
    let value = raw;
    if (thresholds !== undefined) {
      value = graph.add('Div', [probability, graph.constant(thresholds)]);
      // 0 / 0, which is never the largest.
      const isNan = thresholds.includes(0) ? graph.add('IsNaN', [value]) : undefined;
      if (isNan !== undefined) value = graph.add('Where', [isNan, graph.constant([-Infinity]), value]);
    }
    return this.asNumber(graph.add('ArgMax', [value], { axis: { int: 1 }, keepdims: { int: 0 } }));
  }

  asNumber(value: string): string {
    const float64 = 11;
    return this.graph.add('Cast', [value], { to: { int: float64 } });
  }

  /** [-m, m] of a margin [N, 1]. */
  bothWays(margin: string): string {
    return this.graph.add('Concat', [this.graph.add('Neg', [margin]), margin], { axis: { int: 1 } });
  }

  /** [p, 1 - p] with p = sigmoid(-factor * margin), in the order in which Spark rounds. */
  chances(margin: string, factor: number): string {
    const { graph } = this;
    const exponent = graph.add('Mul', [margin, graph.constant([-factor])]);
    const first = graph.add('Sigmoid', [exponent]);
    return graph.add('Concat', [first, graph.add('Sub', [graph.constant([1]), first])], { axis: { int: 1 } });
  }

  /** 1 where a margin [N, 1] is above the threshold, else 0. */
  above(margin: string, threshold: number): string {
    const { graph } = this;
    return this.asNumber(graph.flat(graph.add('Greater', [margin, graph.constant([threshold])])));
  }
}

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
  const prediction = model.above(raw, Math.log(least / (1 - least)));
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
  return model.outputs(model.above(margin, threshold), 2, undefined, model.bothWays(margin));
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
