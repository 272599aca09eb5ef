/** Everybody who does the work. */
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { workloadNames } from '../data.ts';
import type { Peer } from './peer.ts';
import { scriptPath } from './script-path.ts';
import { sparkPeers } from './spark.ts';
import { tandem } from './tandem.ts';

const rowsMaxOfNodeRows = 100_000;

interface PythonPeer extends Pick<Peer, 'name' | 'describe' | 'requirements'>, Partial<Pick<Peer, 'workloads'>> {
  readonly script: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

function pythonPeer(peer: PythonPeer): Peer {
  const { name, describe, requirements, script, args = [], env = {}, workloads = workloadNames } = peer;
  const path = scriptPath(script);
  return {
    name,
    describe,
    requirements,
    // Daft's and Ray's own processes import what is beside the script, too.
    command: (_job, python, jobPath) => ({
      file: python,
      args: [path, jobPath, ...args],
      env: { PYTHONPATH: dirname(path), ...env },
    }),
    rowsMax: Infinity,
    workloads,
  };
}

const scripts = 'requirements-scripts.txt';

/** Libraries made for trees, in the loop that is the fastest with ONNX Runtime. */
const treePeers = [
  ['lightgbm', "LightGBM's own predictor"],
  ['lleaves', 'lleaves (LLVM)'],
  ['treelite', "Treelite's compiler (needs gcc)"],
].map(([library, describe]) =>
  pythonPeer({
    name: `polars-${library}`,
    describe: `Polars and ${describe}, a process for each core; the trees alone`,
    requirements: 'requirements-trees.txt',
    script: 'polars_proc.py',
    args: [library!],
    workloads: ['w3-trees'],
  }),
);

const nodeRows: Peer = {
  name: 'node-rows',
  describe: 'parquetjs-lite and onnxruntime-node, row objects',
  requirements: undefined,
  command: (_job, _python, jobPath) => ({
    file: process.execPath,
    args: [fileURLToPath(new URL('./node-rows.js', import.meta.url)), jobPath],
  }),
  rowsMax: rowsMaxOfNodeRows,
  workloads: workloadNames,
};

export const peers: readonly Peer[] = [
  tandem,
  pythonPeer({
    name: 'polars-proc',
    describe: 'Polars and ONNX Runtime, a process for each core',
    requirements: scripts,
    script: 'polars_proc.py',
  }),
  pythonPeer({
    name: 'pyarrow-proc',
    describe: 'pyarrow and ONNX Runtime, a process for each core',
    requirements: scripts,
    script: 'pyarrow_loop.py',
    args: ['proc'],
  }),
  pythonPeer({
    name: 'pyarrow-thread',
    describe: 'pyarrow and ONNX Runtime, one process, a thread for each core',
    requirements: scripts,
    script: 'pyarrow_loop.py',
    args: ['thread'],
  }),
  pythonPeer({
    name: 'pyarrow-one',
    describe: 'pyarrow and ONNX Runtime, one plain loop; the libraries use all cores',
    requirements: scripts,
    script: 'pyarrow_loop.py',
    args: ['one'],
  }),
  pythonPeer({
    name: 'duckdb-python',
    describe: 'DuckDB to read and write, NumPy and ONNX Runtime, a process for each core',
    requirements: scripts,
    script: 'duckdb_proc.py',
  }),
  pythonPeer({
    name: 'daft',
    describe: 'Daft, a class with a batch method',
    requirements: 'requirements-daft.txt',
    script: 'daft_cls.py',
    env: { DO_NOT_TRACK: 'true', DAFT_ANALYTICS_ENABLED: '0', DAFT_PROGRESS_BAR: '0' },
  }),
  pythonPeer({
    name: 'ray',
    describe: 'Ray Data, map_batches with a pool of actors',
    requirements: 'requirements-ray.txt',
    script: 'ray_data.py',
    // By default Ray's workers are nicer than everybody else on the machine, which would be measured as slowness.
    env: { RAY_USAGE_STATS_ENABLED: '0', RAY_worker_niceness: '0' },
  }),
  ...treePeers,
  ...sparkPeers,
  nodeRows,
];
