import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { coreBound, cpuQuota, memoryBound, memoryQuota, type ReadText } from './machine.ts';

function reading(files: Readonly<Record<string, string>>): ReadText {
  return (path) => files[path];
}

test('no control group: no quota', () => {
  assert.equal(cpuQuota(reading({})), undefined);
  assert.equal(memoryQuota(reading({})), undefined);
  assert.equal(coreBound(reading({})).value, availableParallelism());
});

test('cgroup v2: the smallest quota among the group and its parents counts', () => {
  const read = reading({
    '/proc/self/cgroup': '0::/kubepods/pod1/c2',
    '/sys/fs/cgroup/kubepods/pod1/c2/cpu.max': '250000 100000',
    '/sys/fs/cgroup/kubepods/pod1/cpu.max': '150000 100000',
    '/sys/fs/cgroup/kubepods/cpu.max': 'max 100000',
    '/sys/fs/cgroup/kubepods/pod1/c2/memory.max': 'max',
    '/sys/fs/cgroup/kubepods/pod1/memory.max': '1073741824',
  });
  assert.equal(cpuQuota(read), 1.5);
  assert.equal(memoryQuota(read), 2 ** 30);
});

test('cgroup v2 as a container sees it: its own group is the root', () => {
  const read = reading({
    '/proc/self/cgroup': '0::/',
    '/sys/fs/cgroup/cpu.max': '50000 100000',
    '/sys/fs/cgroup/memory.max': '536870912',
  });
  assert.equal(cpuQuota(read), 0.5);
  assert.equal(memoryQuota(read), 2 ** 29);
  assert.deepEqual(coreBound(read), { value: 1, setBy: "the container's CPU quota of 0.5 cores" });
});

test('cgroup v1: -1 and numbers near 2^63 mean no limit', () => {
  const free = reading({
    '/proc/self/cgroup': '4:memory:/docker/a\n3:cpu,cpuacct:/docker/a',
    '/sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us': '-1',
    '/sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us': '100000',
    '/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes': '9223372036854771712',
  });
  assert.equal(cpuQuota(free), undefined);
  assert.equal(memoryQuota(free), undefined);
  const bound = reading({
    '/proc/self/cgroup': '4:memory:/docker/a\n3:cpu,cpuacct:/docker/a',
    '/sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us': '100000',
    '/sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us': '100000',
    '/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes': '268435456',
  });
  assert.equal(cpuQuota(bound), 1);
  assert.equal(memoryQuota(bound), 2 ** 28);
});

test('the memory bound is a share of the limit, or of what is available', () => {
  const limited = reading({ '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/memory.max': String(2 ** 28) });
  assert.deepEqual(memoryBound(0.5, limited), { value: 2 ** 27, setBy: "50 % of the container's memory limit" });
  const free = reading({ '/proc/meminfo': 'MemTotal:  2000 kB\nMemAvailable:   1000 kB\n' });
  assert.equal(memoryBound(0.9, free).value, 900 * 1024);
});
