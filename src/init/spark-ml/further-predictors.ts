/** Predictors that are neither one linear model nor a forest, as nodes of the graph. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { TandemError } from '../../errors.ts';
import type { Frame } from './columns.ts';
import type { Graph } from './graph.ts';
import { Model, type PredictedOutput, type Predictor } from './model.ts';
import { boostedClassification, linearSvc, logisticRegression, treeClassification } from './predictors.ts';
import { dataOf, double, matrix, oneOf, paramsOf, readStages, vector, type SavedStage } from './saved.ts';

const linearForm = z.object({ intercept: double, coefficients: vector });

/** GeneralizedLinearRegression.Family: means of what is positive do not fall below this. */
const leastMean = 1e-16;

export const generalizedLinearRegression: Predictor = (stage, frame, graph) => {
  const form = z.object({
    family: z.string(),
    link: z.string().optional(),
    variancePower: double.default(0),
    linkPower: double.optional(),
    offsetCol: z.string().default(''),
    linkPredictionCol: z.string().default(''),
  });
  const params = paramsOf(stage, form);
  if (params.offsetCol !== '') throw notTaken(stage, `offsetCol ${params.offsetCol}`, 'Fit it without an offset.');
  const family = params.family.toLowerCase();
  const { intercept, coefficients } = oneOf(stage, linearForm);
  const model = new Model(stage, frame, graph, coefficients.length);
  const eta = graph.linear(model.x, [coefficients], [intercept]);
  const link = family === 'tweedie' ? (params.linkPower ?? 1 - params.variancePower) : (params.link ?? linkOf(family));
  let mean = unlinked(stage, graph, eta, typeof link === 'string' ? link.toLowerCase() : link);
  const isNormal = family === 'gaussian' || (family === 'tweedie' && params.variancePower === 0);
  if (!isNormal) {
    mean = least(graph, mean, leastMean);
    if (family === 'binomial') mean = graph.add('Neg', [least(graph, graph.add('Neg', [mean]), leastMean - 1)]);
  }
  const { outputs, written } = model.outputs(graph.flat(mean));
  const { linkPredictionCol: column } = params;
  const output: PredictedOutput = {
    ...{ name: 'linkPrediction', column, value: graph.flat(eta), width: undefined },
    elementType: 'float64',
  };
  return { written, outputs: column === '' ? outputs : [...outputs, output] };
};

function linkOf(family: string): string {
  return { binomial: 'logit', poisson: 'log', gamma: 'inverse' }[family] ?? 'identity';
}

/** @param link by name, or as a power */
function unlinked(stage: SavedStage, graph: Graph, eta: string, link: string | number): string {
  const power = (exponent: number): string => graph.add('Pow', [eta, graph.constant([exponent])]);
  switch (link) {
    case 'identity':
    case 1:
      return eta;
    case 'log':
    case 0:
      return graph.add('Exp', [eta]);
    case 'logit':
      return graph.add('Sigmoid', [eta]);
    case 'inverse':
    case -1:
      return graph.add('Reciprocal', [eta]);
    case 'sqrt':
    case 0.5:
      return graph.add('Mul', [eta, eta]);
    case 'cloglog': {
      const rest = graph.add('Exp', [graph.add('Neg', [graph.add('Exp', [eta])])]);
      return graph.add('Sub', [graph.constant([1]), rest]);
    }
    default:
      if (typeof link === 'number') return power(1 / link);
      throw notTaken(stage, `link ${link}`, 'Fit it with another link.');
  }
}

/** What is less becomes the bound; NaN stays. */
function least(graph: Graph, value: string, bound: number): string {
  const limit = graph.constant([bound]);
  return graph.add('Where', [graph.add('Less', [value, limit]), limit, value]);
}

/** AFTSurvivalRegressionModel.predict. */
export const survivalRegression: Predictor = (stage, frame, graph) => {
  const { intercept, coefficients } = oneOf(stage, linearForm);
  const { quantilesCol } = paramsOf(stage, z.object({ quantilesCol: z.string().default('') }));
  if (quantilesCol !== '') frame.notes.push(`${quantilesCol} of ${stage.uid} is left out.`);
  const model = new Model(stage, frame, graph, coefficients.length);
  return model.outputs(graph.flat(graph.add('Exp', [graph.linear(model.x, [coefficients], [intercept])])));
};

/** NaiveBayesModel: log probabilities, up to what all classes share. */
export const naiveBayes: Predictor = (stage, frame, graph) => {
  const { modelType } = paramsOf(stage, z.object({ modelType: z.string() }));
  const { pi, theta, sigma } = oneOf(stage, z.object({ pi: vector, theta: matrix, sigma: matrix.optional() }));
  const model = new Model(stage, frame, graph, theta[0]!.length);
  const rows = (change: (value: number) => number): number[][] => theta.map((row) => row.map(change));
  let raw: string;
  switch (modelType) {
    case 'gaussian': {
      const spreads = graph.distances(model.x, theta, sigma!);
      const logs = sigma!.map((row) => row.reduce((sum, value) => sum + Math.log(value), 0));
      const both = graph.add('Add', [spreads, graph.constant(logs)]);
      raw = graph.add('Sub', [graph.constant(pi), graph.add('Mul', [both, graph.constant([0.5])])]);
      break;
    }
    case 'bernoulli': {
      const absent = rows((log) => Math.log1p(-Math.exp(log)));
      const present = theta.map((row, at) => row.map((log, i) => log - absent[at]![i]!));
      const start = pi.map((log, at) => absent[at]!.reduce((sum, value) => sum + value, log));
      raw = graph.linear(model.x, present, start);
      break;
    }
    case 'complement':
      raw = graph.add(
        'LogSoftmax',
        [
          graph.linear(
            model.x,
            theta,
            pi.map(() => 0),
          ),
        ],
        { axis: { int: 1 } },
      );
      break;
    default:
      raw = graph.linear(model.x, theta, pi);
  }
  if (modelType !== 'gaussian') {
    frame.notes.push(
      `${stage.uid} takes ${modelType === 'bernoulli' ? '0 and 1' : 'no negative numbers'}: Spark stops.`,
    );
  }
  const probability = graph.add('Softmax', [raw], { axis: { int: 1 } });
  return model.outputs(model.likeliest(raw, probability), theta.length, probability, raw);
};

/** Sigmoids between the layers and a softmax after the last; of a layer the weights come column by column, then biases. */
export const perceptron: Predictor = (stage, frame, graph) => {
  const { layers } = paramsOf(stage, z.object({ layers: z.array(z.number()) }));
  const { weights } = oneOf(stage, z.object({ weights: vector }));
  const model = new Model(stage, frame, graph, layers[0]!);
  let value = model.x;
  let start = 0;
  layers.slice(1).forEach((outputs, at) => {
    const inputs = layers[at]!;
    const rows = Array.from({ length: outputs }, (_, row) =>
      Array.from({ length: inputs }, (_, column) => weights[start + column * outputs + row]!),
    );
    start += inputs * outputs;
    if (at > 0) value = graph.add('Sigmoid', [value]);
    value = graph.linear(value, rows, weights.slice(start, start + outputs));
    start += outputs;
  });
  const probability = graph.add('Softmax', [value], { axis: { int: 1 } });
  return model.outputs(model.likeliest(value, probability), layers.at(-1)!, probability, value);
};

/** FactorizationMachines.getRawPrediction: [N, 1]. */
function factorize(stage: SavedStage, frame: Frame, graph: Graph): { readonly model: Model; readonly raw: string } {
  const { intercept, linear, factors } = oneOf(stage, z.object({ intercept: double, linear: vector, factors: matrix }));
  const model = new Model(stage, frame, graph, linear.length);
  const shape = [factors.length, factors[0]!.length];
  const square = (value: string): string => graph.add('Mul', [value, value]);
  const sums = square(graph.add('MatMul', [model.x, graph.constant(factors.flat(), shape)]));
  const squares = factors.flat().map((factor) => factor * factor);
  const alone = graph.add('MatMul', [square(model.x), graph.constant(squares, shape)]);
  const pairs = graph.sum(graph.add('Sub', [sums, alone]), 1, true);
  const half = graph.add('Mul', [pairs, graph.constant([0.5])]);
  return { model, raw: graph.add('Add', [graph.linear(model.x, [linear], [intercept]), half]) };
}

export const factorizationRegression: Predictor = (stage, frame, graph) => {
  const { model, raw } = factorize(stage, frame, graph);
  return model.outputs(graph.flat(raw));
};

export const factorizationClassification: Predictor = (stage, frame, graph) => {
  const { model, raw: margin } = factorize(stage, frame, graph);
  const raw = model.bothWays(margin);
  const probability = model.chances(margin, 1);
  return model.outputs(model.likeliest(raw, probability), 2, probability, raw);
};

const binary: Readonly<Record<string, Predictor>> = {
  LogisticRegressionModel: logisticRegression,
  LinearSVCModel: linearSvc,
  DecisionTreeClassificationModel: treeClassification,
  RandomForestClassificationModel: treeClassification,
  GBTClassificationModel: boostedClassification,
  NaiveBayesModel: naiveBayes,
  FMClassificationModel: factorizationClassification,
};

/** The class whose model is surest of it. */
export const oneVsRest: Predictor = (stage, frame, graph) => {
  const { predictionCol, rawPredictionCol } = paramsOf(
    stage,
    z.object({ predictionCol: z.string(), rawPredictionCol: z.string().default('') }),
  );
  const classCount = readdirSync(stage.folder).filter((name) => /^model_\d+$/.test(name)).length;
  const predictions = Array.from({ length: classCount }, (_, at) => {
    const [model] = readStages(join(stage.folder, `model_${at}`));
    const predictor = binary[model!.kind];
    if (predictor === undefined) throw notTaken(stage, model!.kind, 'Fit it with one that Tandem converts.');
    return predictor({ ...model!, params: { ...model!.params, rawPredictionCol: 'rawPrediction' } }, frame, graph);
  });
  const second = graph.places([1]);
  const sure = predictions.map(({ outputs }) => {
    const { value } = outputs.find(({ name }) => name === 'rawPrediction')!;
    return graph.add('Gather', [value, second], { axis: { int: 1 } });
  });
  const raw = graph.add('Concat', sure, { axis: { int: 1 } });
  const outputs: PredictedOutput[] = [
    {
      ...{ name: 'prediction', column: predictionCol, value: graph.asNumber(graph.largest(raw)), width: undefined },
      elementType: 'float64',
    },
  ];
  if (rawPredictionCol !== '') {
    const column = rawPredictionCol;
    outputs.push({ name: 'rawPrediction', column, value: raw, width: classCount, elementType: 'float64' });
  }
  // All models are of one kind and read the same vector, so that they have the same features.
  return { written: predictions[0]!.written, outputs };
};

/** The nearest center, of equally near ones the first. */
export const kMeans: Predictor = (stage, frame, graph) => {
  const { distanceMeasure } = paramsOf(stage, z.object({ distanceMeasure: z.string().default('euclidean') }));
  const saved = dataOf(stage, z.object({ clusterIdx: z.number(), clusterCenter: vector }));
  const centers = saved.sort((one, other) => one.clusterIdx - other.clusterIdx).map((each) => each.clusterCenter);
  const model = new Model(stage, frame, graph, centers[0]!.length);
  let near: string;
  if (distanceMeasure === 'cosine') {
    const units = centers.map((center) => center.map((value) => value / Math.hypot(...center)));
    near = graph.linear(
      model.x,
      units,
      units.map(() => 0),
    );
  } else {
    near = graph.add('Neg', [graph.distances(model.x, centers)]);
  }
  const { written, outputs } = model.outputs(graph.asInt32(graph.largest(near)));
  return { written, outputs: outputs.map((output) => ({ ...output, elementType: 'int32' as const })) };
};

function notTaken({ uid }: SavedStage, what: string, remedy: string): TandemError {
  return new TandemError('BAD_MODEL', `Expected stage ${uid} to be without ${what}, which Tandem does not convert.`, {
    remedy,
  });
}
