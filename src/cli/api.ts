/** The functions of the public API that the commands call; a seam, so that tests need no shards. */
import type { DoctorOptions } from '../doctor/doctor.ts';
import type { DoctorReport } from '../doctor/report.ts';
import type { FeaturizeOptions } from '../feature-options.ts';
import type { RowOptions, RowReport } from '../check/row-report.ts';
import type { AgainstOptions, KnownReport } from '../check/against-report.ts';
import type { InitOptions, InitReport } from '../init/init.ts';
import type { FitOptions, FitReport } from '../fit/report.ts';
import type {
  CheckReport,
  ProfileOptions,
  ProfileReport,
  ReaderName,
  RunOptions,
  ScoreOptions,
  ScoreResult,
  TuneOptions,
  TuneReport,
} from '../options.ts';
import type { InspectReport } from '../inspect-report.ts';
import type { RunPlan } from '../plan.ts';
import type { RunRecord } from '../run-record.ts';
import type { SetupCudaOptions, SetupReport } from '../setup/setup-cuda.ts';

export interface Api {
  score(options: ScoreOptions): Promise<ScoreResult>;
  planScore(options: ScoreOptions): Promise<RunPlan>;
  featurize(options: FeaturizeOptions): Promise<ScoreResult>;
  planFeaturize(options: FeaturizeOptions): Promise<RunPlan>;
  init(options: InitOptions): Promise<InitReport>;
  inspect(options: {
    readonly shards: string | readonly string[];
    readonly model?: string;
    readonly reader?: ReaderName;
    readonly onWarning?: (text: string) => void;
  }): Promise<InspectReport>;
  check(options: { readonly model: string } & RunOptions): Promise<CheckReport>;
  explainRow(options: RowOptions): Promise<RowReport>;
  checkAgainst(options: AgainstOptions): Promise<KnownReport>;
  fit(options: FitOptions): Promise<FitReport>;
  tune(options: TuneOptions): Promise<TuneReport>;
  profile(options: ProfileOptions): Promise<ProfileReport>;
  /** One, or as many as a report shows. */
  readRecords(path: string): Promise<readonly [RunRecord, ...RunRecord[]]>;
  doctor(options: DoctorOptions): Promise<DoctorReport>;
  setupCuda(options: SetupCudaOptions): Promise<SetupReport>;
}

/** Loads the API, and with it the engines; called after everything that needs neither has been checked. */
export type LoadApi = () => Promise<Api>;
