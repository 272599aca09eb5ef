/** Output folders that hold something else, cannot be written, or are full. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultInputModel, identityModel } from '../testing/models.ts';
import { assertOnlyWholeShards, columnOf, listFiles, Workplace, type Failure } from './workplace.ts';

const feedX = { inputs: { x: [{ column: 'x' }] } };

function place(t: { after(remove: () => void): void }): Workplace {
  const made = new Workplace(t);
  made.writeModel(identityModel('float32'), feedX);
  made.shard('a.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(100) rows(i)');
  made.shard('sub/b.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(200) rows(i)');
  return made;
}

const foreignFiles = [
  'notes.txt',
  'old.parquet',
  'sub/c.parquet',
  '_manifests/readme.md',
  'a.parquet.tmp-1',
  '_plan.json.bak',
  '.hidden',
];

for (const name of foreignFiles) {
  test(`a folder that holds ${name}`, async (t) => {
    const here = place(t);
    const path = join(here.output, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, 'precious');
    const failure: Failure = {
      code: 'BAD_OUTPUT',
      place: {},
      message: /Expected the output folder .* to hold nothing but Tandem's files, got /,
    };
    for (const overwrite of [false, true]) {
      const { message } = await here.refuses(failure, { overwrite });
      assert.ok(message.includes(name), message);
    }
    assert.equal(readFileSync(path, 'utf8'), 'precious');
  });
}

test('the folder of the shards', async (t) => {
  const here = place(t);
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /a\.parquet/ }, { output: here.data });
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /a\.parquet/ }, { output: here.data, overwrite: true });
});

/** What another run differs in; the folder stays as it was. */
const otherRuns: readonly (readonly [string, (here: Workplace) => Parameters<Workplace['score']>[0], Failure])[] = [
  [
    'another model',
    (here) => {
      here.writeModel(defaultInputModel(3));
      return {};
    },
    { code: 'BAD_OUTPUT', place: {}, message: /got the output of another model\./, remedy: /--overwrite/ },
  ],
  [
    'another contract',
    (here) => {
      here.writeContract({ inputs: { x: [{ column: 'x', clip: [0, 5] }] } });
      return {};
    },
    { code: 'BAD_OUTPUT', place: {}, message: /got the output of another contract \(tandem\.json\)\./ },
  ],
  [
    'another keep list',
    () => ({ keep: ['x'] }),
    { code: 'BAD_OUTPUT', place: {}, message: /got the output of other kept columns \(all\)/ },
  ],
  [
    'a shard that has changed',
    (here) => {
      here.shard('a.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(101) rows(i)');
      return {};
    },
    { code: 'BAD_OUTPUT', place: { shard: 'a.parquet' }, message: /100 rows\), got .*101 rows, modified since/ },
  ],
  [
    'a shard that is gone',
    (here) => {
      rmSync(join(here.data, 'sub/b.parquet'));
      return {};
    },
    { code: 'BAD_OUTPUT', place: {}, message: /another input: sub\/b\.parquet/ },
  ],
];

for (const [what, change, failure] of otherRuns) {
  test(`the output of a run with ${what}`, async (t) => {
    const here = place(t);
    await here.score();
    const changes = change(here) ?? {};
    await here.refuses(failure, changes);
    assert.deepEqual(assertOnlyWholeShards(here.output), ['a.parquet', 'sub/b.parquet']);
    await here.score({ ...changes, overwrite: true });
  });
}

test('a new shard beside the old ones is scored, the old ones are not scored again', async (t) => {
  const here = place(t);
  await here.score();
  here.shard('new.parquet', 'SELECT 7::FLOAT AS x, 1 AS kept');
  const result = await here.score();
  assert.deepEqual([result.shards, result.shardsSkipped, result.rowsOut], [1, 2, 1]);
});

test('a contract that says the same in other words is the same', async (t) => {
  const here = place(t);
  await here.score();
  writeFileSync(
    join(here.model, 'tandem.json'),
    '{ "inputs": { "x": { "column": "x" } },\n "model": "model.onnx", "version": 1 }',
  );
  assert.equal((await here.score()).shardsSkipped, 2);
});

test('overwrite removes what Tandem wrote, and the folders that are empty then', async (t) => {
  const here = place(t);
  await here.score();
  const only = here.shard('../other/z.parquet', 'SELECT 5::FLOAT AS x');
  await here.score({ shards: only, overwrite: true });
  assert.deepEqual(assertOnlyWholeShards(here.output), ['z.parquet']);
  assert.equal(existsSync(join(here.output, 'sub')), false);
  assert.deepEqual(columnOf(here.rows('z.parquet'), 'y'), [5]);
});

test('a manifest of a newer version, and one that is none', async (t) => {
  const here = place(t);
  await here.score();
  const path = join(here.output, '_manifests/a.parquet.json');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('"version":1', '"version":2'));
  await here.refuses({
    code: 'BAD_OUTPUT',
    place: {},
    message: /a\.parquet\.json to be of version 1 or older, got 2: a newer Tandem/,
  });
  writeFileSync(path, 'nothing');
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /to be a manifest/ });
  writeFileSync(path, '{}');
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /to be a manifest/ });
});

test('a plan that is none', async (t) => {
  const here = place(t);
  await here.score();
  writeFileSync(join(here.output, '_plan.json'), '{ "version": 1, "sha');
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /_plan\.json to be the plan of a run/ });
});

test('an output whose file is gone or is another', async (t) => {
  const here = place(t);
  await here.score();
  rmSync(join(here.output, 'a.parquet'));
  const { shards, shardsSkipped } = await here.score();
  assert.deepEqual([shards, shardsSkipped], [1, 1]);
  writeFileSync(join(here.output, 'a.parquet'), 'PAR1');
  assert.equal((await here.score()).shards, 1);
});

test('a folder that cannot be made or written', async (t) => {
  const here = place(t);
  writeFileSync(join(here.folder, 'file'), '');
  await here.refuses(
    { code: 'BAD_OUTPUT', place: {}, message: /Expected the output to be a folder, got the file/ },
    { output: join(here.folder, 'file') },
  );
  await here.refuses(
    { code: 'BAD_OUTPUT', place: {}, message: /Expected the output folder .* to be writable, got ENOTDIR/ },
    { output: join(here.folder, 'file/below') },
  );
});

test('shards whose outputs would have the same name', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), feedX);
  const shards = ['a', 'a.parquet'].map((name, index) => here.shard(name, `SELECT ${index}::FLOAT AS x`));
  await here.refuses(
    {
      code: 'BAD_OUTPUT',
      place: { shard: 'a.parquet' },
      message: /Expected each shard to have an output of its own, got a\.parquet twice/,
    },
    { shards },
  );
});

/** Runs a shell command in a mount namespace of its own, where a small file system lies under `folder`. */
function withSmallDisk(folder: string, sizeBytes: number, command: readonly string[]): ReturnType<typeof spawnSync> {
  const script = `mount -t tmpfs -o size=${sizeBytes} none "$0" && exec "$@"`;
  return spawnSync('unshare', ['--mount', '--map-root-user', 'sh', '-c', script, folder, ...command], {
    encoding: 'utf8',
  });
}

test('a disk that is full', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), feedX);
  here.shard('a.parquet', 'SELECT i::FLOAT AS x FROM range(200) rows(i)');
  here.shard('b.parquet', 'SELECT i::FLOAT AS x, hash(i) AS kept FROM range(200000) rows(i)');
  mkdirSync(here.output);
  if (withSmallDisk(here.output, 2 ** 20, ['true']).status !== 0) return t.skip('no file system can be mounted here');
  const entry = new URL('./run-score.js', import.meta.url).pathname;
  const script = '"$0" "$1" "$2"; code=$?; find "$3" -type f | sort; exit $code';
  const options = JSON.stringify(
    here.options({ shards: [join(here.data, 'a.parquet'), join(here.data, 'b.parquet')] }),
  );
  const run = withSmallDisk(here.output, 2 ** 20, ['sh', '-c', script, process.execPath, entry, options, here.output]);
  assert.match(String(run.stderr), /TRANSIENT: Expected room under .*scores, got a full disk\./);
  assert.equal(run.status, 75);
  assert.deepEqual(
    String(run.stdout)
      .trim()
      .split('\n')
      .map((path) => path.slice(here.output.length + 1)),
    // What took the room is gone: the account of the run fits.
    ['_plan.json', '_report.json'],
  );
});
