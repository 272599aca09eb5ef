/** Plans for rows of up to a gibibyte on a device: within the host's memory and the device's, or refused with the reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertFailure } from '../e2e/workplace.ts';
import { pageBytes } from '../engines/wasm.ts';
import { TandemError } from '../errors.ts';
import { deviceBufferShare, deviceSlotBytes, slotsPerThreadMin, wasmPagesMax } from '../limits.ts';
import type { MemoryLine, ModelPlan } from '../plan.ts';
import { slotBytes } from '../score/scorer.ts';
import { allocateRun, planSlots, scoreBytesPerRow, type ShardSize } from './allocate.ts';
import { deviceMemory, planDevices } from './devices.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;

/** A model that takes so many bytes for each row, and gives four. */
function modelOf(rowBytes: number): ModelPlan {
  const tensor = { elementType: 'float32', rowShape: [rowBytes / 4], width: rowBytes / 4 } as const;
  const input = { ...tensor, name: 'x', features: [], featureWidths: [] };
  const output = { name: 'y', elementType: 'float32', rowShape: [1], width: 1 } as const;
  const model = { path: 'm', bytes: 0, sha256: '', contractSha256: '', constants: [], columns: [] };
  return { ...model, inputs: [input], outputs: [output], fixedBatchRows: undefined };
}

const shard: ShardSize = {
  name: 'wide.parquet',
  path: '/d/wide.parquet',
  rowCount: 5000,
  rowGroupRows: [5000],
  rowGroupBytesMax: 50 * mib,
  splittable: true,
};

interface Machine {
  readonly rowBytes: number;
  readonly deviceBytes: number;
  readonly hostBytes: number;
  readonly batchSize?: number;
}

/** As `buildPlan` does it. */
function plan({ rowBytes, deviceBytes, hostBytes, batchSize }: Machine) {
  const model = modelOf(rowBytes);
  const gpu = { label: '', freeBytes: deviceBytes, totalBytes: deviceBytes, options: undefined };
  const found = ['cuda:0', 'cuda:1'].map((name) => ({ ...gpu, name, uuid: undefined }));
  const devices = planDevices(
    { module: '', found, onnxRuntimePath: undefined, notes: [], mayDecline: false, areNamed: false },
    model,
    batchSize,
    undefined,
  );
  const limit = { value: hostBytes, setBy: '--memory' };
  const slot = planSlots({ model, devices, batchSize }, 8, [shard], limit);
  const run = allocateRun({ value: 8, setBy: 'cores' }, [shard], slot, scoreBytesPerRow(model), limit);
  return { model, devices, slot, threads: run.threads, memory: [...run.memory, ...deviceMemory(devices, model)] };
}

function bytesOf(memory: readonly MemoryLine[], ...where: readonly MemoryLine['where'][]): number {
  const lines = memory.filter((line) => where.includes(line.where));
  return lines.reduce((sum, line) => sum + line.count * line.bytesEach, 0);
}

for (const rowBytes of [mib, 40 * mib, gib]) {
  test(`rows of ${rowBytes / mib} MiB: every plan stays within host and device, or is refused`, () => {
    let planned = 0;
    for (const hostBytes of [mib, 300 * mib, 700 * mib, 2 * gib, 16 * gib, 256 * gib]) {
      for (const deviceBytes of [mib, 2 * gib, 16 * gib, 80 * gib]) {
        let made: ReturnType<typeof plan>;
        try {
          made = plan({ rowBytes, hostBytes, deviceBytes });
        } catch (error) {
          assert.ok(error instanceof TandemError && error.code === 'MEMORY', String(error));
          continue;
        }
        planned++;
        const { model, devices, slot, threads, memory } = made;
        assert.ok(bytesOf(memory, 'host', 'pinned') <= hostBytes);
        assert.equal(bytesOf(memory, 'pinned'), threads * slot.count * slotBytes(model, slot.rows));
        assert.ok(bytesOf(memory, 'pinned') <= wasmPagesMax * pageBytes);
        assert.ok(bytesOf(memory, 'device') <= devices.length * deviceBytes * deviceBufferShare);
        assert.ok(slot.rows >= 1 && slot.count >= 1 && threads >= 1);
        assert.ok(slot.rows === 1 || slot.bytes <= deviceSlotBytes);
      }
    }
    assert.ok(planned >= 2, `${planned} plans`);
  });
}

test('wide rows where there is room: whole slots and as many as keep a thread going', () => {
  const machine = { deviceBytes: 80 * gib, hostBytes: 64 * gib };
  const narrow = plan({ ...machine, rowBytes: mib });
  assert.deepEqual([narrow.slot.rows, narrow.threads, narrow.devices[0]!.bufferRows], [7, 8, 4096]);
  const wide = plan({ ...machine, rowBytes: 40 * mib });
  assert.deepEqual([wide.slot.rows, wide.slot.count, wide.threads], [1, slotsPerThreadMin, 8]);
  assert.equal(wide.devices[0]!.bufferRows, 128);
  const widest = plan({ ...machine, rowBytes: gib });
  assert.deepEqual([widest.slot.rows, widest.slot.count, widest.threads], [1, slotsPerThreadMin, 1]);
  assert.equal(widest.devices[0]!.bufferRows, 4);
});

test('wide rows where there is little room: one slot at last', () => {
  const { slot, threads } = plan({ rowBytes: gib, deviceBytes: 80 * gib, hostBytes: 2 * gib });
  assert.deepEqual([slot.rows, slot.count, threads], [1, 1, 1]);
});

test('wide rows that do not fit are refused by what they do not fit into', () => {
  const refused = (machine: Machine): TandemError => {
    try {
      plan(machine);
    } catch (error) {
      if (error instanceof TandemError) return error;
      throw error;
    }
    throw new assert.AssertionError({ message: 'Expected no plan.' });
  };
  const code = 'MEMORY';
  assertFailure(refused({ rowBytes: gib, deviceBytes: 8 * gib, hostBytes: 64 * gib }), {
    code,
    place: {},
    message:
      /Expected 3 buffers of one row to fit into a quarter of what may be used of cuda:0, got a need of 3073 MiB of 2048 MiB/,
    remedy: /Free memory on the device.*--device cpu/,
  });
  assertFailure(refused({ rowBytes: 40 * mib, deviceBytes: 8 * gib, hostBytes: 64 * gib, batchSize: 1000 }), {
    code,
    place: {},
    message: /3 buffers of 1000 rows to fit/,
    remedy: /smaller --batch-size/,
  });
  assertFailure(refused({ rowBytes: gib, deviceBytes: 80 * gib, hostBytes: gib }), {
    code,
    place: { shard: 'wide.parquet' },
    message: /Expected one thread to fit into 1024MiB \(--memory\), got a need of \d+MiB, 1025MiB of it for slots/,
    remedy: /--memory \d+MiB.*smaller inputs/,
  });
  assertFailure(refused({ rowBytes: 5 * gib, deviceBytes: 80 * gib, hostBytes: 256 * gib }), {
    code,
    place: {},
    message: /Expected the slots of a thread to fit into 4096MiB, got a need of 5121MiB/,
    remedy: /smaller inputs/,
  });
});
