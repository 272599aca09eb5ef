import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDeviceSheet, readDeviceSheet } from './device-sheet.ts';
import type { CrewReading } from './ledger.ts';
import { createTimeSheet, readTimeSheet, TimeSheet } from './time-sheet.ts';
import { threadsNowMs } from './clock.ts';
import { cpuRunRecord, gpuRunRecord } from '../testing/run-records.ts';
import { fitted, ledgerBetween, recordOfWindow } from './window.ts';

test('parts are fitted to the time between, and none is below 0', () => {
  assert.deepEqual(fitted({ idleTail: -20, computing: 60, decode: 40 }, 80), {
    idleTail: 0,
    computing: 48,
    decode: 32,
  });
  assert.deepEqual(fitted({ idleTail: 0 }, 80), { idleTail: 0 });
});

test('a window has a ledger of its own, which adds up', () => {
  const startMs = threadsNowMs() - 5000;
  const memory = createTimeSheet(startMs, false);
  const sheet = new TimeSheet(memory);
  const device = createDeviceSheet(startMs, false);
  const read = (atMs: number): CrewReading => ({
    wallMs: atMs - startMs,
    prep: [readTimeSheet(memory, atMs)],
    writer: undefined,
    devices: [{ ...readDeviceSheet(device, atMs), name: 'cuda:0' }],
  });
  sheet.countRows(10);
  const fromMs = threadsNowMs();
  const from = read(fromMs);
  sheet.enter('featurize');
  sheet.countRows(100);
  const { wallSeconds, scorers, prep } = ledgerBetween(from, read(fromMs + 1000), { cores: 2 });
  assert.equal(wallSeconds, 1);
  assert.equal(prep[0]!.rowCount, 100);
  const shares = new Map(prep[0]!.parts.map(({ activity, share }) => [activity, share]));
  assert.ok(shares.get('featurize')! > 0.99, JSON.stringify(prep));
  assert.equal(shares.get('warmUp'), undefined);
  const warmUp = scorers[0]!.parts.find(({ name }) => name === 'warmUp')!;
  assert.ok(Math.abs(warmUp.share - 1) < 1e-9);
});

test('the record of a window has its rows, seconds and rate, and the rest of the run until then', () => {
  const whole = gpuRunRecord();
  const { ledger } = cpuRunRecord().result;
  const profile = { fromSeconds: 20, seconds: 9.4, missing: ['prep 1'], heaps: [], profiles: [], ledger: ledger! };
  const record = recordOfWindow({ ...whole, ended: 'STOPPED' }, profile);
  const { rowsOut, wallSeconds, rowsPerSecond, rowsIn, device } = record.result;
  assert.deepEqual([rowsOut, wallSeconds, rowsIn, device], [40_000_000, 9.4, whole.result.rowsIn, whole.result.device]);
  assert.equal(rowsPerSecond, 40_000_000 / 9.4);
  assert.deepEqual(record.window, { fromSeconds: 20, seconds: 9.4, missing: ['prep 1'], heaps: [] });
  assert.deepEqual([record.ended, record.result.ledger], ['done', ledger]);
  assert.deepEqual([record.samples, record.timeline], [whole.samples, whole.timeline]);
  assert.equal(recordOfWindow(whole, { ...profile, fromSeconds: 30 }).timeline, undefined);
});
