/** Tandem's public API. */
export { TandemError, errorCodes, formatError, type ErrorCode, type ErrorPlace } from './errors.ts';
export type {
  BatchSizeDecision,
  BatchSizeSearch,
  CheckReport,
  DeviceReport,
  GpuMemory,
  InputOptions,
  KernelChoice,
  MetricsOptions,
  Precision,
  ProfileOptions,
  ProfileReport,
  Progress,
  ReaderName,
  RunningScore,
  RunOptions,
  ScoreOptions,
  ScoreResult,
  TunedSetting,
  TuneOptions,
  TuneProgress,
  TuneReport,
} from './options.ts';
export type { FeaturizeOptions } from './feature-options.ts';
export type { InspectedColumn, InspectReport } from './inspect-report.ts';
export type { Compression, OutputOptions } from './output-options.ts';
export type {
  HotFunction,
  Ledger,
  RunProfile,
  RunRecord,
  RunSample,
  ScorerLedger,
  ShardRecord,
  StorageLedger,
  ThreadLedger,
  ThreadProfile,
  Timeline,
  Utilization,
  Verdict,
} from './run-record.ts';
export { compareRuns, type Change, type Comparison, type Effect } from './report/comparison.ts';
export { readRecords } from './report/read-record.ts';
export { renderReport } from './report/report.ts';
export type { RunPlan } from './plan.ts';
export type { PlannedSelection, SelectionOptions } from './relation.ts';
export { featurize, planFeaturize, planScore, score } from './pipeline.ts';
export { init, type InitOptions, type InitReport, type InitSource } from './init/init.ts';
export { check, inspect, type CheckOptions, type InspectOptions } from './inspect.ts';
export { checkAgainst } from './check/against.ts';
export { explainRow } from './check/explain-row.ts';
export type { RowAddress, RowOptions, RowReport } from './check/row-report.ts';
export type { AgainstOptions, KnownColumn, KnownReport } from './check/against-report.ts';
export { fit } from './fit/fit.ts';
export type { FitOptions, FitProgress, FitReport, FittedParameter } from './fit/report.ts';
export { leaveProfile } from './profile/profile-files.ts';
export { profile } from './profile/profile.ts';
export { tune } from './tune/tune.ts';
export { readShards, type ReadShardsOptions } from './read-shards.ts';
export { scoreBatches, type ScoreBatchesOptions } from './score-batches.ts';
export { doctor, type DoctorOptions } from './doctor/doctor.ts';
export type { DoctorItem, DoctorReport } from './doctor/report.ts';
export { setupCuda, type SetupCudaOptions, type SetupPart, type SetupReport } from './setup/setup-cuda.ts';
