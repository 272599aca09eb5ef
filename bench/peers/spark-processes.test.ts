import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, parseJvmPoints, ProcessWatch, thin } from './spark-processes.ts';
import { reasonOf } from './spark-trial.ts';

test("processes are told apart by their arguments, a profiler's command line by its program", () => {
  const spark = ['/env/bin/python', '/bench/peers/spark.py', 'job.json'];
  assert.equal(kindOf(spark), 'driver');
  assert.equal(kindOf(['/env/bin/py-spy', 'record', '--', ...spark]), 'tools');
  assert.equal(kindOf(['/jvm/bin/java', '-Xmx2g', 'org.apache.spark.deploy.SparkSubmit', 'pyspark-shell']), 'jvm');
  assert.equal(kindOf(['java', 'org.apache.spark.launcher.Main']), 'tools');
  assert.equal(kindOf(['python', '-m', 'pyspark.daemon', 'pyspark.worker']), 'worker');
  assert.equal(kindOf(['/usr/bin/node', 'main.js', 'score']), 'tandem');
  assert.equal(kindOf(['']), undefined);
});

test('memory is summed by kind, CPU goes to what a process was last, and a new process of an old number counts anew', () => {
  const args = new Map([
    [1, ['bash', 'spark-submit']],
    [2, ['python', '-m', 'pyspark.daemon', 'pyspark.worker']],
    [3, ['python', '-m', 'pyspark.daemon', 'pyspark.worker']],
  ]);
  const watch = new ProcessWatch(1000, (pid) => args.get(pid) ?? []);
  const sample = (pid: number, ownTicks: number, residentPages: number, startedAtTicks = pid) => ({
    pid,
    parentPid: 0,
    group: 1,
    session: 1,
    startedAtTicks,
    ownTicks,
    waitedTicks: 0,
    residentPages,
  });
  watch.take([sample(1, 10, 1)], 5);
  args.set(1, ['java', 'org.apache.spark.deploy.SparkSubmit']);
  watch.take([sample(1, 300, 40), sample(2, 100, 7), sample(3, 50, 9)], 6);
  // It has ended between the list of processes and the look at its arguments.
  args.delete(3);
  watch.take([sample(1, 310, 30), sample(3, 60, 0), sample(2, 25, 2, 99)], 7);
  assert.deepEqual(watch.points[1], {
    at: 6,
    bytes: { jvm: 40_000, worker: 16_000, driver: 0, tandem: 0, tools: 0 },
    largestWorker: 9_000,
  });
  assert.deepEqual(watch.cpuSeconds(), { jvm: 3.1, worker: 1.85, driver: 0, tandem: 0, tools: 0 });
});

test('half a line at the end is left out', () => {
  const whole = { at: 1, heapUsed: 2, heapCommitted: 3, direct: 4, arrow: 5 };
  assert.deepEqual(parseJvmPoints(`${JSON.stringify(whole)}\n{"at": 2, "he`), [whole]);
});

test('thinning keeps peaks, and no more than asked for', () => {
  const points = Array.from({ length: 1_001 }, (_, index) => (index === 777 ? 9_999 : index % 10));
  const kept = thin(points, 100, (value) => value);
  assert.ok(kept.length <= 100);
  assert.ok(kept.includes(9_999));
  assert.deepEqual(
    thin([3, 1], 100, (value) => value),
    [3, 1],
  );
});

test('of what a run printed, the line about memory says why it failed', () => {
  const lines = [
    'WARN something',
    'Exception: job aborted',
    'pyarrow.lib.ArrowMemoryError: malloc of size 64 failed',
    '',
  ];
  const said = lines.map((text) => ({ text }));
  assert.match(reasonOf(said), /^pyarrow\.lib\.ArrowMemoryError/);
  assert.equal(reasonOf(said.slice(0, 2)), 'Exception: job aborted');
  assert.equal(reasonOf(said.slice(0, 1)), 'WARN something');
  assert.equal(reasonOf([]), 'it said nothing');
});
