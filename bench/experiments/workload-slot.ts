/** A workload's model with a slot full of its features, ready to be scored in batches of any size. */
import { join } from 'node:path';
import { createRunOptions, releaseRunOptions } from '../../src/engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../../src/engines/onnxruntime/session.ts';
import { closeDatabase, Connection, openDatabase } from '../../src/engines/duckdb/database.ts';
import type { Pointer } from '../../src/engines/native.ts';
import { createSharedMemory } from '../../src/engines/wasm.ts';
import { createFeaturizer } from '../../src/featurize/featurizer.ts';
import { planScore } from '../../src/index.ts';
import type { ModelPlan, RunPlan } from '../../src/plan.ts';
import { layOutSlot, slotBytes, type Slot } from '../../src/score/scorer.ts';
import { defaultFolder, ensureWorkloads, type WorkloadName } from '../data.ts';
import { openShard } from '../decode.ts';
import { referenceModel } from '../expected.ts';

/** Shards of the experiments' own: the benchmark's take a minute to make. */
export const slotRowsMax = 131_072;
export interface ShardPlace {
  readonly folder: string;
  readonly rowsPerShard: number;
}
const ownShards: ShardPlace = { folder: join(defaultFolder, 'experiments'), rowsPerShard: slotRowsMax };

export interface WorkloadSlot {
  readonly model: ModelPlan;
  /** Of one thread. */
  readonly session: Pointer;
  readonly runOptions: Pointer;
  readonly slot: Slot;
  close(): void;
}

/** @param slotRows at most the rows of a shard, each of which the slot then holds once */
export async function openWorkloadSlot(
  workload: WorkloadName,
  slotRows: number,
  { folder, rowsPerShard } = ownShards,
): Promise<WorkloadSlot> {
  const { shards, models } = ensureWorkloads(folder, rowsPerShard);
  const plan = await planScore({
    shards: shards.slice(0, 1),
    model: models[workload],
    output: join(folder, 'output'),
    useProfile: false,
    // It is ONNX Runtime that is looked at.
    kernels: 'onnxruntime',
  });
  const { model } = plan;
  const slot = layOutSlot(model, slotRows, createSharedMemory(slotBytes(model, slotRows)).buffer, 0);
  fill(plan, slot);
  const session = openSession(model.path, { intraOpThreads: 1 });
  const runOptions = createRunOptions();
  const close = (): void => {
    releaseRunOptions(runOptions);
    closeSession(session);
  };
  return { model, session, runOptions, slot, close };
}

/** Rows of the shard, each of its own. */
function fill(plan: RunPlan, { inputs, rowCount }: Slot): void {
  const database = openDatabase();
  const connection = new Connection(database);
  const source = openShard(connection, plan, 0);
  const featurizer = createFeaturizer(plan.model.inputs[0]!, 0);
  for (let row = 0; row < rowCount;) {
    const chunk = source.next();
    if (chunk === undefined) throw new RangeError(`Expected the shard to have ${rowCount} rows, got ${row}.`);
    const count = Math.min(chunk.rowCount, rowCount - row);
    featurizer.fill(chunk, 0, count, inputs[0]!, row);
    row += count;
  }
  source.close();
  connection.close();
  closeDatabase(database);
}

/** Every `stride`-th score of the slot's first rows against plain TypeScript: found and expected. */
export function scoresToCompare(workload: WorkloadName, { model, slot }: WorkloadSlot, rows: number, stride: number) {
  const score = referenceModel(workload);
  const { width } = model.inputs[0]!;
  const [inputs, outputs] = [slot.inputs[0] as Float32Array, slot.outputs[0] as Float32Array];
  const picked = Array.from({ length: Math.ceil(rows / stride) }, (_, index) => index * stride);
  return {
    found: picked.map((row) => outputs[row]!),
    expected: picked.map((row) => score(inputs.subarray(row * width, (row + 1) * width))),
  };
}
