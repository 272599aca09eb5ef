/** A saved Spark ML pipeline as a contract and a model, without Spark. */
import { z } from 'zod';
import type { FeatureFile } from '../../contract/schema.ts';
import type { TensorSpec } from '../../engines/onnxruntime/write-model.ts';
import { TandemError } from '../../errors.ts';
import { columnKey, Frame, type VectorColumn } from './columns.ts';
import { inputName, writeFeatures } from './features.ts';
import { Graph } from './graph.ts';
import type { PredictedOutput, Prediction, Predictor } from './model.ts';
import {
  boostedClassification,
  linearRegression,
  linearSvc,
  logisticRegression,
  treeClassification,
  treeRegression,
} from './predictors.ts';
import {
  factorizationClassification,
  factorizationRegression,
  generalizedLinearRegression,
  kMeans,
  naiveBayes,
  oneVsRest,
  perceptron,
  survivalRegression,
} from './further-predictors.ts';
import { paramsOf, readStages, type SavedStage } from './saved.ts';
import { bucketize, encodeOneHot, hintSize, impute, indexStrings } from './scalar-stages.ts';
import { remedyFor } from './unsupported.ts';
import {
  assemble,
  binarize,
  indexVector,
  multiply,
  normalize,
  project,
  scaleByLargest,
  scaleByQuantiles,
  scaleToRange,
  select,
  slice,
  standardize,
} from './vector-stages.ts';

export interface ConvertOptions {
  /** Whether `rawPrediction` becomes a column too. Default: false. */
  readonly rawPrediction?: boolean;
  /** Of all of the shards' columns, as DuckDB names them (INTEGER, DOUBLE): they make the contract plainer. */
  readonly columnTypes?: ReadonlyMap<string, string>;
}

/** What tandem.json holds; the model is `model.onnx` beside it. */
export interface PipelineContract {
  readonly version: 1;
  readonly model: string;
  /** One, [N, width] of float64. */
  readonly inputs: Readonly<Record<string, readonly FeatureFile[]>>;
  /** The rows that the pipeline keeps; undefined: all. */
  readonly where: string | undefined;
  readonly outputs: Readonly<Record<string, string>>;
}

export interface ConvertedPipeline {
  readonly contract: PipelineContract;
  /** Values of the input in a row. */
  readonly width: number;
  /** An ONNX file. */
  readonly model: Uint8Array;
  /** Sentences on what differs from Spark and what was left out. */
  readonly notes: readonly string[];
}

const transformers: Readonly<Record<string, (stage: SavedStage, frame: Frame) => void>> = {
  StringIndexerModel: indexStrings,
  OneHotEncoderModel: encodeOneHot,
  Bucketizer: bucketize,
  ImputerModel: impute,
  VectorSizeHint: hintSize,
  VectorAssembler: assemble,
  StandardScalerModel: standardize,
  MinMaxScalerModel: scaleToRange,
  MaxAbsScalerModel: scaleByLargest,
  RobustScalerModel: scaleByQuantiles,
  ElementwiseProduct: multiply,
  Binarizer: binarize,
  PCAModel: project,
  ChiSqSelectorModel: select,
  UnivariateFeatureSelectorModel: select,
  VarianceThresholdSelectorModel: select,
  Normalizer: normalize,
  VectorSlicer: slice,
  VectorIndexerModel: indexVector,
};

const predictors: Readonly<Record<string, Predictor>> = {
  LogisticRegressionModel: logisticRegression,
  LinearRegressionModel: linearRegression,
  LinearSVCModel: linearSvc,
  DecisionTreeClassificationModel: treeClassification,
  DecisionTreeRegressionModel: treeRegression,
  RandomForestClassificationModel: treeClassification,
  RandomForestRegressionModel: treeRegression,
  GBTClassificationModel: boostedClassification,
  GBTRegressionModel: treeRegression,
  GeneralizedLinearRegressionModel: generalizedLinearRegression,
  AFTSurvivalRegressionModel: survivalRegression,
  NaiveBayesModel: naiveBayes,
  MultilayerPerceptronClassificationModel: perceptron,
  FMClassificationModel: factorizationClassification,
  FMRegressionModel: factorizationRegression,
  OneVsRestModel: oneVsRest,
  KMeansModel: kMeans,
};

const labelsOfIndices = 'IndexToString';

/**
 * The scores are the columns that the predictor adds (prediction, probability), or without one the vector of the last
 * stage. Stages that they do not need are left out.
 * @param folder what PipelineModel.save wrote
 * @throws TandemError BAD_MODEL for what is no such folder, and for stages that Tandem does not convert, all of them named
 */
export function convertSparkMl(folder: string, options: ConvertOptions = {}): ConvertedPipeline {
  const stages = neededStages(readStages(folder));
  const graph = new Graph();
  const frame = new Frame(options.columnTypes);
  let prediction: Prediction | undefined;
  const outputs: PredictedOutput[] = [];
  for (const stage of stages.needed) {
    const predictor = predictors[stage.kind];
    if (predictor !== undefined) {
      prediction = predictor(stage, frame, graph);
      outputs.push(...prediction.outputs.filter(({ name }) => name !== 'rawPrediction' || options.rawPrediction));
      for (const { column } of prediction.outputs) frame.set(column, { kind: 'output' });
    } else if (stage.kind === labelsOfIndices) {
      outputs.push(labelOutput(stage, outputs, graph));
    } else {
      transformers[stage.kind]!(stage, frame);
    }
  }
  prediction ??= vectorAlone(stages.needed.at(-1)!, frame, graph);
  if (outputs.length === 0) outputs.push(...prediction.outputs);
  for (const { name, value } of outputs) graph.name(value, name);
  return {
    contract: contractOf(prediction, outputs, frame.where),
    width: prediction.written.width,
    model: graph.toBytes([tensorOf({ ...prediction.written, name: inputName })], outputs.map(tensorOf)),
    notes: [...frame.notes, ...nanNotes(frame), ...stages.notes],
  };
}

function tensorOf({ name, width, elementType = 'float64' }: Partial<PredictedOutput> & { name: string }): TensorSpec {
  return { name, elementType, shape: width === undefined ? ['N'] : ['N', width] };
}

function contractOf(
  { written }: Prediction,
  outputs: readonly PredictedOutput[],
  where: readonly string[],
): PipelineContract {
  const conditions = [...new Set(where)];
  return {
    version: 1,
    model: 'model.onnx',
    inputs: { [inputName]: written.features },
    where: conditions.length === 0 ? undefined : conditions.join(' AND '),
    outputs: Object.fromEntries(outputs.map(({ name, column }) => [name, column])),
  };
}

function nanNotes({ nanColumns }: Frame): string[] {
  if (nanColumns.size === 0) return [];
  const columns = [...nanColumns].join(', ');
  return [`Spark stops at a NaN in ${columns}; Tandem scores the row (at a null both stop).`];
}

/** A pipeline without a predictor makes a vector. */
function vectorAlone(stage: SavedStage, frame: Frame, graph: Graph): Prediction {
  const { outputCol } = paramsOf(stage, z.object({ outputCol: z.string() }));
  const vector: VectorColumn = frame.vector(outputCol, undefined, stage);
  const written = writeFeatures(vector, graph, false);
  const width = vector.slots.length;
  const output = { name: 'vector', column: outputCol, value: written.value, width, elementType: 'float64' } as const;
  return { written, outputs: [output] };
}

/** IndexToString of a prediction. */
function labelOutput(stage: SavedStage, outputs: readonly PredictedOutput[], graph: Graph): PredictedOutput {
  const form = z.object({ inputCol: z.string(), outputCol: z.string(), labels: z.array(z.string()).default([]) });
  const { inputCol, outputCol, labels } = paramsOf(stage, form);
  const input = outputs.find(({ column }) => columnKey(column) === columnKey(inputCol));
  if (input?.name !== 'prediction' || labels.length === 0) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected stage ${stage.uid} to have labels of its own for a prediction, got ${labels.length} for ${inputCol}.`,
      { remedy: 'Save the pipeline with IndexToString(labels=...) on the predictionCol, or without the stage.' },
    );
  }
  const int64 = 7;
  const places = graph.add('Cast', [input.value], { to: { int: int64 } });
  const value = graph.add('Gather', [graph.texts(labels), places]);
  return { name: 'label', column: outputCol, value, width: undefined, elementType: 'string' };
}

interface NeededStages {
  readonly needed: readonly SavedStage[];
  readonly notes: readonly string[];
}

const columnsForm = z.object({
  inputCol: z.string().optional(),
  inputCols: z.array(z.string()).optional(),
  outputCol: z.string().optional(),
  outputCols: z.array(z.string()).optional(),
  featuresCol: z.string().optional(),
  predictionCol: z.string().optional(),
});

/**
 * From the last stage backwards those whose outputs are read. The indexer of the label, for one, has no part in scores.
 * @throws TandemError BAD_MODEL
 */
function neededStages(stages: readonly SavedStage[]): NeededStages {
  const isPredictor = ({ kind }: SavedStage): boolean => kind in predictors;
  const isKnown = (stage: SavedStage): boolean =>
    isPredictor(stage) || stage.kind in transformers || stage.kind === labelsOfIndices;
  if (stages.length === 0) {
    throw new TandemError('BAD_MODEL', 'Expected the pipeline to have stages, got none.', {
      remedy: 'Save what fit() returns of a pipeline with a model in it.',
    });
  }
  const predicting = stages.filter(isPredictor);
  const predicted = new Set(predicting.map(({ params }) => columnKey(String(params['predictionCol']))));
  const read = new Set<string>();
  const needed: SavedStage[] = [];
  const left: SavedStage[] = [];
  for (const stage of [...stages].reverse()) {
    const { inputCol, inputCols, outputCol, outputCols, featuresCol } = paramsOf(stage, columnsForm);
    const made = [...(outputCols ?? []), ...(outputCol === undefined ? [] : [outputCol])];
    const isLast = predicting.length === 0 && stage === stages.at(-1);
    const isLabel = stage.kind === labelsOfIndices && predicted.has(columnKey(inputCol ?? ''));
    const isResult = isPredictor(stage) || isLabel || isLast;
    const isHint = stage.kind === 'VectorSizeHint' && read.has(columnKey(inputCol ?? ''));
    // What says no output may make any column.
    if (!isResult && !isHint && made.length > 0 && !made.some((name) => read.has(columnKey(name)))) {
      left.unshift(stage);
      continue;
    }
    needed.unshift(stage);
    for (const name of [inputCol, ...(inputCols ?? []), featuresCol]) if (name !== undefined) read.add(columnKey(name));
  }
  const unknown = needed.filter((stage) => !isKnown(stage));
  if (unknown.length > 0) throw notConverted(unknown);
  if (predicting.length > 1) throw severalPredictors(predicting);
  const notes = left.map(({ uid, params }) => {
    const drops = params['handleInvalid'] === 'skip' ? ', also the rows that it would drop' : '';
    return `${uid} is left out, since no score needs it${drops}.`;
  });
  return { needed, notes };
}

function notConverted(stages: readonly SavedStage[]): TandemError {
  const named = stages.map(({ uid, kind }) => `${kind} (${uid})`).join(', ');
  return new TandemError('BAD_MODEL', `Expected all stages to be ones that Tandem converts, got ${named}.`, {
    remedy: [...new Set(stages.map(({ kind }) => remedyFor(kind)))].join(' '),
  });
}

function severalPredictors(stages: readonly SavedStage[]): TandemError {
  const named = stages.map(({ uid }) => uid).join(', ');
  return new TandemError('BAD_MODEL', `Expected the pipeline to have one predictor, got ${named}.`, {
    remedy: 'Save a pipeline for each, and score them one after the other.',
  });
}
