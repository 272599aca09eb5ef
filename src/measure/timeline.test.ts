import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Timeline } from '../run-record.ts';
import { TimelineKeeper, type TrackSpan } from './timeline.ts';

const names = ['prep 0', 'prep 1'];

/** Two threads that do something every `stepMs`, looked at every 200 ms. */
function keep(endMs: number, stepMs: number, spansMax: number): Timeline | undefined {
  const keeper = new TimelineKeeper(spansMax);
  for (let fromMs = 0; fromMs < endMs; fromMs += 200) {
    const spans: TrackSpan[] = [];
    const toMs = Math.min(endMs, fromMs + 200);
    for (let startMs = fromMs; startMs + stepMs <= toMs; startMs += stepMs) {
      for (const track of [0, 1]) spans.push({ track, activity: 'decode', startMs, durationMs: stepMs });
    }
    keeper.add(spans, toMs);
  }
  return keeper.timeline(endMs, names);
}

for (const [endMs, stepMs] of [
  [1_000, 1],
  [10_000, 1],
  [60_000, 2],
  [61_000, 10],
  [300_000, 20],
  [3_600_000, 50],
] as const) {
  test(`a run of ${endMs / 1000} s with ${(2 * 1000) / stepMs} spans a second: a window about its middle`, () => {
    const { fromMs, toMs, tracks } = keep(endMs, stepMs, 200)!;
    const count = tracks.reduce((sum, { spans }) => sum + spans.length, 0);
    assert.ok(count > 150 && count <= 204, `${count} spans`);
    const middle = (fromMs + toMs) / 2 / endMs;
    assert.ok(middle > 0.35 && middle < 0.65, `about ${middle}`);
    assert.deepEqual(
      tracks.map(({ name }) => name),
      names,
    );
    // Every track has all of the window: nothing is missing in between.
    for (const { spans } of tracks) {
      assert.ok(spans[0]!.startMs <= fromMs + stepMs && spans.at(-1)!.startMs + stepMs >= toMs - stepMs);
      spans.slice(1).forEach((span, index) => assert.equal(span.startMs, spans[index]!.startMs + stepMs));
    }
  });
}

test('a run that does little is shown whole', () => {
  const { fromMs, toMs, tracks } = keep(20_000, 200, 2000)!;
  assert.deepEqual([fromMs, toMs], [0, 20_000]);
  assert.equal(tracks[0]!.spans.length, 100);
});

test('what began in the window and ended after it is full belongs to it', () => {
  const keeper = new TimelineKeeper(4);
  const at = (track: number, startMs: number, durationMs: number): TrackSpan => ({
    track,
    activity: 'decode',
    startMs,
    durationMs,
  });
  keeper.add(
    [0, 100, 200, 300, 400, 500].map((startMs) => at(0, startMs, 100)),
    600,
  );
  keeper.add([at(1, 150, 700), at(1, 450, 100)], 850);
  const { toMs, tracks } = keeper.timeline(900, names)!;
  assert.equal(toMs, 400);
  assert.deepEqual(
    tracks.map(({ spans }) => spans.map(({ startMs }) => startMs)),
    [[0, 100, 200, 300], [150]],
  );
});

test('no spans: no timeline', () => {
  assert.equal(new TimelineKeeper(10).timeline(100, names), undefined);
});
