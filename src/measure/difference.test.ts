import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byActivity, type ByActivity } from './activities.ts';
import { bottleneckBetween, readingBetween } from './difference.ts';
import { partNames, type ByPart } from './device-sheet.ts';
import type { CrewReading } from './ledger.ts';
import type { SheetReading } from './time-sheet.ts';

function sheet(parts: Partial<ByActivity>, rowCount: number): SheetReading {
  const all = byActivity((activity) => parts[activity] ?? 0);
  const common = { shapes: 1, storageBytes: 0, tellsStorage: true, activity: 'decode', atMs: 0 } as const;
  return { ...common, parts: all, rowCount, fetchedBytes: rowCount * 1000 };
}

function reading(wallMs: number, prep: readonly SheetReading[]): CrewReading {
  return { wallMs, prep, writer: undefined, devices: [] };
}

test('a run whose limit changes: what holds it up now is not what held it up before', () => {
  const start = reading(1_000, [sheet({ warmUp: 1_000 }, 0)]);
  const middle = reading(11_000, [sheet({ warmUp: 1_000, compute: 9_000, decode: 1_000 }, 90_000)]);
  const end = reading(14_000, [sheet({ warmUp: 1_000, compute: 9_300, decode: 1_700, storage: 2_000 }, 93_000)]);
  assert.match(bottleneckBetween(start, middle, { cores: 1 })!, /^the model is the bottleneck, 90 %/);
  assert.match(
    bottleneckBetween(middle, end, { cores: 1 })!,
    /^storage: .* the threads slept 67 % of the time for it$/,
  );
  assert.equal(bottleneckBetween(start, start, { cores: 1 }), undefined);
  const last = readingBetween(middle, end);
  assert.deepEqual([last.wallMs, last.prep[0]!.rowCount, last.prep[0]!.fetchedBytes], [3_000, 3_000, 3_000_000]);
  assert.equal(
    Object.values(last.prep[0]!.parts).reduce((sum, part) => sum + part, 0),
    last.wallMs,
  );
});

test('while threads start nothing is claimed', () => {
  const before = reading(0, [sheet({}, 0)]);
  assert.equal(bottleneckBetween(before, reading(1_000, [sheet({ warmUp: 1_000 }, 0)]), { cores: 1 }), undefined);
  assert.equal(
    bottleneckBetween(before, reading(1_000, [sheet({ warmUp: 900, compute: 100 }, 10)]), { cores: 1 }),
    undefined,
  );
});

test('of a GPU too', () => {
  const parts = (values: Partial<ByPart>): ByPart =>
    Object.fromEntries(partNames.map((name) => [name, values[name] ?? 0])) as ByPart;
  const at = (wallMs: number, values: Partial<ByPart>, busyMs: number): CrewReading => ({
    ...reading(wallMs, [sheet({ decode: wallMs }, busyMs)]),
    devices: [
      {
        name: 'cuda:0',
        parts: parts(values),
        rowCount: busyMs,
        shapeCount: 1,
        steadyMs: wallMs,
        steadyRows: busyMs,
        busyMs,
      },
    ],
  });
  const first = at(10_000, { computing: 9_900, decode: 100 }, 9_900);
  const second = at(13_000, { computing: 10_800, decode: 2_200 }, 10_800);
  assert.match(
    bottleneckBetween(first, second, { cores: 8 })!,
    /^cuda:0 waited 70 % of the time, 70 points for decode: /,
  );
  const later = at(13_000, { computing: 12_900, decode: 100 }, 12_900);
  const idle = { ...later, prep: first.prep };
  assert.match(
    bottleneckBetween(first, idle, { cores: 8 })!,
    /^the model is the bottleneck, .* could feed over 100 times as much$/,
  );
  assert.equal(bottleneckBetween(first, { ...second, devices: first.devices }, { cores: 8 }), undefined);
});
