/** What V8's CPU profiles of all threads say together. Pure. */
import type { Profiler } from 'node:inspector';
import { nativeFilePrefix } from '../engines/native.ts';
import { sleepFile } from '../engines/sleep.ts';
import type { HotFunction, ThreadProfile } from '../run-record.ts';

type Profile = Profiler.Profile;
type Node = Profiler.ProfileNode;

/**
 * Gives the time of C functions to the functions that `nameInProfiles` put before them: V8 shows the call itself below
 * these, under one name for all.
 */
export function foldNativeCalls(profile: Profile): Profile {
  const parentOf = new Map(profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id])));
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const isNativeCall = ({ id, callFrame }: Node): boolean =>
    callFrame.url === '' &&
    !callFrame.functionName.startsWith('(') &&
    byId.get(parentOf.get(id) ?? -1)?.callFrame.url.startsWith(nativeFilePrefix) === true;
  const folded = new Map(profile.nodes.filter(isNativeCall).map((node) => [node.id, node]));
  // What it calls by itself goes by that one name too, which is some function's.
  const shared = new Set([...folded.values()].map(({ callFrame }) => callFrame.functionName));
  const renamed = (node: Node): Node =>
    node.callFrame.url === '' && shared.has(node.callFrame.functionName)
      ? { ...node, callFrame: { ...node.callFrame, functionName: '(native add-on)' } }
      : node;
  const keptId = (id: number): number => (folded.has(id) ? parentOf.get(id)! : id);
  const nodes = profile.nodes
    .filter(({ id }) => !folded.has(id))
    .map((node) => {
      const calls = (node.children ?? []).flatMap((child) => folded.get(child) ?? []);
      if (calls.length === 0) return renamed(node);
      const children = [...node.children!, ...calls.flatMap((call) => call.children ?? [])];
      const hitCount = calls.reduce((sum, call) => sum + (call.hitCount ?? 0), node.hitCount ?? 0);
      return { ...node, hitCount, children: children.filter((child) => !folded.has(child)) };
    });
  return { ...profile, nodes, ...(profile.samples && { samples: profile.samples.map(keptId) }) };
}

/** Seconds of each node by itself: a sample stands for the time until the next one. */
export function selfSeconds({ samples = [], timeDeltas = [], endTime, startTime }: Profile): Map<number, number> {
  const seconds = new Map<number, number>();
  let atMicroseconds = startTime;
  samples.forEach((id, index) => {
    atMicroseconds += timeDeltas[index] ?? 0;
    const untilNext = timeDeltas[index + 1] ?? Math.max(0, endTime - atMicroseconds);
    seconds.set(id, (seconds.get(id) ?? 0) + untilNext / 1e6);
  });
  return seconds;
}

/** The functions that took most of all threads' time, most first; threads that slept are not among them. */
export function hottest(profiles: readonly ThreadProfile[], count: number): HotFunction[] {
  const found = new Map<string, { name: string; file: string; selfSeconds: number; threads: Set<string> }>();
  let allSeconds = 0;
  for (const { thread, profile } of profiles) {
    const seconds = selfSeconds(profile);
    for (const { id, callFrame } of profile.nodes) {
      const took = seconds.get(id) ?? 0;
      if (took === 0 || isAsleep(callFrame)) continue;
      allSeconds += took;
      const name = callFrame.functionName || `(line ${callFrame.lineNumber + 1})`;
      const file = shortFile(callFrame.url);
      const key = `${name} ${file}`;
      const entry = found.get(key) ?? { name, file, selfSeconds: 0, threads: new Set() };
      entry.selfSeconds += took;
      entry.threads.add(thread);
      found.set(key, entry);
    }
  }
  return [...found.values()]
    .sort((one, other) => other.selfSeconds - one.selfSeconds)
    .slice(0, count)
    .map((entry) => ({ ...entry, share: entry.selfSeconds / allSeconds, threads: entry.threads.size }));
}

/** Sleeping threads are sampled as working ones are. */
function isAsleep({ functionName, url }: Node['callFrame']): boolean {
  return functionName === '(idle)' || url === `${nativeFilePrefix}${sleepFile}`;
}

function shortFile(url: string): string {
  if (url.startsWith(nativeFilePrefix)) return url.slice(nativeFilePrefix.length);
  if (url.startsWith('node:')) return url;
  return /(?:dist\/(?:src\/)?|node_modules\/)(.*)$/.exec(url)?.[1] ?? url;
}
