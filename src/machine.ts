/** Cores and memory that this process may use: the machine's, or less where a container says so. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { join } from 'node:path';

/** A bound and what set it, in words. */
export interface Bound {
  readonly value: number;
  readonly setBy: string;
}

/** Reads a file, undefined when there is none; passed in by tests. */
export type ReadText = (path: string) => string | undefined;

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
};

/** Folders of this process's control groups, v2 and v1, from /proc/self/cgroup; the root ones for a container's own view. */
function groupFolders(read: ReadText, controller: string): string[] {
  const folders: string[] = [];
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, path] = line.split(':');
    if (path === undefined) continue;
    if (controllers === '') folders.push(...withParents('/sys/fs/cgroup', path));
    else if (controllers!.split(',').includes(controller))
      folders.push(...withParents(`/sys/fs/cgroup/${controller}`, path));
  }
  return [...folders, '/sys/fs/cgroup', `/sys/fs/cgroup/${controller}`, '/sys/fs/cgroup/cpu,cpuacct'];
}

/** A limit of any ancestor counts. */
function withParents(root: string, path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, index) => join(root, ...parts.slice(0, parts.length - index)));
}

/** CPU quota in cores; undefined: none. */
export function cpuQuota(read: ReadText = readText): number | undefined {
  const quotas = groupFolders(read, 'cpu').flatMap((folder) => {
    const [quota, period] = (read(`${folder}/cpu.max`) ?? '').split(' ').map(Number);
    const quotaV1 = Number(read(`${folder}/cpu.cfs_quota_us`) ?? -1);
    const periodV1 = Number(read(`${folder}/cpu.cfs_period_us`) ?? 0);
    const cores: number[] = [];
    if (quota !== undefined && quota > 0 && period !== undefined && period > 0) cores.push(quota / period);
    if (quotaV1 > 0 && periodV1 > 0) cores.push(quotaV1 / periodV1);
    return cores;
  });
  return quotas.length === 0 ? undefined : Math.min(...quotas);
}

/** Memory limit of the control groups in bytes; undefined: none. */
export function memoryQuota(read: ReadText = readText): number | undefined {
  // v1 says "no limit" as a number near 2^63.
  const limits = groupFolders(read, 'memory')
    .flatMap((folder) => [read(`${folder}/memory.max`), read(`${folder}/memory.limit_in_bytes`)])
    .map(Number)
    .filter((bytes) => Number.isFinite(bytes) && bytes > 0 && bytes < 2 ** 60);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** Cores for prep threads: at least one. */
export function coreBound(read: ReadText = readText): Bound {
  const machine = availableParallelism();
  const quota = cpuQuota(read);
  if (quota !== undefined && quota < machine)
    return { value: Math.max(1, Math.ceil(quota)), setBy: `the container's CPU quota of ${quota} cores` };
  return { value: machine, setBy: `the machine's ${machine} cores` };
}

/** `AMD EPYC 7763, 8 cores`: what tells one CPU from another where speed is concerned. */
export function cpuLabel(read: ReadText = readText): string {
  const cores = coreBound(read).value;
  return `${cpus()[0]?.model.trim() || process.arch}, ${cores} ${cores === 1 ? 'core' : 'cores'}`;
}

/** Bytes of memory for the process. */
export function memoryBound(share: number, read: ReadText = readText): Bound {
  const quota = memoryQuota(read);
  if (quota !== undefined && quota < totalmem())
    return { value: Math.floor(quota * share), setBy: `${share * 100} % of the container's memory limit` };
  const available =
    Number(/^MemAvailable:\s+(\d+) kB$/m.exec(read('/proc/meminfo') ?? '')?.[1] ?? 0) * 1024 || freemem();
  return { value: Math.floor(available * share), setBy: `${share * 100} % of the machine's available memory` };
}
