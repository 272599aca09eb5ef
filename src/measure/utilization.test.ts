import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { utilizationOfCpu, utilizationOfGpu, type GpuMeasures } from './utilization.ts';

const gpm = 'SMs that were busy (GPM)';
const agreeing: GpuMeasures = {
  device: 'cuda:0',
  steadyMs: 10_000,
  busyMs: 9_000,
  rowsPerSecond: 1.8e6,
  fedRowsPerSecond: 2e6,
  reported: { share: 0.88, counts: gpm },
};

/** Notes where the three shares are these, in percent. */
function notesOf(busy: number, reported: number, efficiency: number): readonly string[] {
  const shares = { busyMs: busy * 100, rowsPerSecond: efficiency, fedRowsPerSecond: 100 };
  return utilizationOfGpu({ ...agreeing, ...shares, reported: { share: reported / 100, counts: gpm } })!.notes;
}

describe('of a GPU', () => {
  test('three measures that agree', () => {
    assert.deepEqual(utilizationOfGpu(agreeing), {
      device: 'cuda:0',
      computeBusy: 0.9,
      reported: { share: 0.88, counts: gpm },
      efficiency: 0.9,
      notes: [],
    });
  });

  test('what could not be measured is told, with why', () => {
    const measures = { ...agreeing, fedRowsPerSecond: undefined, reported: { problem: 'no NVML' } };
    assert.deepEqual(utilizationOfGpu(measures), {
      device: 'cuda:0',
      computeBusy: 0.9,
      reported: undefined,
      efficiency: undefined,
      notes: ['the driver reports nothing: no NVML', 'no efficiency: the model was not timed fed from device memory'],
    });
    assert.equal(utilizationOfGpu({ ...agreeing, fedRowsPerSecond: 0 })!.efficiency, undefined);
    assert.equal(utilizationOfGpu({ ...agreeing, steadyMs: 0, busyMs: 0 }), undefined);
  });

  test('up to ten points apart they agree, wherever they lie', () => {
    for (let percent = 0; percent <= 90; percent++) {
      for (const [low, high] of [
        [percent, percent + 10],
        [percent + 10, percent],
      ] as const) {
        assert.deepEqual(notesOf(low, high, low), [], `${low} and ${high}`);
        assert.deepEqual(notesOf(low, low, high), [], `${low} and ${high}`);
      }
    }
  });

  for (const [busy, reported, efficiency, notes] of [
    [
      90,
      79,
      85,
      [/^the model ran 90 % and the driver reports \(SMs .*\) 79 %, 11 points apart: .* parts of the GPU idled/],
    ],
    [70, 81, 75, [/^the model ran 70 % and the driver .* 81 %, 11 points apart: something else ran/]],
    [90, 85, 79, [/^the model ran 90 % and efficiency is 79 %, 11 points apart: a row takes longer/]],
    [79, 85, 90, [/^the model ran 79 % and efficiency is 90 %, 11 points apart: the two rates/]],
    [85, 90, 79, [/^the driver reports .* 90 % and efficiency is 79 %, 11 points apart: the GPU was busy with more/]],
    [85, 79, 90, [/^the driver reports .* 79 % and efficiency is 90 %, 11 points apart: the model does not fill/]],
    [99, 60, 30, [/39 points apart/, /69 points apart/, /30 points apart/]],
  ] as const) {
    test(`${busy}, ${reported} and ${efficiency} % are told apart`, () => {
      const found = notesOf(busy, reported, efficiency);
      assert.equal(found.length, notes.length, found.join('\n'));
      notes.forEach((note, index) => assert.match(found[index]!, note));
    });
  }

  test('one that is missing is compared with nothing', () => {
    const far = { ...agreeing, busyMs: 1_000 };
    assert.equal(utilizationOfGpu(far)!.notes.length, 2);
    assert.equal(utilizationOfGpu({ ...far, reported: { problem: 'none' } })!.notes.length, 2);
    assert.equal(
      utilizationOfGpu({ ...far, fedRowsPerSecond: undefined, reported: { problem: 'none' } })!.notes.length,
      2,
    );
  });
});

describe('of the CPU', () => {
  const measures = { device: 'cpu', steadyMs: 8_000, busyMs: 2_000, cpuSeconds: 7, wallSeconds: 5, cores: 2 };

  test('lanes and cores are two things, and need not agree', () => {
    assert.deepEqual(utilizationOfCpu(measures), {
      device: 'cpu',
      computeBusy: 0.25,
      reported: { share: 0.7, counts: "cores' time that this process had" },
      efficiency: undefined,
      notes: [],
    });
  });

  test('where nothing ran or no time passed there is nothing to tell', () => {
    assert.equal(utilizationOfCpu({ ...measures, steadyMs: 0 }), undefined);
    const { reported, notes } = utilizationOfCpu({ ...measures, wallSeconds: 0 })!;
    assert.equal(reported, undefined);
    assert.equal(notes[0], 'no share of the cores: no time passed');
  });
});
