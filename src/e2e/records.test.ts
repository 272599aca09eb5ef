/** What runs tell about themselves: record, trace, metrics. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { metrics } from '../measure/metrics.ts';
import type { ScoreOptions } from '../options.ts';
import { score } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import type { RunRecord } from '../run-record.ts';
import { identityModel } from '../testing/models.ts';
import { softwareGpusVariable } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard } from './counting.ts';
import { caught, Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;
process.env[softwareGpusVariable] = JSON.stringify([
  { memoryBytes: 64 * 2 ** 20, outOfMemoryRuns: [3], runMicroseconds: 500 },
]);

function counting(t: { after(remove: () => void): void }, ...rows: readonly number[]): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  rows.forEach((rowCount, index) => place.shard(`${index}.parquet`, countShard(rowCount)));
  return place;
}

function reportOf({ output }: Workplace): RunRecord {
  return JSON.parse(readFileSync(join(output, '_report.json'), 'utf8')) as RunRecord;
}

interface Event {
  readonly ph: string;
  readonly name: string;
  readonly tid?: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

function eventsOf(path: string): { readonly events: readonly Event[]; readonly tracks: ReadonlyMap<number, string> } {
  const events = JSON.parse(readFileSync(path, 'utf8')) as Event[];
  const named = events.filter(({ name }) => name === 'thread_name');
  return { events, tracks: new Map(named.map(({ tid, args }) => [tid!, String(args['name'])])) };
}

/** Every span lies within the run, and on a track with a name; those of a thread follow each other. */
function checkSpans(path: string, wallSeconds: number): void {
  const { events, tracks } = eventsOf(path);
  const spans = events.filter(({ ph }) => ph === 'X');
  assert.ok(spans.length > 10, `${spans.length} spans`);
  for (const [track, name] of tracks) {
    let endMs = 0;
    for (const { ts, dur } of spans.filter(({ tid }) => tid === track)) {
      assert.ok(ts! >= endMs - 0.01, `${name}: ${ts} before ${endMs}`);
      assert.ok(dur! >= 0);
      endMs = ts! + dur!;
    }
    assert.ok(endMs <= wallSeconds * 1e6, `${name}: ${endMs}`);
    // A thread does one thing at every moment, and its track tells all of it.
    const toldMs = spans.filter(({ tid }) => tid === track).reduce((sum, { dur }) => sum + dur! / 1e3, 0);
    if (/^(?:prep|writer)/.test(name))
      assert.ok(Math.abs(toldMs - endMs / 1e3) < 1, `${name}: ${toldMs} of ${endMs / 1e3}`);
  }
  assert.ok(spans.every(({ tid }) => tracks.has(tid!)));
}

for (const device of ['cpu', 'cuda'] as const) {
  test(`the record of a run, on ${device}`, async (t) => {
    const place = counting(t, 150_001, 0, 50_000);
    const trace = join(place.folder, 'run.json');
    let record: RunRecord | undefined;
    const options: Partial<ScoreOptions> = {
      device,
      trace,
      threads: 2,
      batchSize: 512,
      command: ['tandem', 'score'],
      onRecord: (told) => (record = told),
    };
    const result = await place.score(options);
    assert.ok(record !== undefined);
    assert.equal(record.ended, 'done');
    assert.deepEqual(record.result, result);
    assert.deepEqual(record.command, ['tandem', 'score']);
    assert.deepEqual(record.shards.map(({ name, rowCount }) => [name, rowCount]).sort(), [
      ['0.parquet', 150_001],
      ['1.parquet', 0],
      ['2.parquet', 50_000],
    ]);
    assert.equal(
      record.shards.reduce((sum, { outputBytes }) => sum + outputBytes, 0),
      result.outputBytes,
    );
    assert.ok(record.shards.every(({ doneAtSeconds }) => doneAtSeconds > 0 && doneAtSeconds <= result.wallSeconds));
    const last = record.samples.at(-1)!;
    assert.equal(last.rowsDone, 200_001);
    assert.ok(last.residentBytes > 2 ** 20);
    for (const { shares } of record.samples) {
      assert.ok(Math.abs(Object.values(shares).reduce((sum, share) => sum + share, 0) - 1) < 1e-6);
    }
    if (device === 'cuda') {
      assert.equal(last.queueDepths.length, 1);
      assert.ok(last.deviceBytes[0]! > 0, 'the GPU tells what it holds');
      checkStreams(trace, result.devices[0]!.batchCount);
    }
    checkTimeline(record);
    const { timeline: _, ...rest } = record;
    assert.deepEqual(reportOf(place), JSON.parse(JSON.stringify({ ...rest, profiles: [] })));
    checkSpans(trace, result.wallSeconds);
    const { events, tracks } = eventsOf(trace);
    for (const name of ['prep 0', 'prep 1']) assert.ok([...tracks.values()].includes(name));
    for (const name of ['rows/s', 'memory (MiB)', 'batch size']) {
      assert.ok(
        events.some((event) => event.ph === 'C' && event.name === name),
        name,
      );
    }
    const featurized = events.filter(({ name, args }) => name === 'featurize' && args['shard'] === '0.parquet');
    assert.ok(featurized.length > 0);
  });
}

/** Each batch is copied in, scored and copied out once, in this order. */
function checkStreams(path: string, batchCount: number): void {
  const { events, tracks } = eventsOf(path);
  const spansOf = (name: string): readonly Event[] =>
    events.filter(({ ph, tid }) => ph === 'X' && tracks.get(tid!) === `software:0 ${name}`);
  const streams = ['copy in', 'compute', 'copy out'].map(spansOf);
  assert.deepEqual(
    streams.map((spans) => spans.length),
    [batchCount, batchCount, batchCount],
  );
  const [copiesIn, runs, copiesOut] = streams as [readonly Event[], readonly Event[], readonly Event[]];
  runs.forEach(({ ts, dur, args }, batch) => {
    assert.deepEqual([copiesIn[batch]!.args, copiesOut[batch]!.args], [args, args]);
    assert.ok(copiesIn[batch]!.ts! <= ts! + 10, `batch ${batch}`);
    assert.ok(copiesOut[batch]!.ts! >= ts! + dur! - 10, `batch ${batch}`);
  });
  const rows = runs.reduce((sum, { args }) => sum + Number(args['rows']), 0);
  assert.equal(rows, 200_001);
}

function checkTimeline({ timeline, shards, result }: RunRecord): void {
  assert.ok(timeline !== undefined && timeline.toMs <= result.wallSeconds * 1000 && timeline.fromMs < timeline.toMs);
  const spans = timeline.tracks.flatMap((track) => track.spans);
  assert.ok(spans.length > 0 && spans.length < 2100, `${spans.length}`);
  for (const { startMs, durationMs, shardIndex, firstRow, rowCount } of spans) {
    assert.ok(startMs < timeline.toMs && startMs + durationMs > timeline.fromMs);
    if (shardIndex === undefined) continue;
    // A GPU's batch may go on in another shard.
    const end = result.devices.length > 0 ? firstRow! + 1 : firstRow! + rowCount!;
    assert.ok(rowCount === 0 || end <= shards[shardIndex]!.rowCount, shards[shardIndex]!.name);
  }
}

test('a run that fails leaves its record, and a trace that is whole', async (t) => {
  const place = counting(t, 60_000);
  place.shard('1.parquet', 'SELECT CASE WHEN i = 59999 THEN NULL ELSE i END::FLOAT AS x FROM range(60000) t(i)');
  const trace = join(place.folder, 'run.json');
  const told: RunRecord[] = [];
  await place.fails(
    { code: 'BAD_ROW', place: { shard: '1.parquet', row: 59_999, rowGroup: 0, column: 'x' }, message: /null/ },
    { trace, batchSize: 128, onRecord: (record) => told.push(record) },
  );
  const report = reportOf(place);
  assert.equal(report.ended, 'BAD_ROW');
  assert.deepEqual(
    report.shards.map(({ name }) => name),
    ['0.parquet'],
  );
  assert.ok(report.result.rowsOut >= 60_000 && report.samples.length > 0 && report.result.ledger !== undefined);
  assert.deepEqual(
    told.map(({ ended }) => ended),
    ['BAD_ROW'],
  );
  checkSpans(trace, report.result.wallSeconds + 1);
  // The next run takes the folder as it is.
  place.shard('1.parquet', countShard(10));
  const again = await place.score({ overwrite: true });
  assert.equal(again.rowsOut, 60_010);
  assert.equal(reportOf(place).ended, 'done');
});

test('a run that is stopped says so', async (t) => {
  const place = counting(t, 400_000);
  const stop = new AbortController();
  const onProgress: ScoreOptions['onProgress'] = ({ rowsDone }) => rowsDone > 0 && stop.abort();
  await place.fails(
    { code: 'STOPPED', place: {}, message: /stopped/ },
    { batchSize: 4, signal: stop.signal, onProgress },
  );
  assert.equal(reportOf(place).ended, 'STOPPED');
});

test('a trace cannot lie among the output, and one that cannot be planned leaves none', async (t) => {
  const place = counting(t, 10);
  const usage = { code: 'USAGE', place: {}, message: /Expected --trace to be a file outside of the output/ } as const;
  await place.refuses(usage, { trace: join(place.output, 'run.json') });
  const trace = join(place.folder, 'run.json');
  await caught(score(place.options({ trace, shards: join(place.data, 'none*.parquet') })));
  assert.equal(existsSync(trace), false);
});

test('metrics are served while the run lasts, all that are declared and no others', async (t) => {
  const place = counting(t, 300_000);
  let url = '';
  const texts: Promise<string>[] = [];
  const fetchText = async (): Promise<string> => (await fetch(url)).text();
  const result = await place.score({
    device: 'cuda',
    threads: 2,
    batchSize: 512,
    metrics: { host: '127.0.0.1', port: 0, onListening: (told) => (url = told) },
    onProgress: ({ rowsDone, phase }) => {
      if (phase === 'planning' || (rowsDone > 0 && phase === 'scoring')) texts.push(fetchText());
    },
  });
  const [early = '', ...later] = await Promise.all(texts);
  assert.doesNotMatch(early, /^tandem/m, 'nothing is known before there is a plan');
  const text = later.at(-1)!;
  const declared = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => [name, kind]);
  assert.deepEqual(
    declared,
    metrics.map(({ name, kind }) => [name, kind]),
  );
  const valueOf = (start: string): number => {
    const line = text.split('\n').find((each) => each.startsWith(`${start} `));
    assert.ok(line !== undefined, start);
    return Number(line.slice(start.length));
  };
  const rows = valueOf('tandem_rows_total');
  assert.ok(rows > 0 && rows <= result.rowsOut);
  assert.equal(valueOf('tandem_rows_planned'), 300_000);
  assert.equal(valueOf('tandem_batch_size_rows'), 512);
  assert.ok(valueOf('tandem_resident_memory_bytes') > 2 ** 20);
  assert.ok(valueOf('tandem_device_memory_bytes{device="software:0"}') > 0);
  assert.equal(valueOf('tandem_out_of_memory_splits_total{device="software:0"}'), 1);
  const seconds = [...text.matchAll(/^tandem_thread_seconds\{thread="prep 0",activity="\w+"\} (.*)$/gm)];
  const sum = seconds.reduce((total, [, value]) => total + Number(value), 0);
  assert.ok(sum > 0 && sum <= result.wallSeconds, `${sum}`);
  // The run is over, and so is the server.
  await assert.rejects(fetchText());
});

test('an address that is taken is wrong usage, before any work', async (t) => {
  const place = counting(t, 10);
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const usage = { code: 'USAGE', place: {}, message: /Expected --metrics to be an address that is free/ } as const;
  await place.refuses(usage, { metrics: { host: '127.0.0.1', port } });
  const elsewhere = {
    code: 'USAGE',
    place: {},
    message: /to be an address of this machine, got `192\.0\.2\.1:9464`/,
  } as const;
  await place.refuses({ ...elsewhere, remedy: /host:port/ }, { metrics: { host: '192.0.2.1', port: 9464 } });
  assert.equal(existsSync(place.output), false);
});
