/** What V8's CPU profiles of all threads say together. Pure. */
import type { Profiler } from 'node:inspector';
import { nativeFilePrefix } from '../engines/native.ts';
import { sleepFile } from '../engines/sleep.ts';
import { flameShareMin } from '../limits.ts';
import type { HotFunction, ThreadProfile } from '../run-record.ts';
import { selfMicroseconds } from './self-time.ts';
import { sumOf } from './verdict.ts';

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

/**
 * The same tree with one sample for each function, as long as all of its samples together: its size does not grow with
 * time. Functions that are too short to draw count with their callers.
 */
export function summedProfile(profile: Profile): Profile {
  const { nodes, startTime } = profile;
  const [root] = nodes;
  if (root === undefined) return profile;
  const self = selfMicroseconds(profile);
  const childrenOf = new Map(nodes.map(({ id, children = [] }) => [id, children]));
  const totals = new Map<number, number>();
  const measure = (id: number): number => {
    const total = (self.get(id) ?? 0) + sumOf(childrenOf.get(id) ?? [], measure);
    totals.set(id, total);
    return total;
  };
  const totalMin = flameShareMin * measure(root.id);
  const isKept = (id: number): boolean => totals.get(id)! >= totalMin;
  const kept = nodes
    .filter(({ id }) => isKept(id))
    .map((node) => ({ ...node, children: node.children?.filter(isKept) ?? [] }));
  const lengths = kept.map(({ id, children }) => totals.get(id)! - sumOf(children, (child) => totals.get(child)!));
  return {
    nodes: kept,
    startTime,
    endTime: startTime + sumOf(lengths, (length) => length),
    samples: kept.map(({ id }) => id),
    timeDeltas: [0, ...lengths.slice(0, -1)],
  };
}

/** The functions that took most of all threads' time, most first; threads that slept are not among them. */
export function hottest(profiles: readonly ThreadProfile[], count: number): HotFunction[] {
  const found = new Map<string, { name: string; file: string; selfSeconds: number; threads: Set<string> }>();
  let allSeconds = 0;
  for (const { thread, profile } of profiles) {
    const microseconds = selfMicroseconds(profile);
    for (const { id, callFrame } of profile.nodes) {
      const took = (microseconds.get(id) ?? 0) / 1e6;
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
