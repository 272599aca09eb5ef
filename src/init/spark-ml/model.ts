/** What predictors share: the features of a model in the graph, and the outputs that Spark's columns are. */
import { z } from 'zod';
import type { Frame } from './columns.ts';
import { writeFeatures, type WrittenFeatures } from './features.ts';
import type { Graph } from './graph.ts';
import { double, paramsOf, type SavedStage } from './saved.ts';

/** A value of the graph that becomes a column. */
export interface PredictedOutput {
  /** Of the model's output. */
  readonly name: string;
  /** As Spark's stage calls it. */
  readonly column: string;
  readonly value: string;
  /** Values in a row; undefined: one, [N]. */
  readonly width: number | undefined;
  readonly elementType: 'float64' | 'int32' | 'string';
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
export class Model {
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
    return graph.asNumber(graph.largest(value));
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
}
