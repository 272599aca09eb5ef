#!/usr/bin/env node
import type { LoadApi } from './cli/api.ts';
import { processIo } from './cli/io.ts';
import { withFirstSignals } from './cli/report-error.ts';
import { endIdleWorkers, startWorkersAhead } from './threads/start-worker.ts';

const args = process.argv.slice(2);
// Before anything that takes time to load. What asks for a profile must not end the process while nothing listens.
if (process.platform !== 'win32') process.on('SIGUSR2', () => {});
const io = withFirstSignals(processIo(), args.includes('--json'));
const isJob = args[0] === 'score' || args[0] === 'featurize';
// The planner gets ready while the command line is read.
if (isJob) startWorkersAhead('./planner.js', 1);
const { runCommandLine } = await import('./cli/run.ts');

// Not by way of index.ts, which also loads apache-arrow: a quarter of a second that no command needs.
// Each function by itself: doctor and setup must work where a library that scoring needs does not load.
const loadApi: LoadApi = async () => ({
  score: async (options) => (await import('./pipeline.ts')).score(options),
  planScore: async (options) => (await import('./pipeline.ts')).planScore(options),
  featurize: async (options) => (await import('./pipeline.ts')).featurize(options),
  planFeaturize: async (options) => (await import('./pipeline.ts')).planFeaturize(options),
  init: async (options) => (await import('./init/init.ts')).init(options),
  inspect: async (options) => (await import('./inspect.ts')).inspect(options),
  check: async (options) => (await import('./inspect.ts')).check(options),
  explainRow: async (options) => (await import('./check/explain-row.ts')).explainRow(options),
  checkAgainst: async (options) => (await import('./check/against.ts')).checkAgainst(options),
  fit: async (options) => (await import('./fit/fit.ts')).fit(options),
  tune: async (options) => (await import('./tune/tune.ts')).tune(options),
  profile: async (options) => (await import('./profile/profile.ts')).profile(options),
  readRecords: async (path) => (await import('./report/read-record.ts')).readRecords(path),
  doctor: async (options) => (await import('./doctor/doctor.ts')).doctor(options),
  setupCuda: async (options) => (await import('./setup/setup-cuda.ts')).setupCuda(options),
});

process.exitCode = await runCommandLine(args, io, loadApi);
endIdleWorkers();
if (isJob && process.exitCode === 0 && endsAtOnce()) io.exitNow(0);

/**
 * Whether nothing is left to do for the process: all is closed, what it had to say has been written, and nobody has asked
 * Node for something at its end. To take down threads and heaps takes it some 25 ms.
 */
function endsAtOnce(): boolean {
  const { NODE_OPTIONS, NODE_V8_COVERAGE } = process.env;
  const isWritten = process.stdout.writableLength === 0 && process.stderr.writableLength === 0;
  return isWritten && process.execArgv.length === 0 && !NODE_OPTIONS && !NODE_V8_COVERAGE;
}
