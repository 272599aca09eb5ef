/** The peer without columns: parquetjs-lite's rows as objects, features one by one, onnxruntime-node. Not for import. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { JobFeature, JobFile, PeerResult } from './peer.ts';

const batchRows = 1_024;

type Row = Readonly<Record<string, number | bigint>>;

/** As far as it is used here; the package has no types. */
interface ParquetJs {
  readonly ParquetReader: {
    openFile(path: string): Promise<{
      getCursor(columns: readonly string[]): { next(): Promise<Row | null> };
      close(): Promise<void>;
    }>;
  };
  readonly ParquetSchema: new (fields: Readonly<Record<string, object>>) => object;
  readonly ParquetWriter: {
    openFile(
      schema: object,
      path: string,
    ): Promise<{ appendRow(row: object): Promise<void>; setRowGroupSize(rows: number): void; close(): Promise<void> }>;
  };
}

const load = createRequire(import.meta.url);
const { ParquetReader, ParquetSchema, ParquetWriter } = load('parquetjs-lite') as ParquetJs;

const schema = new ParquetSchema({
  id: { type: 'INT64', compression: 'SNAPPY' },
  score: { type: 'FLOAT', compression: 'SNAPPY' },
});

function featureOf(row: Row, { column, mean = 0, std = 1, lo = -Infinity, hi = Infinity }: JobFeature): number {
  return Math.min(Math.max((Number(row[column]) - mean) / std, lo), hi);
}

async function scoreRows(job: JobFile, session: InferenceSession, rows: readonly Row[]): Promise<ArrayLike<number>> {
  const width = job.features.length;
  const values = Float32Array.from(rows.flatMap((row) => job.features.map((feature) => featureOf(row, feature))));
  const outputs = await session.run({ [job.inputName]: new Tensor('float32', values, [rows.length, width]) });
  return outputs[job.outputName]!.data as Float32Array;
}

async function main(): Promise<void> {
  const job = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as JobFile;
  const session = await InferenceSession.create(job.model);
  let firstBatchAt = 0;
  let rowCount = 0;
  for (const shard of job.shards) {
    const reader = await ParquetReader.openFile(shard);
    const cursor = reader.getCursor(['id', ...job.features.map(({ column }) => column)]);
    const writer = await ParquetWriter.openFile(schema, join(job.output, basename(shard)));
    for (let rows: Row[] = [], row = await cursor.next(); row !== null || rows.length > 0; row = await cursor.next()) {
      if (row !== null) rows.push(row);
      if (row !== null && rows.length < batchRows) continue;
      firstBatchAt ||= Date.now() / 1000;
      const scores = await scoreRows(job, session, rows);
      for (const [index, { id }] of rows.entries()) await writer.appendRow({ id, score: scores[index] });
      rowCount += rows.length;
      rows = [];
      if (row === null) break;
    }
    await writer.close();
    await reader.close();
  }
  const versionOf = (name: string): string => (load(`${name}/package.json`) as { version: string }).version;
  const versions = { node: process.version, 'parquetjs-lite': versionOf('parquetjs-lite') };
  const result: PeerResult = {
    rows: rowCount,
    firstBatchAt,
    closedAt: Date.now() / 1000,
    versions: { ...versions, 'onnxruntime-node': versionOf('onnxruntime-node') },
  };
  writeFileSync(job.result, JSON.stringify(result));
}

await main();
