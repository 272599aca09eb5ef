import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { CpuLedger, parseStat, type ProcessSample } from './cpu-ledger.ts';
import { runTree } from './process-tree.ts';

const skip = process.platform !== 'linux' && 'reads /proc';

/** A process that does so much work, and says at its end what it took by its own count. */
const burn = `
  const burn = (ms) => { while ((process.cpuUsage().user + process.cpuUsage().system) / 1000 < ms); };
  const { execFileSync, spawn } = require('node:child_process');
  const child = (code) => execFileSync(process.execPath, ['-e', code], { encoding: 'utf8' });
  const own = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6; };
`;

test('the fields of a stat file are found behind a name that looks like fields', () => {
  const fields = ['S', 7, 8, 9, 0, -1, 0, 0, 0, 0, 0, 11, 12, 13, 14, 20, 0, 1, 0, 4711, 99_999, 250];
  const sample = parseStat(`42 (a) 1 (b c)) ${fields.join(' ')} 18446744073709551615 1\n`);
  const times = { ownTicks: 23, waitedTicks: 27, startedAtTicks: 4711 };
  assert.deepEqual(sample, { pid: 42, parentPid: 7, group: 8, session: 9, ...times, residentPages: 250 });
});

test('a tree: child, grandchild and those that are too short to be seen are counted once', { skip }, async () => {
  // Each prints its seconds and those of its children; the root's sum is what must be found.
  const leaf = `${burn} burn(400); console.log(own());`;
  const short = `${burn} console.log(own());`;
  const middle = `${burn} const below = Number(child(${JSON.stringify(leaf)})); burn(300); console.log(own() + below);`;
  const root = `${burn} const below = [child(${JSON.stringify(middle)}), ...[1, 2, 3, 4].map(() => child(${JSON.stringify(short)}))];
    burn(200); console.log(own() + below.map(Number).reduce((a, b) => a + b));`;
  const run = await runTree({ file: process.execPath, args: ['-e', root], secondsMax: 60 });
  assert.equal(run.exitCode, 0);
  const told = Number(run.lines.find(({ stream }) => stream === 'stdout')!.text);
  assert.ok(told > 0.9, `${told}`);
  // Node's own start and end lie outside what it can tell of itself: some 20 ms of each of the seven processes.
  assert.ok(run.cpuSeconds > told - 0.05 && run.cpuSeconds < told + 0.35, `${run.cpuSeconds} for ${told}`);
  assert.ok(run.processesMax >= 3, `${run.processesMax}`);
  assert.ok(run.wallSeconds >= 0.9, `${run.wallSeconds}`);
});

test('memory is the sum over the processes of one moment, shared pages divided', { skip }, async () => {
  const hold = (mb: number): string => `const held = Buffer.alloc(${mb} * 2 ** 20, 1); setTimeout(() => held, 1500);`;
  const root = `const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(hold(200))}]);
    ${hold(100)}`;
  const { peakRssBytes, peakPssBytes } = await runTree({ file: process.execPath, args: ['-e', root], secondsMax: 60 });
  assert.ok(peakRssBytes > 300 * 2 ** 20 && peakRssBytes < 500 * 2 ** 20, `${peakRssBytes}`);
  assert.ok(peakPssBytes > 300 * 2 ** 20 && peakPssBytes < peakRssBytes, `${peakPssBytes} of ${peakRssBytes}`);
});

test('at the time limit all of it is killed, a child in a session of its own too', { skip }, async () => {
  const root = `const { pid } = require('node:child_process').spawn('sleep', ['600'], { detached: true, stdio: 'inherit' });
    console.log(pid); setTimeout(() => {}, 600_000);`;
  const run = await runTree({ file: process.execPath, args: ['-e', root], secondsMax: 1 });
  assert.ok(run.timedOut);
  assert.equal(run.exitCode, null);
  await assertEnded(run.lines[0]!.text);
});

test('what outlives the root is killed when the root ends', { skip }, async () => {
  const root = `const child = require('node:child_process').spawn('sleep', ['600'], { stdio: 'inherit' });
    console.log(child.pid); child.unref(); setTimeout(() => process.exit(3), 400);`;
  const run = await runTree({ file: process.execPath, args: ['-e', root], secondsMax: 60 });
  assert.equal(run.exitCode, 3);
  assert.ok(run.wallSeconds < 30);
  await assertEnded(run.lines[0]!.text);
});

test('an interrupt ends the program too', { skip }, async () => {
  const code = `import { runTree } from ${JSON.stringify(new URL('./process-tree.js', import.meta.url).href)};
    const onSample = ([root]) => console.log(root.pid);
    await runTree({ file: 'sleep', args: ['600'], secondsMax: 60, onSample });`;
  const outer = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = await new Promise<string>((resolve) => {
    outer.stdout.once('data', (bytes: Buffer) => resolve(String(bytes).split('\n')[0]!));
  });
  const ended = new Promise((resolve) => outer.once('exit', resolve));
  outer.kill('SIGINT');
  assert.equal(await ended, 130);
  await assertEnded(pid);
});

test('a program that is not there is an error', { skip }, async () => {
  await assert.rejects(runTree({ file: '/nowhere/program', args: [], secondsMax: 1 }), /ENOENT/);
});

test('children of a parent that does not wait are counted, children that it waited for not twice', () => {
  const ledger = new CpuLedger(10);
  const root = { pid: 10, parentPid: 1 };
  ledger.take([
    sample({ ...root, ownTicks: 5 }),
    sample({ pid: 11, parentPid: 10, ownTicks: 40 }),
    sample({ pid: 99 }),
  ]);
  ledger.take([sample({ ...root, ownTicks: 6 }), sample({ pid: 12, parentPid: 10, ownTicks: 3 })]);
  // 11 has ended and nobody waited for it; 12 still runs, and becomes somebody else's child.
  ledger.take([sample({ pid: 12, parentPid: 1, ownTicks: 4 })]);
  assert.equal(ledger.totalTicks(6), 6 + 40 + 4);
  // The same with a root whose parent was told of the root and of 11.
  assert.equal(ledger.totalTicks(6 + 44), 6 + 44 + 4);
});

test('another process with the pid of a member is not a member', () => {
  const ledger = new CpuLedger(10);
  ledger.take([sample({ pid: 10 }), sample({ pid: 11, parentPid: 10, ownTicks: 2 })]);
  const members = ledger.take([sample({ pid: 10 }), sample({ pid: 11, startedAtTicks: 77, ownTicks: 500 })]);
  assert.deepEqual(
    members.map(({ pid }) => pid),
    [10],
  );
  assert.equal(ledger.totalTicks(0), 2);
});

function sample(fields: Partial<ProcessSample>): ProcessSample {
  const none = { ownTicks: 0, waitedTicks: 0, residentPages: 0 };
  return { pid: 0, parentPid: 1, group: 1, session: 1, startedAtTicks: 1, ...none, ...fields };
}

/** A killed process that nobody has waited for yet has no memory any more; its status says so. */
async function assertEnded(pid: string): Promise<void> {
  for (let trial = 0; trial < 50 && existsSync(`/proc/${pid}/exe`); trial++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(!existsSync(`/proc/${pid}/exe`), `process ${pid} still runs`);
}
