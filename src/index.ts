/** Tandem's public API. */
export { TandemError, errorCodes, formatError, type ErrorCode, type ErrorPlace } from './errors.ts';
export type {
  CheckReport,
  Compression,
  InputOptions,
  InspectedColumn,
  InspectReport,
  Progress,
  ReaderName,
  RunOptions,
  ScoreOptions,
  ScoreResult,
} from './options.ts';
export type { RunPlan } from './plan.ts';
export { planScore, score } from './pipeline.ts';
export { check, inspect, type CheckOptions, type InspectOptions } from './inspect.ts';
export { readShards, type ReadShardsOptions } from './read-shards.ts';
export { scoreBatches, type ScoreBatchesOptions } from './score-batches.ts';
