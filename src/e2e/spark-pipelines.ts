/** Saved Spark ML pipelines as model folders of tests, and their scores beside Spark's. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { goldenPath } from '../golden/folders.ts';
import { convertSparkMl, type ConvertedPipeline, type ConvertOptions } from '../init/spark-ml/convert.ts';
import type { Row, Workplace } from './workplace.ts';

/** Of src/golden/make_spark_ml.py. @param version of Spark, as the folders have it */
export function savedPath(version: string, name: string, ...names: readonly string[]): string {
  return goldenPath(`spark-ml-${version}`, name, ...names);
}

/** Converts a saved pipeline into the model folder of a test. */
export function convertInto(place: Workplace, folder: string, options: ConvertOptions = {}): ConvertedPipeline {
  const converted = convertSparkMl(folder, options);
  mkdirSync(place.model, { recursive: true });
  writeFileSync(join(place.model, converted.contract.model), converted.model);
  place.writeContract(converted.contract);
  return converted;
}

/** Writes the metadata of a stage as Spark does; gives its folder. */
export function saveStage(folder: string, className: string, uid: string, params: object): string {
  const metadata = { class: `org.apache.spark.ml.${className}`, sparkVersion: '4.3.0', uid, paramMap: params };
  mkdirSync(join(folder, 'metadata'), { recursive: true });
  writeFileSync(join(folder, 'metadata', 'part-00000'), `${JSON.stringify({ ...metadata, defaultParamMap: {} })}\n`);
  return folder;
}

/** Float64 throughout: nearer than the 1e-6 that is promised. */
const tolerance = 1e-12;

/** The same rows, and in each of Spark's columns the same scores. */
export function assertSameScores(found: readonly Row[], expected: readonly Row[]): void {
  assert.deepEqual(
    found.map(({ row }) => row),
    expected.map(({ row }) => row),
  );
  expected.forEach((scores, at) => {
    for (const [column, score] of Object.entries(scores)) {
      const other = found[at]![column];
      const where = `row ${scores['row']}, ${column}: ${other}, Spark has ${score}`;
      if (typeof score === 'string' && !score.startsWith('[')) {
        assert.equal(other, score, where);
        continue;
      }
      const [mine, theirs] = [numbersOf(other), numbersOf(score)];
      assert.equal(mine.length, theirs.length, where);
      theirs.forEach((value, i) => {
        const isSame =
          Object.is(value, mine[i]) || Math.abs(mine[i]! - value) <= tolerance * Math.max(1, Math.abs(value));
        assert.ok(isSame, where);
      });
    }
  });
}

/** A number, or the numbers of a list. */
function numbersOf(value: Row[string] | undefined): number[] {
  if (typeof value !== 'string' || !value.startsWith('[')) return [Number(value)];
  return value
    .slice(1, -1)
    .split(', ')
    .map((text) => Number(text));
}
