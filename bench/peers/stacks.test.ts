import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pythonFrames, sparkJvmFrames, synapseJvmFrames } from './frame-costs.ts';
import { costOf, formatCollapsed, parseCollapsed, shortenStacks, sumCosts } from './stacks.ts';

test('collapsed stacks: frames may hold spaces, and lines without a count are no stacks', () => {
  const text = 'main (a.py:1);run (b.so) 3\n\nhalf a line\nonly 2';
  assert.deepEqual(parseCollapsed(text), [
    { frames: ['main (a.py:1)', 'run (b.so)'], samples: 3 },
    { frames: ['only'], samples: 2 },
  ]);
  assert.equal(formatCollapsed(parseCollapsed(text)), 'main (a.py:1);run (b.so) 3\nonly 2\n');
});

test('the innermost frame that is known decides, and of two patterns for it the first', () => {
  const patterns = [
    { cost: 'predict', frame: /^run/ },
    { cost: 'featurize', frame: /^score/ },
    { cost: 'start', frame: /^run fast/ },
  ] as const;
  assert.equal(costOf(['score', 'run', 'memcpy'], patterns), 'predict');
  assert.equal(costOf(['run', 'score', 'memcpy'], patterns), 'featurize');
  assert.equal(costOf(['score', 'run fast'], patterns), 'predict');
  assert.equal(costOf(['memcpy'], patterns), 'other');
});

test('a pattern may decide outright, wherever its frame is', () => {
  const patterns = [
    { cost: 'predict', frame: /^run/ },
    { cost: 'start', frame: /^import/, outright: true },
  ] as const;
  assert.equal(costOf(['main', 'import', 'load', 'run'], patterns), 'start');
  assert.equal(costOf(['main', 'run', 'load'], patterns), 'predict');
});

test('costs add up to the samples, and what no pattern knows is shown, most frequent first', () => {
  const stacks = parseCollapsed('a;score 5\na;b;c;d 2\na;b;c;e 3\nz;b;c;d 2');
  const costs = sumCosts(stacks, [{ cost: 'featurize', frame: /^score$/ }]);
  assert.equal(costs.samples, 12);
  assert.equal(costs.byCost.featurize, 5);
  assert.equal(costs.byCost.other, 7);
  assert.equal(
    Object.values(costs.byCost).reduce((sum, samples) => sum + samples),
    costs.samples,
  );
  assert.deepEqual(costs.unknown, [
    { frames: 'd < c < b', samples: 4 },
    { frames: 'e < c < b', samples: 3 },
  ]);
});

test('addresses and numbers of threads are left out, and stacks that are then the same are joined', () => {
  const stacks = parseCollapsed(
    '[C2 CompilerThread0 tid=12];A$$Lambda$22.0x00007f7060cea2a0.apply 1\n' +
      '[C2 CompilerThread0 tid=17];A$$Lambda$23.0x00007f7060cea2b0.apply 2\n' +
      '[Executor task launch worker for task 1.0 in stage 1.0 (TID 2) tid=99];a 5\n' +
      'process 77:"python";0x7f1894c59585 (onnxruntime.so) 4',
  );
  assert.deepEqual(shortenStacks(stacks), [
    { frames: ['[C2 CompilerThread]', 'A$$Lambda.apply'], samples: 3 },
    { frames: ['[Executor task launch worker]', 'a'], samples: 5 },
    { frames: ['process "python"', '(onnxruntime.so)'], samples: 4 },
  ]);
});

const spark = '[Executor task launch worker];org/apache/spark/executor/Executor$TaskRunner.run';
const generated =
  'org/apache/spark/sql/catalyst/expressions/GeneratedClass$GeneratedIteratorForCodegenStage1.processNext';

/** Cut from real stacks. */
const jvmCases: readonly (readonly [string, string])[] = [
  [`${spark};${generated};org/apache/spark/sql/execution/vectorized/OnHeapColumnVector.isNullAt`, 'rows'],
  [
    `${spark};org/apache/spark/sql/execution/datasources/FileScanRDD$$anon$1.nextIterator;` +
      'org/apache/parquet/hadoop/ParquetFileReader.readNextRowGroup;org/xerial/snappy/Snappy.rawUncompress',
    'decode',
  ],
  [
    `${spark};org/apache/spark/sql/execution/arrow/ArrowFieldWriter.write;org/apache/arrow/vector/Float4Vector.setSafe`,
    'rows',
  ],
  [
    `${spark};org/apache/arrow/vector/ipc/ArrowStreamWriter.writeBatch;sun/nio/ch/SocketChannelImpl.write;tcp_sendmsg_[k]`,
    'ipc',
  ],
  [
    `${spark};com/microsoft/azure/synapse/ml/onnx/ONNXModel.$anonfun$transform;ai/onnxruntime/OrtSession.run;` +
      'libonnxruntime4j_jni.so`Java_ai_onnxruntime_OrtSession_run;libonnxruntime.so`OrtApis::Run',
    'predict',
  ],
  [`${spark};ai/onnxruntime/OnnxTensor.getValue;libonnxruntime4j_jni.so`, 'jni'],
  [
    `${spark};org/apache/spark/sql/execution/datasources/FileFormatWriter$.executeTask;` +
      'org/apache/parquet/hadoop/InternalParquetRecordWriter.write',
    'write',
  ],
  ['[GC Thread#0];libjvm.so`G1ParScanThreadState::copy_to_survivor_space', 'collect'],
  ['[C2 CompilerThre];libjvm.so`Compile::Optimize', 'start'],
  ['[Thread];ai/onnxruntime/OnnxRuntime.load;sun/nio/ch/FileDispatcherImpl.write0', 'start'],
  [`${spark};org/apache/hadoop/fs/FSInputChecker.readFully;java/io/DataInputStream.read`, 'decode'],
  ['[Executor task launch worker];mystery', 'other'],
];

test('frames of the JVM', () => {
  for (const [stack, cost] of jvmCases) {
    assert.equal(costOf(stack.split(';'), sparkJvmFrames), cost, stack);
    if (!stack.includes(generated)) assert.equal(costOf(stack.split(';'), synapseJvmFrames), cost, stack);
  }
});

test("SynapseML's generated code computes features first, and turns rows into objects afterwards", () => {
  assert.equal(costOf([spark, generated], synapseJvmFrames), 'featurize');
  assert.equal(costOf([spark, generated.replace('Stage1', 'Stage2')], synapseJvmFrames), 'rows');
});

const worker =
  'process "python -m pyspark.daemon";<module> (daemon.py:292);main (worker.py:4300);invoke_udf (worker.py:4184);read_udfs.<locals>.func (worker.py:2746)';

const pythonCases: readonly (readonly [string, string])[] = [
  [
    `${worker};__call__ (common.py:70);Session.run (onnxruntime/capi/onnxruntime_inference_collection.py:395);(x.so)`,
    'predict',
  ],
  [`${worker};__call__ (common.py:40);PyArray_CopyObject (numpy/_core/_multiarray_umath.so)`, 'featurize'],
  [
    `${worker};arrow::ipc::DecodeMessage (libarrow.so);arrow::py::PyReadableFile::Read (libarrow_python.so);read (libc.so.6)`,
    'ipc',
  ],
  [`${worker};NDFrame.copy (pandas/core/generic.py:6835);memcpy (libc.so.6)`, 'rows'],
  [`${worker};_load_unlocked (<frozen importlib._bootstrap>:690);read (libc.so.6)`, 'start'],
  ['process "python -m pyspark.daemon";manager (daemon.py:275);gc_collect_main (libpython3.11.so.1.0)', 'collect'],
  [
    `${worker};_find_and_load (<frozen importlib._bootstrap>:1178);<module> (pandas/core/api.py:1);doc (pandas/util/_decorators.py:367)`,
    'start',
  ],
  [`${worker};mystery (mystery.py:1)`, 'other'],
  [`${worker};loads (cloudpickle/cloudpickle.py:1)`, 'pickle'],
];

test('frames of the Python workers', () => {
  for (const [stack, cost] of pythonCases) assert.equal(costOf(stack.split(';'), pythonFrames), cost, stack);
});
