/** Spark's ways from rows to Python, and SynapseML, which stays in the JVM, among the peers. */
import type { WorkloadName } from '../data.ts';
import type { Peer } from './peer.ts';
import { scriptPath } from './script-path.ts';
import { synapseJars } from './spark-jars.ts';

export const sparkWays = [
  'mapInArrow',
  'mapInPandas',
  'pandas_udf',
  'predict_batch_udf',
  'row_udf',
  'synapse',
] as const;
export type SparkWay = (typeof sparkWays)[number];

/** Spark 4, which wants Java 17 or 21, with what runs in its Python workers; SynapseML, which is built for Spark 3.5. */
export function requirementsOf(way: SparkWay): string {
  return way === 'synapse' ? 'requirements-synapse.txt' : 'requirements-spark.txt';
}

/** Arguments of the interpreter. `conf`: settings of Spark, beside those of spark.py. */
export function sparkArgs(way: SparkWay, jobPath: string, conf: Readonly<Record<string, string>> = {}): string[] {
  const all = way === 'synapse' ? { 'spark.jars': synapseJars().join(','), ...conf } : conf;
  const settings = Object.entries(all).flatMap(([key, value]) => ['--conf', `${key}=${value}`]);
  return [scriptPath('spark.py'), jobPath, way, ...settings];
}

interface SparkPeer {
  readonly way: SparkWay;
  readonly describe: string;
  readonly rowsMax?: number;
  readonly workloads?: readonly WorkloadName[];
}

const networks: readonly WorkloadName[] = ['w1-network', 'w2-logistic'];

function sparkPeer({ way, describe, rowsMax = Infinity, workloads }: SparkPeer): Peer {
  return {
    name: way === 'synapse' ? 'synapseml' : `spark-${way}`,
    describe,
    requirements: requirementsOf(way),
    command: (_job, python, jobPath) => ({ file: python, args: sparkArgs(way, jobPath) }),
    rowsMax,
    workloads: workloads ?? [...networks, 'w3-trees'],
  };
}

export const sparkPeers: readonly Peer[] = [
  sparkPeer({ way: 'mapInArrow', describe: 'Spark, a function of Arrow batches' }),
  sparkPeer({ way: 'mapInPandas', describe: 'Spark, a function of pandas data frames' }),
  sparkPeer({
    way: 'pandas_udf',
    describe: 'Spark, a column from pandas series',
    rowsMax: 500_000,
    workloads: networks,
  }),
  sparkPeer({
    way: 'predict_batch_udf',
    describe: 'Spark, its own function for models',
    rowsMax: 500_000,
    workloads: networks,
  }),
  sparkPeer({ way: 'row_udf', describe: 'Spark, a row at a time', rowsMax: 100_000, workloads: networks }),
  // Whether the ONNX Runtime 1.8 inside it scores the trees as they are exported today, nobody has tried.
  sparkPeer({ way: 'synapse', describe: "SynapseML's ONNXModel", rowsMax: 100_000, workloads: networks }),
];
