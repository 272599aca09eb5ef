/** CPU profiles of threads that never ran, in V8's form. */
import type { Profiler } from 'node:inspector';
import { seededRandom } from './random.ts';

/** A function, how often it was found running itself, and what it called. */
export interface Call {
  readonly name: string;
  /** Empty: the engine's own. */
  readonly url?: string;
  readonly line?: number;
  /** Samples, before chance. */
  readonly self?: number;
  readonly calls?: readonly Call[];
}

/** A profile with exactly these samples, a millisecond each, in the order of the tree. */
export function profileOf(root: Call, intervalUs = 1000): Profiler.Profile {
  const nodes: Profiler.ProfileNode[] = [];
  const samples: number[] = [];
  const add = ({ name, url = '', line = 0, self = 0, calls = [] }: Call): number => {
    const id = nodes.length + 1;
    const callFrame = { functionName: name, scriptId: '0', url, lineNumber: line, columnNumber: 0 };
    const children: number[] = [];
    nodes.push({ id, callFrame, hitCount: self, children });
    for (let sample = 0; sample < self; sample++) samples.push(id);
    for (const call of calls) children.push(add(call));
    return id;
  };
  add(root);
  const startTime = 1_000_000;
  return {
    nodes,
    startTime,
    endTime: startTime + samples.length * intervalUs,
    samples,
    timeDeltas: samples.map((_, index) => (index === 0 ? 0 : intervalUs)),
  };
}

/** The same tree with other counts. */
function shaken(call: Call, random: () => number): Call {
  return {
    ...call,
    self: Math.round((call.self ?? 0) * (0.8 + 0.4 * random())),
    calls: (call.calls ?? []).map((each) => shaken(each, random)),
  };
}

const own = (path: string): string => `file:///app/dist/src/${path}`;

function inThread(work: readonly Call[]): Call {
  const start: Call = {
    name: 'start',
    url: 'node:internal/main/worker_thread',
    line: 90,
    self: 4,
    calls: [{ name: 'runCallback', url: 'node:internal/process/task_queues', line: 60, self: 9, calls: work }],
  };
  return { name: '(root)', calls: [{ name: '(garbage collector)', self: 31 }, { name: '(program)', self: 58 }, start] };
}

export function prepThreadProfile(seed: number): Profiler.Profile {
  const read: Call = {
    name: 'nextChunk',
    url: own('read/shard-reader.js'),
    line: 70,
    self: 12,
    calls: [
      {
        name: 'fetchChunk',
        url: own('engines/duckdb/database.js'),
        line: 150,
        self: 21,
        calls: [{ name: 'duckdb_fetch_chunk', self: 2210 }],
      },
      {
        name: 'readVectors',
        url: own('engines/duckdb/vectors.js'),
        line: 40,
        self: 66,
        calls: [{ name: 'duckdb_vector_get_data', self: 18 }],
      },
    ],
  };
  const featurize: Call = {
    name: 'featurize',
    url: own('featurize/featurizer.js'),
    line: 120,
    self: 30,
    calls: [
      { name: 'standardizeClip', url: 'wasm://wasm/4f21c0', self: 610 },
      { name: 'lookUp', url: own('featurize/kernels.js'), line: 210, self: 74 },
    ],
  };
  const write: Call = {
    name: 'writeShard',
    url: own('write/shard-writer.js'),
    line: 66,
    self: 14,
    calls: [
      {
        name: 'duckdb_query',
        self: 240,
        calls: [{ name: 'fillScores', url: own('write/score-columns.js'), line: 22, self: 88 }],
      },
    ],
  };
  const wait: Call = { name: 'wait', url: own('transfer/slot-queue.js'), line: 98, self: 130 };
  const prepare: Call = {
    name: 'prepareShard',
    url: own('threads/prep.js'),
    line: 44,
    self: 26,
    calls: [read, featurize, write, wait],
  };
  return profileOf(shaken(inThread([prepare]), seededRandom(seed)));
}

export function gpuThreadProfile(seed: number): Profiler.Profile {
  const drive: Call = {
    name: 'drive',
    url: own('threads/device-loop.js'),
    line: 80,
    self: 140,
    calls: [
      {
        name: 'run',
        url: own('engines/onnxruntime/run.js'),
        line: 90,
        self: 40,
        calls: [{ name: 'OrtRunWithBinding', self: 820 }],
      },
      {
        name: 'copyIn',
        url: own('engines/cuda/cuda-driver.js'),
        line: 200,
        self: 20,
        calls: [{ name: 'cudaMemcpyAsync', self: 130 }],
      },
      { name: 'waitForRows', url: own('transfer/slot-queue.js'), line: 140, self: 1630 },
    ],
  };
  return profileOf(shaken(inThread([drive]), seededRandom(seed)));
}

export function mainThreadProfile(seed: number): Profiler.Profile {
  const root: Call = {
    name: '(root)',
    calls: [
      { name: '(idle)', self: 2900 },
      { name: '(program)', self: 40 },
      {
        name: 'processTimers',
        url: 'node:internal/timers',
        line: 500,
        self: 3,
        calls: [{ name: 'report', url: own('pipeline.js'), line: 96, self: 22 }],
      },
    ],
  };
  return profileOf(shaken(root, seededRandom(seed)));
}
