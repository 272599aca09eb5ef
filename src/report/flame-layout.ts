/** From V8's CPU profile to the frames of a flame graph: pure data, drawn elsewhere. */
import type { Profiler } from 'node:inspector';
import { flameDepthMax, flameShareMin } from '../limits.ts';
import { selfMicroseconds } from '../measure/self-time.ts';

export type Library = 'DuckDB' | 'ONNX Runtime' | 'Tandem' | 'Node';

/** A function under the functions that called it. */
export interface FlameFrame {
  readonly name: string;
  /** `prep.js:41`; empty: the engine's own. */
  readonly place: string;
  readonly library: Library;
  /** 0: the whole thread. */
  readonly depth: number;
  /** Where it lies, as shares of the thread's time. */
  readonly left: number;
  readonly right: number;
  /** Itself, without what it called; frames that are too deep or too small to draw count with their caller's total only. */
  readonly selfMs: number;
  readonly totalMs: number;
}

export interface FlameLimits {
  /** Deeper frames are not drawn. */
  readonly depthMax: number;
  /** Shorter ones are not either, as a share of the thread's time. */
  readonly shareMin: number;
}

export const flameLimits: FlameLimits = { depthMax: flameDepthMax, shareMin: flameShareMin };

/** A node with its time; children that are the same function are one. */
interface TimedNode {
  readonly frame: Profiler.ProfileNode['callFrame'];
  readonly selfUs: number;
  readonly totalUs: number;
  readonly children: readonly TimedNode[];
}

/** Frames from the root downwards, the longest child first. Empty: the profile has no samples. */
export function flameLayout(profile: Profiler.Profile, limits: FlameLimits = flameLimits): FlameFrame[] {
  const root = timedTree(profile);
  const frames: FlameFrame[] = [];
  if (root === undefined || root.totalUs <= 0) return frames;
  const place = (node: TimedNode, depth: number, leftUs: number): void => {
    if (depth > limits.depthMax || node.totalUs < limits.shareMin * root.totalUs) return;
    frames.push(frameOf(node, depth, leftUs, root.totalUs));
    let childLeftUs = leftUs;
    for (const child of node.children) {
      place(child, depth + 1, childLeftUs);
      childLeftUs += child.totalUs;
    }
  };
  place(root, 0, 0);
  return frames;
}

function frameOf({ frame, selfUs, totalUs }: TimedNode, depth: number, leftUs: number, wholeUs: number): FlameFrame {
  const file = frame.url.split('/').at(-1) ?? '';
  return {
    name: depth === 0 ? 'the whole thread' : frame.functionName === '' ? '(anonymous)' : frame.functionName,
    // V8 counts lines from 0.
    place: file === '' ? '' : `${file}:${frame.lineNumber + 1}`,
    library: depth === 0 ? 'Node' : libraryOf(frame),
    depth,
    left: leftUs / wholeUs,
    right: (leftUs + totalUs) / wholeUs,
    selfMs: selfUs / 1000,
    totalMs: totalUs / 1000,
  };
}

/** Undefined: there are no nodes. */
function timedTree(profile: Profiler.Profile): TimedNode | undefined {
  const { nodes } = profile;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const root = nodes[0];
  // Each node is somebody's child once: a file that says otherwise would never end.
  if (root !== undefined) byId.delete(root.id);
  return root === undefined ? undefined : mergedNode([root], byId, selfMicroseconds(profile));
}

function mergedNode(
  same: readonly Profiler.ProfileNode[],
  byId: Map<number, Profiler.ProfileNode>,
  selfUs: ReadonlyMap<number, number>,
): TimedNode {
  const groups = new Map<string, Profiler.ProfileNode[]>();
  for (const id of same.flatMap(({ children = [] }) => children)) {
    const child = byId.get(id);
    if (child === undefined) continue;
    byId.delete(id);
    const { functionName, url, lineNumber, columnNumber } = child.callFrame;
    const key = `${functionName}\n${url}\n${lineNumber}\n${columnNumber}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [child]);
    else group.push(child);
  }
  const children = [...groups.values()]
    .map((group) => mergedNode(group, byId, selfUs))
    .sort((a, b) => b.totalUs - a.totalUs);
  const own = same.reduce((sum, { id }) => sum + (selfUs.get(id) ?? 0), 0);
  return {
    frame: same[0]!.callFrame,
    selfUs: own,
    totalUs: children.reduce((sum, child) => sum + child.totalUs, own),
    children,
  };
}

/** Whose code it is. The engines' functions are called from our files, and are named after the C functions. */
export function libraryOf({
  functionName,
  url,
}: Pick<Profiler.ProfileNode['callFrame'], 'functionName' | 'url'>): Library {
  if (/^duckdb_/.test(functionName) || /engines\/duckdb\//.test(url)) return 'DuckDB';
  if (/^Ort[A-Z]?/.test(functionName) || /engines\/onnxruntime\//.test(url)) return 'ONNX Runtime';
  if (url === '' || url.startsWith('node:') || url.includes('/node_modules/')) return 'Node';
  return 'Tandem';
}
