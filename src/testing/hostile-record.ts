/** A record whose names try to become markup, and are longer than a phone is wide. */
import type { Profiler } from 'node:inspector';
import type { RunRecord } from '../run-record.ts';
import { gpuRunRecord } from './run-records.ts';

export const hostile = `<img src=x onerror=alert(1)></script><script>alert(2)</script>"'\u2028`;

/** A run on two GPUs of which every text that comes from outside is hostile. */
export function hostileRunRecord(): RunRecord {
  const record = gpuRunRecord();
  const { ledger } = record.result;
  return {
    ...record,
    command: ['tandem', hostile],
    window: { fromSeconds: 2, seconds: 10, missing: [hostile], heaps: [{ thread: hostile, bytes: 1 }] },
    model: { path: hostile, sha256: hostile, contractSha256: hostile },
    settings: { [hostile]: hostile },
    environment: { ...record.environment, gpus: [hostile], cpu: hostile },
    result: {
      ...record.result,
      warnings: [hostile],
      output: hostile,
      device: hostile,
      ledger: {
        ...ledger!,
        scorers: ledger!.scorers.map((scorer) => ({ ...scorer, name: hostile + scorer.name })),
        verdict: { ...ledger!.verdict, sentence: hostile, whatIf: { change: hostile, rowsPerSecond: 1 } },
      },
    },
    shards: record.shards.map((shard) => ({ ...shard, name: hostile })),
    timeline: {
      ...record.timeline!,
      tracks: record.timeline!.tracks.map((track) => ({ ...track, name: hostile + track.name })),
    },
    decisions: record.decisions.map((decision) => ({ ...decision, device: hostile, reason: hostile })),
    profiles: record.profiles.map(({ thread, profile }) => ({
      thread: hostile + thread,
      profile: { ...profile, nodes: profile.nodes.map(hostileFunction) },
    })),
  };
}

function hostileFunction(node: Profiler.ProfileNode): Profiler.ProfileNode {
  return { ...node, callFrame: { ...node.callFrame, functionName: hostile + node.callFrame.functionName } };
}
