import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../src/testing/shards.ts';
import { featureCount, writeModelFolder } from '../data.ts';
import { jobOf } from './peer.ts';
import { peers } from './peers.ts';
import { pythonWith } from './python.ts';
import { scriptPath } from './script-path.ts';
import { tandem } from './tandem.ts';

test('a job has the features of the contract', (t) => {
  const folder = tempDir(t);
  writeModelFolder(join(folder, 'w2'), 'w2-logistic');
  writeModelFolder(join(folder, 'w3'), 'w3-trees');
  const job = jobOf(join(folder, 'w2'), ['s0.parquet'], join(folder, 'run'));
  assert.equal(job.model, join(folder, 'w2', 'model.onnx'));
  assert.deepEqual([job.inputName, job.outputName, job.features.length], ['x', 'y', featureCount]);
  assert.deepEqual(job.features[3], { column: 'f3', mean: 1.5, std: 1.1547, lo: -3, hi: 3 });
  assert.deepEqual(jobOf(join(folder, 'w3'), [], folder).features[3], { column: 'f3' });
});

test("Tandem's times are those of its progress and its result, whatever it says besides", () => {
  const line = (stream: 'stdout' | 'stderr', at: number, text: string) => ({ stream, at, text });
  const scoring = (at: number, secondsElapsed: number) =>
    line('stderr', at, JSON.stringify({ phase: 'scoring', secondsElapsed }));
  const result = tandem.resultOf!([
    line('stderr', 100, JSON.stringify({ phase: 'planning', secondsElapsed: 0 })),
    line('stderr', 100.5, JSON.stringify({ message: 'a warning' })),
    line('stderr', 100.6, 'text'),
    scoring(101.25, 0.25),
    scoring(101.5, 0.5),
    line('stdout', 104, '{'),
    line('stdout', 104, '"rowsOut": 7 }'),
  ]);
  assert.deepEqual([result.rows, result.firstBatchAt, result.closedAt], [7, 101, 104]);
  assert.match(result.versions['tandem']!, /^\d/);
  assert.throws(() => tandem.resultOf!([scoring(101, 0)]), /Expected progress and a result/);
});

test('every peer has a name of its own and requirements that pin each package', () => {
  assert.equal(new Set(peers.map(({ name }) => name)).size, peers.length);
  const files = new Set(peers.flatMap(({ requirements }) => requirements ?? []));
  for (const file of files) {
    const packages = readFileSync(scriptPath(file), 'utf8').trimEnd().split('\n');
    assert.deepEqual(
      packages.filter((line) => !/^[a-z][a-z0-9-]*(\[\w+\])?==\d+(\.\d+)+$/.test(line)),
      [],
      file,
    );
  }
});

test('without python3 the reason says so', (t) => {
  const python = join(tempDir(t), 'python3');
  assert.throws(
    () => pythonWith('requirements-scripts.txt', tempDir(t), python),
    /^Error: Expected python3 with its venv module \(on Debian: python3-venv\), got: .*ENOENT/,
  );
});
