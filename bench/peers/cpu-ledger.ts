/** CPU time of a whole tree of processes, from samples of /proc: those that ended between two samples included. */

/** What /proc/<pid>/stat says of a process. Times in clock ticks since it started. */
export interface ProcessSample {
  readonly pid: number;
  readonly parentPid: number;
  readonly group: number;
  readonly session: number;
  /** With the pid it tells a process from a later one that got the same pid. */
  readonly startedAtTicks: number;
  /** Its own threads, user and system. */
  readonly ownTicks: number;
  /** Children that ended and that it waited for, with theirs. */
  readonly waitedTicks: number;
  readonly residentPages: number;
}

/** Fields by their number in proc_pid_stat(5), of which the second is a name in parentheses that may hold anything. */
export function parseStat(text: string): ProcessSample {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    pid: Number.parseInt(text, 10),
    parentPid: field(4),
    group: field(5),
    session: field(6),
    startedAtTicks: field(22),
    ownTicks: field(14) + field(15),
    waitedTicks: field(16) + field(17),
    residentPages: field(24),
  };
}

/**
 * Members are the root, their children, whoever shares the root's group or session, and whoever was a member once.
 * A child that ended is in its parent's `waitedTicks`, unless the parent does not wait (SIGCHLD ignored) or has ended
 * itself; then its last sample stands for it. So the larger of the two counts.
 */
export class CpuLedger {
  readonly #rootPid: number;
  readonly #last = new Map<string, ProcessSample>();
  #alive: ReadonlyMap<number, ProcessSample> = new Map();

  constructor(rootPid: number) {
    this.#rootPid = rootPid;
  }

  /** Takes all processes of one moment (others than members too), and gives the members among them. */
  take(samples: readonly ProcessSample[]): readonly ProcessSample[] {
    const members = new Map<number, ProcessSample>();
    // Again while it finds more: a child may come before its parent.
    for (let found = -1; found !== members.size;) {
      found = members.size;
      for (const sample of samples) if (this.#belongs(sample, members)) members.set(sample.pid, sample);
    }
    this.#alive = members;
    for (const sample of members.values()) this.#last.set(keyOf(sample), sample);
    return [...members.values()];
  }

  /** Of a root that has ended. `rootWaitedTicks`: what this process's own `waitedTicks` grew by since it started it. */
  totalTicks(rootWaitedTicks: number): number {
    const members = [...this.#last.values()];
    const pids = new Set(members.map(({ pid }) => pid));
    const root = members.filter(({ pid }) => pid === this.#rootPid);
    // Their parent has ended, and whoever adopted them is none of us.
    const orphans = members.filter(({ pid, parentPid }) => pid !== this.#rootPid && !pids.has(parentPid));
    return Math.max(this.#sum(root), rootWaitedTicks) + this.#sum(orphans);
  }

  #belongs(sample: ProcessSample, members: ReadonlyMap<number, ProcessSample>): boolean {
    const { pid, parentPid, group, session } = sample;
    return [pid, group, session].includes(this.#rootPid) || members.has(parentPid) || this.#last.has(keyOf(sample));
  }

  #isAlive(sample: ProcessSample): boolean {
    const now = this.#alive.get(sample.pid);
    return now !== undefined && keyOf(now) === keyOf(sample);
  }

  #total(sample: ProcessSample): number {
    const children = [...this.#last.values()].filter(
      ({ pid, parentPid }) => parentPid === sample.pid && pid !== sample.pid,
    );
    const ended = this.#sum(children.filter((child) => !this.#isAlive(child)));
    const alive = this.#sum(children.filter((child) => this.#isAlive(child)));
    return sample.ownTicks + Math.max(sample.waitedTicks, ended) + alive;
  }

  #sum(samples: readonly ProcessSample[]): number {
    return samples.reduce((ticks, sample) => ticks + this.#total(sample), 0);
  }
}

function keyOf({ pid, startedAtTicks }: ProcessSample): string {
  return `${pid}:${startedAtTicks}`;
}
