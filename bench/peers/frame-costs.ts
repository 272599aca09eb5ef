/**
 * Which frames of Spark's JVM and of its Python workers belong to which cost. Read off real stacks of PySpark 4.3 and of
 * SynapseML 1.1 on Spark 3.5; what a table does not know is counted as `other` and printed with the figures.
 */
import type { CostName, FramePattern } from './stacks.ts';

function patterns(table: readonly (readonly [CostName, RegExp])[], outright = false): FramePattern[] {
  return table.map(([cost, frame]) => ({ cost, frame, outright }));
}

/** async-profiler puts the thread first, and the library of a native frame before `\``. */
const jvmOutright = patterns(
  [
    ['collect', /^\[(GC Thread|G1 |VM Thread|VM Periodic)/],
    ['start', /^\[(C1 CompilerThre|C2 CompilerThre|Common-Cleaner|Signal Dispatcher|Sweeper|Service Thread)/],
    // Tasks run in the executor's threads; these plan, compile, answer Python's driver and hand out jars.
    ['start', /^\[(main|Thread|files-|rpc-|dag-scheduler|dispatcher-|spark-listener|readingParquetFooters)/],
    ['start', /^ai\/onnxruntime\/(OnnxRuntime\.|OrtEnvironment\.createSession|OrtSession\.<init>)/],
    ['start', /^java\/lang\/ClassLoader\.loadClass|^jdk\/internal\/loader\/|^org\/codehaus\/(janino|commons)/],
  ],
  true,
);

/** Libraries and packages that mean the same in every JVM here. */
const jvmCommon = patterns([
  ['collect', /libjvm\.so`G1/],
  [
    'start',
    /^(java\/util\/(jar|zip\/ZipFile)|java\/lang\/invoke\/(MethodHandleNatives|InnerClassLambda|LambdaMetafactory))/,
  ],
  [
    'start',
    /libjvm\.so`(SystemDictionary|ClassFileParser|LinkResolver|Verifier|InstanceKlass|InterpreterRuntime|ResolvedMethodTable)/,
  ],
  ['start', /^(org\/antlr|com\/fasterxml|scala\/reflect)\//],
  ['predict', /libonnxruntime\.so/],
  ['jni', /^(ai\/onnxruntime\/|Java_ai_onnxruntime_)|libonnxruntime4j_jni/],
  [
    'write',
    /parquet\/hadoop\/(ParquetFileWriter|InternalParquetRecordWriter|ParquetRecordWriter|ParquetOutputFormat|CodecFactory\$.*Compressor\.compress)/,
  ],
  [
    'write',
    /parquet\/(column\/impl\/.*Write|column\/values\/.*Writer|io\/MessageColumnIO\$MessageColumnIORecordConsumer)/,
  ],
  [
    'write',
    /datasources\/(parquet\/Parquet(WriteSupport|OutputWriter)|FileFormat(DataWriter|Writer)|SingleDirectoryDataWriter)/,
  ],
  ['decode', /^org\/apache\/(parquet\/|spark\/sql\/execution\/datasources\/(parquet\/|FileScanRDD))/],
  ['decode', /^org\/apache\/hadoop\/fs\//],
  ['decode', /^org\/xerial\/snappy\/Snappy\.(raw)?[uU]ncompress/],
  ['ipc', /^(sun\/nio\/ch\/|java\/net\/|java\/nio\/channels\/|org\/apache\/arrow\/vector\/ipc\/)/],
  ['ipc', /api\/python\/(BasePythonRunner|PythonWorker|PythonRDD)/],
  [
    'pickle',
    /^net\/razorvine\/|api\/python\/SerDeUtil|execution\/python\/(BatchEvalPython|EvaluatePython|PythonUDFRunner)/,
  ],
  ['rows', /^org\/apache\/arrow\//],
  ['rows', /^org\/apache\/spark\/sql\/execution\/(arrow\/|python\/|ColumnarToRow|vectorized\/)/],
  ['rows', /^org\/apache\/spark\/sql\/vectorized\//],
]);

/** Planning and the start of Spark; asked last, since jobs run inside these. */
const jvmOutermost = patterns([
  [
    'start',
    /^org\/apache\/spark\/(deploy|SparkContext|sql\/(catalyst\/(analysis|optimizer|planning)|execution\/QueryExecution))/,
  ],
]);

/** Spark feeds Python: generated code turns columns into rows, from which Arrow's vectors are filled. */
export const sparkJvmFrames: readonly FramePattern[] = [
  ...jvmOutright,
  ...jvmCommon,
  ...patterns([['rows', /GeneratedClass\$|expressions\/codegen\/Unsafe|catalyst\/expressions\/Unsafe/]]),
  ...jvmOutermost,
];

/**
 * SynapseML stays in the JVM: the first stage of generated code computes the features; the others, and the encoders,
 * turn rows into objects and back.
 */
export const synapseJvmFrames: readonly FramePattern[] = [
  ...jvmOutright,
  ...jvmCommon,
  ...patterns([
    ['featurize', /GeneratedClass\$GeneratedIteratorForCodegenStage1\./],
    ['rows', /GeneratedClass\$|catalyst\/(expressions\/|encoders\/|util\/|CatalystTypeConverters)/],
    ['jni', /synapse\/ml\/onnx\/ONNX(Runtime|Utils)/],
    ['rows', /synapse\/ml\/(stages|onnx)\//],
  ]),
  ...jvmOutermost,
];

/** `function (file:line)` and `symbol (library)`, as py-spy writes them. */
export const pythonFrames: readonly FramePattern[] = [
  ...patterns(
    [
      ['start', /importlib|zipimport|\(ld-linux|_create_inference_session|^InferenceSession\.__init__/],
      ['start', /\(.*(java_gateway|clientserver)\.py|^setup_\w+ \(/],
    ],
    true,
  ),
  ...patterns([
    ['collect', /^gc_collect/],
    ['predict', /^(InferenceSession|Session)\.run /],
    ['pickle', /cloudpickle|CPickleSerializer|^_?pickle|^_?(loads|dumps|load|dump) \((pickle|serializers)/],
    ['featurize', /\((common|spark_scorer)\.py|^score \(spark\.py|\.score \(spark\.py/],
    ['ipc', /arrow::ipc::|PyReadableFile|PyOutputStream|^(read_int|write_int|read_long|write_long) \(/],
    ['rows', /\(pandas\/|\(pyarrow\/|arrow::|^(create_|arrow_to_pandas|_create_|to_pandas)/],
    ['rows', /^(load_stream|dump_stream|wrap_|init_stream|batched) /],
    ['start', /^(manager|worker|compute_real_exit_code) \(daemon\.py|^read_udfs \(worker\.py/],
  ]),
];
