/** Featurize: the product's kernels, against the plainest loop that anyone would write by hand for just this work. */
import type { Chunk, ColumnVector, NumberVector, TensorLayout } from '../src/batch.ts';
import { closeDatabase, Connection, openDatabase } from '../src/engines/duckdb/database.ts';
import { vectorRows } from '../src/engines/duckdb/types.ts';
import { createSharedMemory, type KernelMemory } from '../src/engines/wasm.ts';
import { createFeaturizer, type Featurizer } from '../src/featurize/featurizer.ts';
import { featurizeRow } from '../src/featurize/reference.ts';
import type { RunPlan } from '../src/plan.ts';
import { sharedBytes, threadKernels } from '../src/planning/kernel-bytes.ts';
import { layOutSlot } from '../src/score/scorer.ts';
import { openShard } from './decode.ts';
import type { Stage, StageTask } from './measure.ts';

/** Times that a chunk is featurized in a row, so that the clock costs nothing. */
const repeats = 100;

/** A copy of the shard's first rows, where kernels reach it if there are any; a reader overwrites its own. */
export function firstChunk(plan: RunPlan, shardIndex: number, kernels?: KernelMemory): Chunk {
  const database = openDatabase();
  const connection = new Connection(database);
  const source = openShard(connection, plan, shardIndex);
  const chunk = source.next()!;
  const vectors = chunk.vectors.map((vector): ColumnVector => {
    const { values, validity } = vector as NumberVector;
    if (!(values instanceof Float32Array)) throw new Error('Expected float32 vectors.');
    const copy =
      kernels === undefined
        ? new Float32Array(values.length)
        : new Float32Array(kernels.memory.buffer, kernels.allocate(values.byteLength), values.length);
    copy.set(values);
    return { kind: 'number', values: copy, validity: validity?.slice() ?? null };
  });
  source.close();
  connection.close();
  closeDatabase(database);
  return { rowCount: chunk.rowCount, vectors };
}

export function openFeaturize({ plan, threadIndex }: StageTask): Stage {
  const layout = plan.model.inputs[0]!;
  const memory = createSharedMemory(sharedBytes(plan.model, vectorRows, 1, 1));
  const kernels = threadKernels(memory, plan.model, vectorRows, 1, 0);
  const chunk = firstChunk(plan, threadIndex % plan.shards.length, kernels);
  const featurizer = createFeaturizer(layout, 0, kernels);
  const slot = layOutSlot(plan.model, vectorRows, memory.buffer, 0).inputs[0] as Float32Array;
  const byHand = handWritten(layout, chunk);
  const repeated = (work: () => void) => (): number => {
    for (let repeat = 0; repeat < repeats; repeat++) work();
    return repeats * chunk.rowCount;
  };
  return {
    check: () => checkBits(featurizer, chunk, slot),
    contestants: {
      ours: repeated(() => featurizer.fill(chunk, 0, chunk.rowCount, slot, 0)),
      limit: repeated(byHand),
    },
    close() {},
  };
}

/** Standardize, clip, interleave: column by column with constants in hand, multiplying by the reciprocal. */
function handWritten(layout: TensorLayout, chunk: Chunk): () => void {
  const columns = chunk.vectors.map((vector) => (vector as NumberVector).values as Float32Array);
  const target = new Float32Array(chunk.rowCount * columns.length);
  const steps = layout.features.map((feature) => (feature.kind === 'number' ? feature.steps[0] : undefined));
  const width = columns.length;
  return () => {
    for (let c = 0; c < width; c++) {
      const column = columns[c]!;
      const step = steps[c];
      const rows = chunk.rowCount;
      if (step?.kind === 'standardize') {
        const mean = step.mean;
        const inverse = 1 / step.std;
        for (let row = 0, at = c; row < rows; row++, at += width) {
          const z = (column[row]! - mean) * inverse;
          target[at] = z > 3 ? 3 : z < -3 ? -3 : z;
        }
      } else for (let row = 0, at = c; row < rows; row++, at += width) target[at] = column[row]!;
    }
  };
}

/** Every bit of every value of the chunk. */
function checkBits(featurizer: Featurizer, chunk: Chunk, slot: Float32Array): void {
  featurizer.fill(chunk, 0, chunk.rowCount, slot, 0);
  const { layout } = featurizer;
  for (let row = 0; row < chunk.rowCount; row++) {
    featurizeRow(layout, chunk.vectors, row).forEach((expected, feature) => {
      const found = slot[row * layout.width + feature];
      if (Object.is(found, expected)) return;
      throw new Error(`Expected row ${row} of feature ${feature} to be ${expected}, got ${found}.`);
    });
  }
}
