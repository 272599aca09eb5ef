/** The functions beside `score`: looking at shards and model, and checking a model folder against its golden rows. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { TandemError } from './errors.ts';
import type { CheckReport, KernelOptions, RunOptions } from './options.ts';
import type { InspectReport } from './inspect-report.ts';
import { score } from './pipeline.ts';
import type { SelectionOptions } from './relation.ts';
import { PlannerClient } from './threads/planner-client.ts';

export interface InspectOptions
  extends SelectionOptions, KernelOptions, Pick<RunOptions, 'reader' | 'signal' | 'onWarning'> {
  readonly shards: string | readonly string[];
  /** Without it only the shards are looked at. */
  readonly model?: string;
}

/** Rows, columns, row groups, drift, and which column feeds which input. What does not fit is in `problems`. */
export async function inspect(options: InspectOptions): Promise<InspectReport> {
  const { shards, model, reader, kernels, trees, where, limit, sample } = options;
  const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
  try {
    const scorers = { ...(kernels === undefined ? {} : { kernels }), ...(trees === undefined ? {} : { trees }) };
    const request = { kind: 'inspect', shards, model, reader, scorers, selection: { where, limit, sample } } as const;
    return (await planner.ask(request, 'inspected')).report;
  } finally {
    await planner.close([]);
  }
}

export interface CheckOptions extends RunOptions {
  /** A model folder with golden.parquet. */
  readonly model: string;
}

/** Scores golden.parquet through the whole path and compares. @throws BAD_CONTRACT when the folder has none */
export async function check(options: CheckOptions): Promise<CheckReport> {
  // Here and not above: validating takes a library that no other command needs on this thread.
  const { loadContract } = await import('./contract/load.ts');
  const { golden } = loadContract(options.model).contract;
  if (!existsSync(golden.path)) {
    throw new TandemError('BAD_CONTRACT', `Expected ${golden.path} with rows and their expected scores, got nothing.`, {
      remedy:
        'Write a few hundred rows of input with the scores of the training library, under the names of the score columns.',
    });
  }
  const folder = mkdtempSync(join(tmpdir(), 'tandem-check-'));
  try {
    const { device, precision } = await score({
      // Of so few rows the choice would not be worth its time; they stand for many.
      kernels: 'kernel',
      ...options,
      shards: golden.path,
      output: folder,
      keep: [],
      useProfile: false,
    });
    const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
    try {
      const request = {
        kind: 'compare',
        golden: golden.path,
        scores: join(folder, basename(golden.path)),
        tolerance: golden.tolerance,
        model: options.model,
      } as const;
      return { ...(await planner.ask(request, 'compared')).comparison, device, precision };
    } finally {
      await planner.close([]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
