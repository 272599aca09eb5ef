/**
 * Records of runs that never were, for tests and pictures of reports: a run on two GPUs that waits for decoding, and one on
 * four cores. Their figures are made up, and add up.
 */
import { utilizationOfGpu } from '../measure/utilization.ts';
import type { Activity } from '../measure/activities.ts';
import type { DeviceReport, ScoreResult } from '../options.ts';
import {
  ledgerParts,
  type Ledger,
  type LedgerPartName,
  type RunRecord,
  type RunSample,
  type ScorerLedger,
  type ShardRecord,
  type ThreadLedger,
  type Utilization,
} from '../run-record.ts';
import { seededRandom } from './random.ts';
import { lanesTimeline, gpuTimeline } from './run-timelines.ts';
import { gpuThreadProfile, mainThreadProfile, prepThreadProfile } from './thread-profiles.ts';

const partNames = Object.keys(ledgerParts) as LedgerPartName[];

/** Shares of a scorer's time; what they leave of the whole is the idle tail. */
function scorer(
  base: Pick<ScorerLedger, 'name' | 'kind' | 'wallSeconds' | 'rowCount' | 'shapeCount'>,
  shares: Partial<Record<LedgerPartName, number>>,
): ScorerLedger {
  const idleTail = 1 - Object.values(shares).reduce((sum, share) => sum + share, 0);
  const all: Partial<Record<LedgerPartName, number>> = { ...shares, idleTail };
  const parts = partNames.map((name) => ({
    name,
    share: all[name] ?? 0,
    seconds: (all[name] ?? 0) * base.wallSeconds,
  }));
  return { ...base, parts };
}

/** Shares of a thread's time; what they leave of the whole is idle. */
function thread(
  name: string,
  wallSeconds: number,
  rowCount: number,
  shares: Partial<Record<Activity, number>>,
): ThreadLedger {
  const idle = 1 - Object.values(shares).reduce((sum, share) => sum + share, 0);
  const parts = (Object.entries({ ...shares, idle }) as [Activity, number][]).map(([activity, share]) => ({
    activity,
    share,
    seconds: share * wallSeconds,
  }));
  return { name, wallSeconds, parts, rowCount };
}

const gpuWall = 48.2;
const gpuRows = 403_200_000;

function gpuLedger(): Ledger {
  const waits = { decode: 0.264, featurize: 0.051, storage: 0.008, writer: 0.011, copyIn: 0.013, copyOut: 0.004 };
  const once = { warmUp: 0.043, newShapes: 0.012, search: 0.021, handOver: 0.019 };
  const of = (index: number, rowCount: number) => ({
    name: `cuda:${index}`,
    kind: 'gpu' as const,
    wallSeconds: gpuWall,
    rowCount,
    shapeCount: 17,
  });
  const prep = Array.from({ length: 6 }, (_, index) =>
    thread(`prep ${index}`, gpuWall, gpuRows / 6, {
      warmUp: 0.031,
      storage: 0.012 + index * 0.001,
      decode: 0.61 - index * 0.006,
      featurize: 0.192,
      write: 0.083,
      writeStorage: 0.006,
      waitForScores: 0.028 + index * 0.004,
      handOver: 0.021,
    }),
  );
  return {
    wallSeconds: gpuWall,
    scorers: [
      scorer(of(0, 205_100_000), { ...waits, ...once, computing: 0.55 }),
      scorer(of(1, 198_100_000), { ...waits, ...once, decode: 0.291, outOfMemory: 0.006, computing: 0.512 }),
    ],
    prep,
    writer: thread('writer', gpuWall, 67_200_000, {
      warmUp: 0.04,
      write: 0.12,
      writeStorage: 0.02,
      waitForRows: 0.79,
      handOver: 0.01,
    }),
    storage: {
      fetchedBytes: 53.6e9,
      storageBytes: 53.1e9,
      bytesPerSecond: 1.16e9,
      neededBytesPerSecond: 2.05e9,
      isToldApart: true,
    },
    utilization: [
      gpuUtilization('cuda:0', { busyMs: 590, reportedShare: 0.74, fedRowsPerSecond: 1e6 / 0.56 }),
      gpuUtilization('cuda:1', { busyMs: 550, reportedShare: 0.61, fedRowsPerSecond: undefined }),
    ],
    verdict: {
      bottleneck: 'decode',
      sentence:
        'cuda:1 waited 38 % of the time, 29 points for decode: 4 more prep threads would remove about 27 points',
      whatIf: { change: '4 more prep threads', rowsPerSecond: 12_900_000 },
    },
  };
}

function gpuDevice(index: number, rowCount: number): DeviceReport {
  return {
    name: `cuda:${index}`,
    label: 'GPU of a test, 80 GB',
    rowCount,
    batchCount: Math.round(rowCount / 32_768),
    splitCount: index,
    batchSize: 32_768,
    search: { found: 32_768, runs: 96 },
    memoryPeakBytes: (3.1 + index * 0.4) * 2 ** 30,
    fedRowsPerSecond: index === 0 ? 7_600_000 : undefined,
    reported: {
      share: index === 0 ? 0.74 : 0.61,
      counts: 'time in which at least one kernel ran (NVML, sampled by the driver)',
    },
    memoryBudgetBytes: undefined,
    cpuNodes: { shape: 3, data: 0 },
  };
}

function gpuDecisions(): RunRecord['decisions'] {
  const steps = Array.from({ length: 17 }, (_, step) => step).flatMap((step) =>
    ['cuda:0', 'cuda:1'].map((device, index) => ({
      device,
      rows: 2 ** step,
      reason:
        step === 0
          ? 'the first size'
          : `${2 ** (step - 1)} rows gave ${(0.12 * step).toFixed(2)} M rows/s: larger may be faster`,
      isSearch: true,
      atSeconds: 2.1 + step * 0.14 + index * 0.05,
    })),
  );
  const decided = (device: string, rows: number, atSeconds: number, reason: string) => ({
    device,
    rows,
    reason,
    isSearch: false,
    atSeconds,
  });
  return [
    ...steps,
    decided('cuda:0', 32_768, 4.6, 'the smallest within 3 % of the best, 65,536'),
    decided('cuda:1', 32_768, 4.7, 'the smallest within 3 % of the best, 65,536'),
    decided('cuda:1', 16_384, 21.3, 'out of memory at 32,768 rows: the batch was split, and the size halved'),
    decided('cuda:1', 32_768, 33.8, '200 runs without trouble: tried again'),
  ];
}

function gpuSamples(): RunSample[] {
  const random = seededRandom(5);
  const count = 240;
  let rowsDone = 0;
  return Array.from({ length: count }, (_, index) => {
    const atSeconds = ((index + 1) * gpuWall) / count;
    const isWarm = atSeconds > 2;
    const dip = atSeconds > 21.2 && atSeconds < 23 ? 0.7 : 1;
    const rowsPerSecond = isWarm ? Math.min(1, (atSeconds - 1.6) / 3) * dip * 8.85e6 * (0.95 + 0.1 * random()) : 0;
    rowsDone = Math.min(gpuRows, Math.round(rowsDone + (rowsPerSecond * gpuWall) / count));
    const decode = 0.6 + 0.06 * random();
    const shares: RunSample['shares'] = isWarm
      ? { decode, featurize: 0.19, write: 0.08, waitForScores: 0.03, handOver: 0.02, storage: 1 - 0.32 - decode }
      : { warmUp: 1 };
    const isSmall = atSeconds > 21.3 && atSeconds < 33.8;
    return {
      atSeconds,
      rowsDone,
      rowsPerSecond,
      shares,
      queueDepths: isWarm ? [Math.floor(random() * 4), Math.floor(random() * 3)] : [0, 0],
      batchSize: !isWarm
        ? undefined
        : atSeconds < 4.6
          ? 2 ** Math.min(16, Math.floor((atSeconds - 2) / 0.15))
          : isSmall
            ? 16_384
            : 32_768,
      residentBytes: (0.3 + Math.min(1, atSeconds / 5) * 1.15 + 0.03 * random()) * 2 ** 30,
      deviceBytes: isWarm ? [3.1 * 2 ** 30, (isSmall ? 2.4 : 3.5) * 2 ** 30] : [0, 0],
    };
  });
}

function shardsOf(count: number, rows: number, wallSeconds: number, bytesPerRow: number): ShardRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const rowCount = Math.round(rows / count);
    return {
      name: `2026/${String((index % 12) + 1).padStart(2, '0')}/part-${String(index).padStart(4, '0')}.parquet`,
      rowCount,
      bytes: rowCount * bytesPerRow,
      outputBytes: rowCount * 12,
      doneAtSeconds: 2 + ((index + 1) * (wallSeconds - 2.2)) / count,
    };
  });
}

const environment: RunRecord['environment'] = {
  tandem: '0.1.0',
  node: 'v20.20.2',
  duckDb: '1.5.6',
  onnxRuntime: '1.30.0',
  cpu: 'CPU of a test @ 2.40GHz',
  cores: 16,
  memoryBytes: 128 * 2 ** 30,
  system: 'linux x64 6.1.0',
  gpus: [],
};
const model = {
  path: 'models/ranker/model.onnx',
  sha256: '3f7a9c51e0b2d846'.repeat(4),
  contractSha256: '90ab12cd34ef5678'.repeat(4),
};

/** On two GPUs, with everything that a record can hold. */
export function gpuRunRecord(): RunRecord {
  const ledger = gpuLedger();
  const decisions = gpuDecisions();
  return {
    version: 1,
    command: [
      'tandem',
      'score',
      'data/**/*.parquet',
      '--model',
      'models/ranker',
      '--output',
      'scores',
      '--device',
      'cuda',
      '--threads',
      '6',
    ],
    startedAt: '2026-11-21T15:04:05.000Z',
    environment: { ...environment, gpus: ['GPU of a test, 80 GB', 'GPU of a test, 80 GB'] },
    model,
    settings: {
      compression: 'snappy',
      reader: 'duckdb',
      'slots per thread': '4',
      'gpu memory': '90 % of what is free',
    },
    window: undefined,
    ended: 'done',
    result: {
      ...resultOf(gpuRows, gpuWall, 24, ledger),
      batchSize: 32_768,
      threads: 6,
      device: 'cuda:0,1',
      devices: [gpuDevice(0, 205_100_000), gpuDevice(1, 198_100_000)],
      decisions,
      warnings: ['cuda:1: out of memory at 32,768 rows; the batch was scored in parts'],
    },
    shards: shardsOf(24, gpuRows, gpuWall, 132),
    samples: gpuSamples(),
    decisions,
    timeline: gpuTimeline(24_000, 120),
    profiles: [
      ...Array.from({ length: 6 }, (_, index) => ({ thread: `prep ${index}`, profile: prepThreadProfile(index) })),
      { thread: 'cuda:0', profile: gpuThreadProfile(7) },
      { thread: 'main', profile: mainThreadProfile(8) },
    ],
  };
}

function resultOf(rows: number, wallSeconds: number, shards: number, ledger: Ledger): ScoreResult {
  return {
    version: 1,
    rowsIn: rows,
    rowsOut: rows,
    shards,
    shardsSkipped: 0,
    wallSeconds,
    rowsPerSecond: rows / wallSeconds,
    batchSize: 2048,
    threads: 4,
    device: 'cpu',
    scorer: 'ONNX Runtime',
    devices: [],
    decisions: [],
    precision: 'float32',
    output: 'scores',
    outputBytes: rows * 12,
    ledger,
    warnings: [],
  };
}

const cpuWall = 9.4;
const cpuRows = 40_000_000;

function cpuSamples(): RunSample[] {
  const random = seededRandom(9);
  return Array.from({ length: 47 }, (_, index) => {
    const atSeconds = (index + 1) * 0.2;
    const rowsPerSecond = atSeconds < 0.7 ? 0 : 4.6e6 * (0.96 + 0.08 * random());
    return {
      atSeconds,
      rowsDone: Math.min(cpuRows, Math.round(Math.max(0, atSeconds - 0.7) * 4.6e6)),
      rowsPerSecond,
      shares:
        atSeconds < 0.7 ? { warmUp: 1 } : { compute: 0.62, decode: 0.19, featurize: 0.1, write: 0.06, handOver: 0.03 },
      queueDepths: [],
      batchSize: atSeconds < 1 ? undefined : 2048,
      residentBytes: (180 + Math.min(140, atSeconds * 60) + 4 * random()) * 2 ** 20,
      deviceBytes: [],
    };
  });
}

/** On four cores, without profiles. */
export function cpuRunRecord(): RunRecord {
  const lanes = Array.from({ length: 4 }, (_, index) =>
    scorer(
      { name: `cpu thread ${index}`, kind: 'cpu', wallSeconds: cpuWall, rowCount: cpuRows / 4, shapeCount: 7 },
      {
        computing: 0.574 - index * 0.004,
        decode: 0.178,
        featurize: 0.094,
        writer: 0.052,
        storage: 0.003,
        warmUp: 0.071,
        newShapes: 0.001,
        search: 0.008,
        handOver: 0.012,
      },
    ),
  );
  const ledger: Ledger = {
    wallSeconds: cpuWall,
    scorers: lanes,
    prep: [],
    writer: undefined,
    storage: {
      fetchedBytes: 5.3e9,
      storageBytes: 0,
      bytesPerSecond: 0.61e9,
      neededBytesPerSecond: 0.62e9,
      isToldApart: true,
    },
    utilization: [
      {
        device: 'cpu',
        computeBusy: 0.62,
        reported: { share: 0.97, counts: "this process's seconds on a core, of 4 cores" },
        efficiency: undefined,
        notes: ['efficiency is measured on GPUs only'],
      },
    ],
    verdict: {
      bottleneck: 'model',
      sentence: "the model is the bottleneck, 62 % of the threads' time: the loader could feed 2.6 times as much",
      whatIf: { change: 'the model at no cost', rowsPerSecond: 11_200_000 },
    },
  };
  return {
    version: 1,
    command: ['tandem', 'score', 'data', '--model', 'models/ranker', '--output', 'scores of today'],
    startedAt: '2026-11-21T16:20:00.000Z',
    environment: { ...environment, cores: 4 },
    model,
    settings: { compression: 'snappy', reader: 'duckdb' },
    window: undefined,
    ended: 'done',
    result: resultOf(cpuRows, cpuWall, 8, ledger),
    shards: shardsOf(8, cpuRows, cpuWall, 132),
    samples: cpuSamples(),
    decisions: [],
    timeline: lanesTimeline(4_000, 60),
    profiles: [],
  };
}

/** Of a second at a million rows a second. */
function gpuUtilization(
  device: string,
  of: { readonly busyMs: number; readonly reportedShare: number; readonly fedRowsPerSecond: number | undefined },
): Utilization {
  const { busyMs, reportedShare, fedRowsPerSecond } = of;
  const reported = {
    share: reportedShare,
    counts: 'time in which at least one kernel ran (NVML, sampled by the driver)',
  };
  return utilizationOfGpu({ device, steadyMs: 1000, busyMs, rowsPerSecond: 1e6, fedRowsPerSecond, reported })!;
}
