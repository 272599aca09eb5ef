/**
 * A model as Spark ML saves it: a folder for each stage, with its parameters as JSON under `metadata` and what it has
 * learned as Parquet under `data`. The form is that of org.apache.spark.ml.util.ReadWrite, the same in Spark 3 and 4.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { closeDatabase, Connection, DuckDbError, openDatabase, quotePath } from '../../engines/duckdb/database.ts';
import { TandemError } from '../../errors.ts';

/** One fitted stage. */
export interface SavedStage {
  /** Its class without the package: `StringIndexerModel`. */
  readonly kind: string;
  /** As Spark names it: `StringIndexer_2cfadee1b80a`. */
  readonly uid: string;
  readonly folder: string;
  /** Parameters as they are set, else their defaults; as in JSON. */
  readonly params: Readonly<Record<string, unknown>>;
  /** Names of the parameters that somebody has set. */
  readonly isSet: ReadonlySet<string>;
  /** The whole of the JSON: some models keep numbers beside their parameters. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

const metadataForm = z.looseObject({
  class: z.string(),
  uid: z.string(),
  paramMap: z.record(z.string(), z.unknown()),
  /** Spark 2.3 and older wrote all parameters into the other map. */
  defaultParamMap: z.record(z.string(), z.unknown()).default({}),
});

/** A number; JSON has no others than the finite ones, for which Spark writes these texts. */
export const double = z.union([
  z.number(),
  z.enum(['NaN', 'Inf', '-Inf']).transform((text) => (text === 'NaN' ? NaN : text === 'Inf' ? Infinity : -Infinity)),
]);

/** A vector as VectorUDT lays it out, or as a parameter holds it; becomes all of its values. */
export const vector = z
  .object({
    type: z.literal([0, 1]),
    size: z.number().nullish(),
    indices: z.array(z.number()).nullish(),
    values: z.array(double),
  })
  .transform(({ size, indices, values }) => {
    if (!indices || !size) return values;
    const all = new Array<number>(size).fill(0);
    indices.forEach((index, at) => (all[index] = values[at]!));
    return all;
  });

/** A matrix as MatrixUDT lays it out; becomes its rows. */
export const matrix = z
  .object({
    type: z.literal([0, 1]),
    numRows: z.number(),
    numCols: z.number(),
    colPtrs: z.array(z.number()).nullable(),
    rowIndices: z.array(z.number()).nullable(),
    values: z.array(z.number()),
    isTransposed: z.boolean(),
  })
  .transform(({ numRows, numCols, colPtrs, rowIndices, values, isTransposed }) => {
    const rows = Array.from({ length: numRows }, () => new Array<number>(numCols).fill(0));
    const set = (major: number, minor: number, value: number): void => {
      rows[isTransposed ? major : minor]![isTransposed ? minor : major] = value;
    };
    const minorSize = isTransposed ? numCols : numRows;
    if (colPtrs === null || rowIndices === null) {
      values.forEach((value, at) => set(Math.floor(at / minorSize), at % minorSize, value));
      return rows;
    }
    colPtrs.slice(1).forEach((end, major) => {
      for (let at = colPtrs[major]!; at < end; at++) set(major, rowIndices[at]!, values[at]!);
    });
    return rows;
  });

/**
 * The stages of a saved PipelineModel in their order, those of pipelines in it among them; a single saved model is a
 * pipeline of one, and of a search for parameters the best model counts.
 * @throws TandemError BAD_MODEL where the folder holds something else
 */
export function readStages(folder: string): SavedStage[] {
  const stage = readStage(folder);
  if (stage.kind === 'CrossValidatorModel' || stage.kind === 'TrainValidationSplitModel') {
    return readStages(join(folder, 'bestModel'));
  }
  if (stage.kind === 'Pipeline') {
    throw new TandemError('BAD_MODEL', `Expected ${folder} to be a fitted PipelineModel, got a Pipeline.`, {
      remedy: 'Save what fit() returns: pipeline.fit(table).save(path).',
    });
  }
  if (stage.kind !== 'PipelineModel') return [stage];
  const { stageUids } = paramsOf(stage, z.object({ stageUids: z.array(z.string()) }));
  const stages = join(folder, 'stages');
  const names = existsSync(stages) ? readdirSync(stages) : [];
  return stageUids.flatMap((uid) => {
    const name = names.find((each) => each.replace(/^\d+_/, '') === uid);
    if (name === undefined) throw wrong(stages, `hold a folder of stage ${uid}`, names.join(', ') || 'nothing');
    return readStages(join(stages, name));
  });
}

function readStage(folder: string): SavedStage {
  const path = join(folder, 'metadata');
  const part = existsSync(path) ? readdirSync(path).find((name) => name.startsWith('part-')) : undefined;
  if (part === undefined) {
    const inner =
      statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
        ? readdirSync(folder).filter((name) => existsSync(join(folder, name, 'metadata')))
        : [];
    const below =
      inner.length === 0 ? '' : `; in it are saved models: ${inner.map((name) => join(folder, name)).join(', ')}`;
    throw wrong(folder, 'be a saved Spark ML model', `no metadata/part-00000 in it${below}`);
  }
  const text = readFileSync(join(path, part), 'utf8');
  const parsed = metadataForm.safeParse(parseJson(text));
  if (!parsed.success) throw wrong(join(path, part), 'be the JSON of a Spark ML stage', text.slice(0, 80));
  const { class: className, uid, paramMap, defaultParamMap } = parsed.data;
  return {
    kind: className.slice(className.lastIndexOf('.') + 1),
    uid,
    folder,
    params: { ...defaultParamMap, ...paramMap },
    isSet: new Set(Object.keys(paramMap)),
    metadata: parsed.data,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Parameters in the form that Spark gives them. @throws TandemError BAD_MODEL */
export function paramsOf<Form extends z.ZodType>(stage: SavedStage, form: Form): z.output<Form> {
  return checked(form, stage.params, stage, 'parameters');
}

/** What a model keeps beside its parameters. @throws TandemError BAD_MODEL */
export function metadataOf<Form extends z.ZodType>(stage: SavedStage, form: Form): z.output<Form> {
  return checked(form, stage.metadata, stage, 'metadata');
}

/** Numbers are written as text and read back, which gives the same bits. @throws TandemError BAD_MODEL */
export function dataOf<Form extends z.ZodType>(stage: SavedStage, form: Form, name = 'data'): z.output<Form>[] {
  const folder = join(stage.folder, name);
  const parts = existsSync(folder) ? readdirSync(folder).filter((each) => /^part-.*\.parquet$/.test(each)) : [];
  if (parts.length === 0) throw wrong(stage.folder, `have ${name}/part-*.parquet`, 'none');
  const paths = parts.sort().map((part) => quotePath(join(folder, part)));
  const database = openDatabase();
  const connection = new Connection(database);
  try {
    const sql = `SELECT to_json(saved) FROM read_parquet([${paths.join(', ')}], hive_partitioning=false) AS saved`;
    return connection.rows(sql).map(([text]) => checked(form, parseJson(String(text)), stage, name));
  } catch (error) {
    if (!(error instanceof DuckDbError)) throw error;
    throw wrong(folder, 'be Parquet files', error.message.split('\n')[0] ?? '', error);
  } finally {
    connection.close();
    closeDatabase(database);
  }
}

/** Of a model that has learned one row of things. @throws TandemError BAD_MODEL */
export function oneOf<Form extends z.ZodType>(stage: SavedStage, form: Form): z.output<Form> {
  const rows = dataOf(stage, form);
  if (rows.length !== 1) throw wrong(join(stage.folder, 'data'), 'hold one row', `${rows.length} rows`);
  return rows[0]!;
}

function checked<Form extends z.ZodType>(form: Form, value: unknown, stage: SavedStage, what: string): z.output<Form> {
  const parsed = form.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const at = [what, ...issue.path.map(String)].join('.');
  throw new TandemError(
    'BAD_MODEL',
    `Expected ${at} of stage ${stage.uid} to be as Spark saves it: ${issue.message}.`,
    {
      remedy: `Save the model again with Spark 3 or 4 (this one was saved by ${String(stage.metadata['sparkVersion'])}).`,
    },
  );
}

function wrong(path: string, expected: string, got: string, cause?: unknown): TandemError {
  return new TandemError('BAD_MODEL', `Expected ${path} to ${expected}, got ${got}.`, {
    remedy: 'Give the folder that PipelineModel.save(path) wrote, whole and on a mounted file system.',
    ...(cause === undefined ? {} : { cause }),
  });
}
