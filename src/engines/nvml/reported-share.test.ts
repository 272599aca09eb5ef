import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import koffi from 'koffi';
import { buildFake, skipWithoutCompiler } from '../../testing/fake-cuda/build.ts';
import { tempDir } from '../../testing/shards.ts';
import { setEnvironment } from '../native.ts';
import { openReportedShare, type ReportedShare } from './reported-share.ts';

/** Of the second fake device, which has twice the first one's samples and a quarter of a percent more busy SMs. */
const pciBusId = '0000:1B:00.0';
const since1970Us = 1_700_000_000_000_000;
const counted = { gpm: 'SMs that were busy (GPM)', buffer: 'time in which some kernel ran (NVML)' };

function environment(variables: Readonly<Record<string, string>>): void {
  const otherwise = { FAKE_FAIL: '', FAKE_DEVICES: '2', FAKE_SAMPLES: '', FAKE_VALUE_TYPE: '', FAKE_GPM: '' };
  for (const [name, value] of Object.entries({ ...otherwise, ...variables })) setEnvironment(name, value);
}

interface Rig {
  readonly reported: ReportedShare;
  /** Moves all clocks. */
  pass(seconds: number): void;
  /** Fills the ring buffer: seconds since the beginning, and percent, which the second device doubles. */
  fill(...samples: readonly (readonly [number, number])[]): void;
  liveSamples(): number;
}

function rig(t: TestContext, variables: Readonly<Record<string, string>> = {}, clockUs = since1970Us): Rig {
  environment(variables);
  const nvmlPath = buildFake('nvml', tempDir(t));
  let nowUs = 0;
  const clocks = () => [nowUs + 77_000_000, nowUs + 99_000_000, nowUs + since1970Us];
  return {
    reported: openReportedShare({ nvmlPath, pciBusId, clocks }),
    pass: (seconds) => void (nowUs += seconds * 1e6),
    fill: (...samples) => {
      const text = samples.map(([at, percent]) => `${clockUs + Math.round(at * 1e6)}:${percent}`).join(' ');
      environment({ ...variables, FAKE_SAMPLES: text });
    },
    liveSamples: () => (koffi.load(nvmlPath).func('int fakeLiveGpmSamples()') as () => number)(),
  };
}

describe('what the driver reports', { skip: skipWithoutCompiler() }, () => {
  test('is what GPM counts between beginning and end, and its samples are freed', (t) => {
    const { reported, pass, liveSamples } = rig(t);
    for (const _window of [0, 1]) {
      reported.begin();
      assert.equal(liveSamples(), 1);
      pass(2);
      assert.deepEqual(reported.end(), { share: 0.6225, counts: counted.gpm });
      assert.equal(liveSamples(), 0);
    }
    reported.begin();
    reported.begin();
    assert.equal(liveSamples(), 1, 'the window that was forgotten holds nothing');
    reported.close();
    assert.equal(liveSamples(), 0);
    assert.deepEqual(reported.end(), { problem: 'no stretch of steady work was looked at' });
  });

  for (const [what, clockUs] of [
    ['1970', since1970Us],
    ['the machine started', 77_000_000],
    ['the machine started, asleep or not', 99_000_000],
  ] as const) {
    test(`without GPM the ring buffer's samples count, by a clock since ${what}`, (t) => {
      const { reported, pass, fill } = rig(t, { FAKE_GPM: '0' }, clockUs);
      fill([-0.2, 50], [-0.1, 50]);
      reported.begin();
      pass(1);
      fill([-0.2, 50], [-0.1, 50], [0.4, 10], [1, 20]);
      reported.tick();
      pass(1);
      // The buffer has lost what it had, and a sample reaches beyond the end.
      fill([1.5, 30], [2.5, 45]);
      const end = reported.end();
      assert.ok('share' in end, JSON.stringify(end));
      assert.equal(end.counts, counted.buffer);
      const expected = (0.4 * 0.2 + 0.6 * 0.4 + 0.5 * 0.6 + 0.5 * 0.9) / 2;
      assert.ok(Math.abs(end.share - expected) < 1e-6, `${end.share}, expected ${expected}`);
      reported.close();
    });
  }

  test('the buffer is left alone when a tick comes sooner than a second after the last', (t) => {
    const { reported, pass, fill } = rig(t, { FAKE_GPM: '0' });
    fill([-0.1, 0]);
    reported.begin();
    pass(0.9);
    fill([0.5, 50], [0.9, 50]);
    reported.tick();
    pass(0.6);
    // Had the tick looked, 0.9 of these 1.5 seconds would be known.
    fill([1.5, 50]);
    const unseen = reported.end();
    assert.ok('problem' in unseen, JSON.stringify(unseen));
    assert.match(unseen.problem, /NVML's samples: they tell about 1\.0 of 1\.5 s only$/);
    reported.close();
  });

  test('GPM that fails at the end leaves the word to the ring buffer', (t) => {
    const { reported, pass, fill, liveSamples } = rig(t, { FAKE_FAIL: 'nvmlGpmMetricsGet:3:1' });
    fill([0, 0]);
    reported.begin();
    pass(1);
    fill([0, 0], [0.5, 40], [1, 40]);
    assert.deepEqual(reported.end(), { share: 0.8, counts: counted.buffer });
    assert.equal(liveSamples(), 0);
    reported.close();
  });

  for (const [what, variables, problem] of [
    ['a GPU without GPM that idles', { FAKE_GPM: '0' }, /^GPM: this GPU or its driver does not have it; .* 0\.0 of 2/],
    ['counters that are refused', { FAKE_FAIL: 'nvmlGpmSampleGet:4:0' }, /^GPM: this user may not .*RmProfilingAdmin/],
    ['no kernel module', { FAKE_FAIL: 'nvmlInit_v2:9:1' }, /^NVML does not find it: .* 9 \(Driver Not Loaded\)/],
    ['another GPU only', { FAKE_DEVICES: '1' }, /^NVML does not find it: .* 6 \(Not Found\)/],
    ['no percentage', { FAKE_SM_PERCENT: '101' }, /^GPM: it gave 101\.25 %;/],
  ] as const) {
    test(`${what}: the problem is told`, (t) => {
      setEnvironment('FAKE_SM_PERCENT', '');
      t.after(() => setEnvironment('FAKE_SM_PERCENT', ''));
      const { reported, pass, liveSamples } = rig(t, variables);
      reported.begin();
      pass(2);
      reported.tick();
      const end = reported.end();
      assert.ok('problem' in end, JSON.stringify(end));
      assert.match(end.problem, problem);
      assert.equal(liveSamples(), 0, 'also of samples that were not taken');
      reported.close();
    });
  }

  test('both refused, the problem names both', (t) => {
    const { reported, pass } = rig(t, { FAKE_GPM: '0', FAKE_FAIL: 'nvmlDeviceGetSamples:15:0' });
    reported.begin();
    pass(2);
    assert.deepEqual(reported.end(), {
      problem: "GPM: this GPU or its driver does not have it; NVML's samples: the GPU is lost",
    });
    reported.close();
  });

  test('a short window and a slice are not judged', (t) => {
    const { reported, pass } = rig(t);
    reported.begin();
    pass(0.94);
    assert.deepEqual(reported.end(), { problem: "0.9 s are too short for the driver's counters" });
    reported.close();
    const slice = openReportedShare({ nvmlPath: undefined, pciBusId, isSlice: true });
    slice.begin();
    slice.tick();
    assert.deepEqual(slice.end(), { problem: 'the device is a MIG slice, and the driver counts for whole GPUs' });
    slice.close();
  });
});

test('without NVML the problem says so', (t) => {
  const reported = openReportedShare({ nvmlPath: join(tempDir(t), 'libnvidia-ml.so.1'), pciBusId });
  reported.begin();
  reported.tick();
  const end = reported.end();
  assert.ok('problem' in end);
  assert.match(end.problem, /^NVML does not find it: Expected .*libnvidia-ml\.so\.1 to be NVML/);
  reported.close();
});
