/** The functions of the public API that the commands call; a seam, so that tests need no shards. */
import type { CheckReport, InspectReport, ReaderName, RunOptions, ScoreOptions, ScoreResult } from '../options.ts';
import type { RunPlan } from '../plan.ts';

export interface Api {
  score(options: ScoreOptions): Promise<ScoreResult>;
  planScore(options: ScoreOptions): Promise<RunPlan>;
  inspect(options: {
    readonly shards: string | readonly string[];
    readonly model?: string;
    readonly reader?: ReaderName;
    readonly onWarning?: (text: string) => void;
  }): Promise<InspectReport>;
  check(options: { readonly model: string } & RunOptions): Promise<CheckReport>;
}

/** Loads the API, and with it the engines; called after everything that needs neither has been checked. */
export type LoadApi = () => Promise<Api>;
