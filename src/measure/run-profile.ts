/** A profile of a run under way: CPU profiles of its threads, and the ledger of the same time. */
import { TandemError } from '../errors.ts';
import { profileSecondsDefault } from '../limits.ts';
import { coreBound } from '../machine.ts';
import type { ScoreOptions } from '../options.ts';
import type { RunPlan } from '../plan.ts';
import type { RunProfile, RunRecord } from '../run-record.ts';
import type { Crew } from '../threads/crew.ts';
import type { CrewProfiling } from '../threads/crew-profiling.ts';
import type { ThreadRoom } from './verdict.ts';
import { ledgerBetween, recordOfWindow } from './window.ts';

/**
 * Gives whoever wants it the run that has begun. What they throw stops it.
 * @param record makes the run's record as it is by then
 */
export function announceRun(
  crew: Pick<Crew, 'profiling' | 'stop'>,
  { threadsBound }: Pick<RunPlan, 'threadsBound'>,
  record: () => RunRecord,
  onRun: ScoreOptions['onRun'],
): void {
  try {
    const room = { cores: coreBound().value, threadsBound };
    onRun?.({ profile: (seconds = profileSecondsDefault) => profileRun(crew.profiling, room, record, seconds) });
  } catch (cause) {
    crew.stop(new TandemError('USAGE', `Expected onRun not to throw, got ${String(cause)}.`, { cause }));
  }
}

async function profileRun(
  profiling: CrewProfiling,
  room: ThreadRoom,
  record: () => RunRecord,
  seconds: number,
): Promise<RunProfile> {
  if (profiling.isUnderWay) throw refused('one profile at a time, got a second one', 'Wait for the first one.');
  if (profiling.isOver) throw refused('the threads to be at work, got the end of the run', 'Ask earlier.');
  const { from, to, cpuSeconds, ...rest } = await profiling.take(seconds);
  const ledger = ledgerBetween(from, to, { ...room, cpuSeconds });
  const profile = { fromSeconds: from.wallMs / 1000, seconds: ledger.wallSeconds, ...rest, ledger };
  return { ...profile, record: recordOfWindow(record(), profile) };
}

function refused(text: string, remedy: string): TandemError {
  return new TandemError('USAGE', `Expected ${text}.`, { remedy });
}
