/** Keeps what a run tells about itself while it lasts: samples, shards, decisions, and what each thread did when. */
import { rateWindowMs, recordShardsMax, runSamplesMax, timelineSpansMax } from '../limits.ts';
import { coreBound } from '../machine.ts';
import type { BatchSizeDecision, ScoreOptions, ScoreResult } from '../options.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import type { RunRecord, RunSample, ShardRecord, Timeline } from '../run-record.ts';
import type { Crew, CrewListener } from '../threads/crew.ts';
import type { ByActivity } from './activities.ts';
import { checkSideFile } from '../write/side-file.ts';
import { threadsNowMs } from './clock.ts';
import { describeEnvironment, describeSettings } from './describe-run.ts';
import { bottleneckBetween, readingBetween } from './difference.ts';
import { EventSource } from './event-source.ts';
import type { CrewReading } from './ledger.ts';
import type { RunNow } from './metrics.ts';
import type { MetricsServer } from './metrics-server.ts';
import { SampleSeries } from './samples.ts';
import { TimelineKeeper } from './timeline.ts';
import { TraceFile } from './trace-file.ts';
import { sumOf } from './verdict.ts';

/** What is read of a crew. */
export type CrewView = Pick<Crew, 'read' | 'tally' | 'devicesNow' | 'sheets'>;

/** Of the run's threads, at a moment. */
interface Look {
  readonly reading: CrewReading;
  readonly rowsDone: number;
}

export class Recorder {
  readonly #options: ScoreOptions;
  readonly #startMs: number;
  readonly #startedAt = new Date().toISOString();
  readonly #warn: (text: string) => void;
  readonly #server: MetricsServer | undefined;
  readonly #cores = coreBound().value;
  readonly #samples = new SampleSeries(runSamplesMax);
  readonly #timeline = new TimelineKeeper(timelineSpansMax);
  readonly #shards: (ShardRecord & Pick<PlannedShard, 'index'>)[] = [];
  readonly #decisions: RunRecord['decisions'][number][] = [];
  /** Of the last few seconds, oldest first. */
  #looks: Look[] = [];
  #plan: RunPlan | undefined;
  #crew: CrewView | undefined;
  #events: EventSource | undefined;
  #shardNames: readonly string[] = [];
  #trace: TraceFile | undefined;

  private constructor(
    options: ScoreOptions,
    startMs: number,
    warn: (text: string) => void,
    files: { readonly server: MetricsServer | undefined; readonly trace: TraceFile | undefined },
  ) {
    this.#options = options;
    this.#startMs = startMs;
    this.#warn = warn;
    this.#server = files.server;
    this.#trace = files.trace;
    if (this.#server !== undefined) this.#server.look = () => this.now();
  }

  /**
   * Before any work: what cannot be had is found out now.
   * @param startMs of the run, on the clock of all threads
   * @throws USAGE where the trace cannot be written, or the metrics' address cannot be had
   */
  static async open(options: ScoreOptions, startMs: number, warn: (text: string) => void): Promise<Recorder> {
    const { output, trace: path, metrics } = options;
    if (path !== undefined) checkSideFile('--trace', path, output);
    const server =
      metrics === undefined ? undefined : await (await import('./metrics-server.ts')).MetricsServer.open(metrics);
    try {
      const trace = path === undefined ? undefined : await TraceFile.open(path, warn);
      return new Recorder(options, startMs, warn, { server, trace });
    } catch (error) {
      await server?.close();
      throw error;
    }
  }

  /** Whether the threads have to keep what they do. */
  get keepsEvents(): boolean {
    return this.#trace !== undefined || this.#options.onRecord !== undefined;
  }

  /** What the crew tells meanwhile, for the caller too. */
  get hears(): CrewListener {
    return {
      onWarning: this.#warn,
      onDecision: (decision) => this.#decided(decision),
      onShard: (index, outputBytes) => this.#shardDone(index, outputBytes),
    };
  }

  begin(plan: RunPlan): void {
    this.#plan = plan;
    this.#shardNames = plan.shards.map(({ name }) => name);
  }

  watch(crew: CrewView): void {
    this.#crew = crew;
    if (!this.keepsEvents) return;
    this.#events = new EventSource(crew.sheets, this.#plan!, this.#startMs);
    this.#trace?.name(this.#events.trackNames);
  }

  /** Takes a sample, and what the threads have done since the last one; call it a few times a second. */
  tick(): void {
    if (this.#crew === undefined) return;
    const { rowsScored: rowsDone, batchSize } = this.#crew.tally;
    const look = { reading: this.#crew.read(), rowsDone };
    const sample = this.#sample(this.#looks.at(-1), look, batchSize);
    this.#samples.add(sample);
    this.#looks = [...this.#looks.filter(({ reading }) => look.reading.wallMs - reading.wallMs <= rateWindowMs), look];
    this.#takeEvents(look.reading.wallMs);
    const names = this.#plan!.devices.map(({ name }) => name);
    this.#trace?.counters(sample, names);
  }

  /** What held the run up in the last few seconds, in words; undefined: that cannot be told yet. */
  get bottleneck(): string | undefined {
    const [first, ...later] = this.#looks;
    const last = later.at(-1);
    return first === undefined || last === undefined
      ? undefined
      : bottleneckBetween(first.reading, last.reading, {
          cores: this.#cores,
          threadsBound: this.#plan!.threadsBound,
        });
  }

  /** Over the last few seconds; undefined: that cannot be told yet. */
  get rowsPerSecond(): number | undefined {
    const [first, ...later] = this.#looks;
    const last = later.at(-1);
    return first === undefined || last === undefined ? undefined : rateBetween(first, last);
  }

  /** Undefined: no thread works yet. */
  now(): RunNow | undefined {
    const [crew, plan] = [this.#crew, this.#plan];
    if (crew === undefined || plan === undefined) return undefined;
    const { rowsScored, shardsDone, bytesWritten, batchSize } = crew.tally;
    return {
      reading: crew.read(),
      totals: { rows: plan.rowsTotal, shards: plan.shards.filter(({ done }) => !done).length },
      rowsScored,
      shardsDone,
      bytesWritten,
      rowsPerSecond: this.rowsPerSecond ?? 0,
      batchSize,
      residentBytes: process.memoryUsage.rss(),
      devices: crew.devicesNow,
    };
  }

  /** All threads have ended: the trace gets its name. */
  async endTrace(): Promise<void> {
    const trace = this.#trace;
    this.#trace = undefined;
    trace?.spans(this.#events?.takeLast(threadsNowMs()) ?? [], this.#shardNames);
    await trace?.close(this.#events?.lost ?? 0);
  }

  /** Call {@link begin} before. */
  record(ended: RunRecord['ended'], result: ScoreResult): RunRecord {
    const plan = this.#plan!;
    const { path, sha256, contractSha256 } = plan.model;
    return {
      version: 1,
      command: this.#options.command,
      startedAt: this.#startedAt,
      environment: describeEnvironment(plan),
      model: { path, sha256, contractSha256 },
      settings: describeSettings(plan, this.#options, result.batchSize),
      window: undefined,
      ended,
      result,
      shards: this.#shards.map(({ index: _, ...shard }) => shard),
      samples: this.#samples.samples,
      decisions: this.#decisions,
      timeline: this.#listedTimeline(result.wallSeconds * 1000),
      profiles: [],
    };
  }

  /** Gives back what {@link open} took. */
  async close(): Promise<void> {
    await this.#server?.close();
    if (this.#plan === undefined) await this.#trace?.discard();
    else await this.endTrace();
  }

  #sample(before: Look | undefined, now: Look, batchSize: number | undefined): RunSample {
    const { prep } = before === undefined ? now.reading : readingBetween(before.reading, now.reading);
    const sums = Object.entries(prep[0]?.parts ?? {}).map(
      ([activity]) => [activity, sumOf(prep, ({ parts }) => Math.max(0, parts[activity as keyof ByActivity]))] as const,
    );
    const all = sumOf(sums, ([, milliseconds]) => milliseconds);
    const devices = this.#crew!.devicesNow;
    return {
      atSeconds: now.reading.wallMs / 1000,
      rowsDone: now.rowsDone,
      rowsPerSecond: before === undefined ? (now.rowsDone / now.reading.wallMs) * 1000 : rateBetween(before, now),
      shares: Object.fromEntries(
        sums
          .filter(([, milliseconds]) => milliseconds > 0)
          .map(([activity, milliseconds]) => [activity, milliseconds / all]),
      ),
      queueDepths: devices.map(({ slots }) => slots),
      batchSize,
      residentBytes: process.memoryUsage.rss(),
      deviceBytes: devices.map(({ heldBytes }) => heldBytes),
    };
  }

  #takeEvents(nowMs: number): void {
    if (this.#events === undefined) return;
    const spans = this.#events.take();
    // What lies between two stretches would take half of the places, and shows as the gap that it is.
    this.#timeline.add(
      spans.filter(({ activity }) => activity !== 'handOver'),
      nowMs,
    );
    this.#trace?.spans(spans, this.#shardNames);
  }

  #shardDone(index: number, outputBytes: number): void {
    if (this.#shards.length === recordShardsMax) return;
    const { name, rowCount, bytes } = this.#plan!.shards[index]!;
    this.#shards.push({ index, name, rowCount, bytes, outputBytes, doneAtSeconds: this.#seconds() });
  }

  #decided(decision: BatchSizeDecision): void {
    this.#decisions.push({ ...decision, atSeconds: this.#seconds() });
    this.#options.onDecision?.(decision);
  }

  /** Its spans name shards by their position in the record. */
  #listedTimeline(endMs: number): Timeline | undefined {
    const timeline = this.#timeline.timeline(endMs, this.#events?.trackNames ?? []);
    if (timeline === undefined) return undefined;
    const listed = new Map(this.#shards.map(({ index }, position) => [index, position]));
    const tracks = timeline.tracks.map(({ name, spans }) => ({
      name,
      spans: spans.map(({ shardIndex, ...span }) => {
        const position = shardIndex === undefined ? undefined : listed.get(shardIndex);
        return position === undefined ? span : { ...span, shardIndex: position };
      }),
    }));
    return { ...timeline, tracks };
  }

  #seconds(): number {
    return (threadsNowMs() - this.#startMs) / 1000;
  }
}

function rateBetween(from: Look, to: Look): number {
  const seconds = (to.reading.wallMs - from.reading.wallMs) / 1000;
  return seconds > 0 ? (to.rowsDone - from.rowsDone) / seconds : 0;
}
