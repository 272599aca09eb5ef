import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TensorLayout } from '../batch.ts';
import { TandemError } from '../errors.ts';
import { deviceSlotBytes } from '../limits.ts';
import type { PlannedDevice } from '../plan.ts';
import { slotBytes } from '../score/scorer.ts';
import { fitBatchSlots } from './batch-slots.ts';
import { deviceSlots } from './devices.ts';

const mib = 2 ** 20;

/** A model that takes and gives so many bytes for each row. */
function modelOf(bytesPerRow: number) {
  const width = bytesPerRow / 8;
  const tensor: TensorLayout = {
    name: 'x',
    elementType: 'float32',
    rowShape: [width],
    width,
    features: [],
    featureWidths: [],
  };
  return { inputs: [tensor], outputs: [{ ...tensor, name: 'y' }] };
}

function deviceOf(bufferRows: number): PlannedDevice {
  const driver = { module: '', options: undefined };
  return {
    name: 'cuda:0',
    label: '',
    driver,
    buffers: 3,
    bufferRows,
    fixedBatchSize: undefined,
    memoryBudgetBytes: undefined,
  };
}

test('slots of batches: as for shards where there is room', () => {
  const model = modelOf(128);
  const devices = [deviceOf(2 ** 18)];
  assert.deepEqual(fitBatchSlots(devices, model, 4, 4096 * mib), deviceSlots(devices, 128, 4));
});

test('slots of batches: fewer, then smaller, then one for each thread, never more than fits', () => {
  const model = modelOf(128);
  const devices = [deviceOf(2 ** 20)];
  const { slotRows } = deviceSlots(devices, 128, 1);
  const cases = [
    // [bytes, slots, rows of one]
    [9 * deviceSlotBytes, 9, slotRows],
    [3 * deviceSlotBytes, 3, slotRows],
    [2 * deviceSlotBytes, 3, Math.floor(slotRows / 2)],
    [3 * 128, 3, 1],
    [2 * 128, 2, 1],
    [128, 1, 1],
  ] as const;
  for (const [bytes, slots, rows] of cases) {
    const fitted = fitBatchSlots(devices, model, 1, bytes);
    assert.deepEqual(fitted, { slotRows: rows, slots });
    assert.ok(fitted.slots * slotBytes(model, fitted.slotRows) <= bytes);
  }
});

test('slots of batches: wide rows that fit once for each thread, and that do not', () => {
  const model = modelOf(1024 * mib);
  const devices = [deviceOf(4)];
  assert.deepEqual(fitBatchSlots(devices, model, 4, 4096 * mib), { slotRows: 1, slots: 1 });
  assert.throws(
    () => fitBatchSlots(devices, model, 5, 4096 * mib),
    (error) => {
      assert.ok(error instanceof TandemError);
      assert.equal(error.code, 'MEMORY');
      assert.match(error.message, /slot of one row for each of 5 threads to fit into 4096 MiB, got a need of 5120 MiB/);
      assert.match(error.remedy ?? '', /fewer threads/);
      return true;
    },
  );
});
