import assert from 'node:assert/strict';
import { test } from 'node:test';
import { control } from '../messages.ts';
import { createSlotQueues, endDevice, SlotReceiver, SlotSender, waitForOtherDevices } from './slot-queue.ts';

const address = { shardIndex: 0, firstRow: 0, rowCount: 5 };

function queues(slots: number, producers: number, devices: number) {
  const memory = createSlotQueues(slots, producers, devices);
  const flags = new Int32Array(new SharedArrayBuffer(control.length * 4));
  const receivers = memory.queues.map((_, device) => new SlotReceiver(memory, device, flags));
  return { memory, flags, sender: new SlotSender(memory, flags), receivers };
}

test('a ring of few places carries many slots, in order', () => {
  const { sender, receivers } = queues(2, 1, 1);
  const [receiver] = receivers as [SlotReceiver];
  for (let round = 0; round < 10; round++) {
    for (const slot of [0, 1]) sender.send(slot, { ...address, firstRow: round });
    for (const slot of [0, 1]) {
      assert.deepEqual(receiver.receive(), { slot, address: { ...address, firstRow: round } });
      receiver.giveBack(slot);
      sender.take(slot);
    }
    assert.equal(receiver.receive(), undefined);
  }
  sender.end();
  assert.equal(receiver.receive(), 'ended');
});

test('slots go to the device that holds fewest, and past those that are lost', () => {
  const { sender, receivers } = queues(4, 1, 2);
  const [first, second] = receivers as [SlotReceiver, SlotReceiver];
  for (const slot of [0, 1, 2]) sender.send(slot, address);
  assert.deepEqual(
    [first.receive(), second.receive(), first.receive()],
    [0, 1, 2].map((slot) => ({ slot, address })),
  );
  first.markLost();
  for (const slot of [0, 2]) assert.equal(first.passOn(slot), true);
  sender.send(3, address);
  assert.deepEqual(
    [second.receive(), second.receive(), second.receive()],
    [0, 2, 3].map((slot) => ({ slot, address })),
  );
  second.markLost();
  assert.equal(second.passOn(0), false);
});

test('whoever waits for a slot ends with the run', () => {
  const { flags, sender, receivers } = queues(1, 1, 1);
  sender.send(0, address);
  Atomics.store(flags, control.stop, 1);
  assert.throws(() => sender.take(0), { code: 'STOPPED' });
  assert.throws(() => receivers[0]!.receive(), { code: 'STOPPED' });
});

test('the last device knows that it is the last', () => {
  const { memory } = queues(1, 1, 2);
  assert.equal(waitForOtherDevices(memory, 10), false);
  endDevice(memory);
  assert.equal(waitForOtherDevices(memory, 10), true);
});
