/** SIGUSR2 to a running `tandem score`: a profile of the next seconds, beside its output. */
import { asTandemError } from '../errors.ts';
import { profileSecondsDefault } from '../limits.ts';
import type { RunningScore } from '../options.ts';
import { counted } from './format.ts';
import type { Io } from './io.ts';

export interface ProfileWatch {
  /** From here on there are threads to profile. */
  begin(run: RunningScore): void;
  /** Waits for the profile that is under way; from here on the signal does what it does without us. */
  end(): Promise<void>;
}

/** Begin before anything else: without a handler the signal ends the process. */
export function watchProfileSignal(
  io: Pick<Io, 'onProfileSignal'>,
  output: string,
  say: (line: string) => void,
): ProfileWatch {
  let run: RunningScore | undefined;
  let taking: Promise<void> | undefined;
  const take = async (of: RunningScore): Promise<void> => {
    try {
      const profile = await of.profile();
      const { leaveProfile } = await import('../profile/profile-files.ts');
      const folder = await leaveProfile(output, profile);
      const { seconds, profiles, missing } = profile;
      const without = missing.length === 0 ? '' : `, without ${missing.join(', ')}, which did not come by`;
      say(`profile: ${seconds.toFixed(1)} s of ${counted(profiles.length, 'thread')}${without}: ${folder}`);
    } catch (error) {
      // The run has nothing to do with it, and goes on.
      say(`profile: none was written: ${asTandemError(error).message}`);
    }
  };
  const remove = io.onProfileSignal(() => {
    if (run === undefined) return say('profile: nothing to see yet, the run is being planned');
    if (taking !== undefined) return say('profile: one is being taken already');
    say(`profile: taking one of the next ${profileSecondsDefault} s`);
    taking = take(run).finally(() => (taking = undefined));
  });
  return {
    begin: (started) => (run = started),
    end: async () => {
      await taking;
      remove();
    },
  };
}
