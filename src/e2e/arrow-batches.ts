/** What tests of `scoreBatches` share: batches whose rows count, and what came of them. */
import assert from 'node:assert/strict';
import { Field, Float32, RecordBatch, Schema, Struct, makeData } from 'apache-arrow';
import { TandemError, type ErrorPlace } from '../errors.ts';
import { scoreBatches, type ScoreBatchesOptions } from '../index.ts';
import { identityModel } from '../testing/models.ts';
import { Workplace } from './workplace.ts';

export type Batches = AsyncIterable<RecordBatch> | Iterable<RecordBatch>;

export async function scoreAll(batches: Batches, options: ScoreBatchesOptions): Promise<RecordBatch[]> {
  const scored: RecordBatch[] = [];
  for await (const batch of scoreBatches(batches, options)) scored.push(batch);
  return scored;
}

export function valuesOf(batches: readonly RecordBatch[], name: string): unknown[] {
  return batches.flatMap((batch) => [...batch.getChild(name)!]);
}

/** Batches of these sizes; x counts on through all of them. */
export function counting(sizes: readonly number[]): RecordBatch[] {
  let next = 0;
  return sizes.map((size) => countFrom((next += size) - size, size));
}

/** A batch may be one without rows, which a table cannot hold. */
export function countFrom(first: number, size: number): RecordBatch {
  const values = Float32Array.from({ length: size }, (_, row) => first + row);
  const data = makeData({ type: new Float32(), length: size, nullCount: 0, data: values });
  const type = new Struct([new Field('x', new Float32(), true)]);
  return new RecordBatch(new Schema(type.children), makeData({ type, length: size, nullCount: 0, children: [data] }));
}

/** A model folder whose y is x. */
export function identityPlace(t: { after(remove: () => void): void }): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] }, outputs: { y: 'y' } });
  return place;
}

export const failsWith =
  (code: string, place: ErrorPlace, message: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TandemError, String(error));
    assert.match(error.message, message);
    assert.deepEqual([error.code, error.place], [code, place]);
    return true;
  };
