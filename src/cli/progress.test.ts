import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Progress } from '../options.ts';
import { bar, progressJson, progressLine, progressLines } from './progress-text.ts';
import { openProgress } from './progress-view.ts';

const half: Progress = {
  phase: 'scoring',
  rowsDone: 1_500_000,
  rowsTotal: 3_000_000,
  shardsDone: 2,
  shardsTotal: 5,
  shardsSkipped: 1,
  rowsPerSecondNow: 2_610_000,
  rowsPerSecondMean: 2_500_000,
  secondsElapsed: 0.6,
  secondsLeft: 12,
  batchSize: 1024,
  bottleneck: undefined,
};
const planning: Progress = {
  ...half,
  phase: 'planning',
  rowsDone: 0,
  rowsTotal: 0,
  secondsLeft: undefined,
  batchSize: undefined,
};
const done: Progress = {
  ...half,
  phase: 'done',
  rowsDone: 3_000_000,
  shardsDone: 5,
  secondsLeft: 0,
  secondsElapsed: 1.2,
};

test('a line says all there is to say', () => {
  assert.equal(
    progressLine(half),
    'scoring: 1,500,000 of 3,000,000 rows (50.0 %), 2 of 5 shards (1 more whole already), 2.61 M rows/s now, ' +
      '2.50 M rows/s on average, about 12 s left, batch size 1,024',
  );
  assert.equal(
    progressLine(done),
    'done: 3,000,000 of 3,000,000 rows (100.0 %), 5 of 5 shards (1 more whole already), ' +
      '2.50 M rows/s on average, 1.2 s, batch size 1,024',
  );
  const features: Progress = { ...half, phase: 'featurizing' };
  assert.match(progressLine(features), /^featurizing: 1,500,000 of 3,000,000 rows/);
  assert.match(progressLines(features, 60, false)[0]!, /^featurizing █+░+ +50\.0 %$/);
  assert.match(progressLine({ ...features, rowsDone: 0, secondsElapsed: 2 }), /waiting for the first slot for /);
  assert.equal(progressLine(planning), 'planning: reading the footers, loading the model');
  const counting = { ...planning, phase: 'counting', rowsDone: 12_000_000, rowsTotal: 40_000_000 } as const;
  const line = 'counting the rows that are taken: looked at 12,000,000 of 40,000,000 rows (30.0 %), 2.0 s so far';
  assert.equal(progressLine({ ...counting, secondsElapsed: 2 }), line);
  const early = progressLine({
    ...half,
    secondsLeft: undefined,
    batchSize: undefined,
    shardsSkipped: 0,
    rowsTotal: 1,
    rowsDone: 0,
  });
  assert.match(early, /^scoring: 0 of 1 row \(0\.0 %\), 2 of 5 shards, batch size being chosen$/);
  const long: Progress = { ...half, rowsDone: 0, secondsElapsed: 12, secondsLeft: undefined };
  const waits = 'waiting for the scores of the first slot for 12 s';
  assert.equal(
    progressLine(long),
    `scoring: 0 of 3,000,000 rows (0.0 %), 2 of 5 shards (1 more whole already), ${waits}, batch size 1,024`,
  );
  assert.ok(progressLines(long, 100, false).some((line) => line.includes(waits)));
  for (const other of [
    { ...long, rowsDone: 1 },
    { ...long, rowsTotal: 0 },
    { ...done, rowsDone: 0 },
  ])
    assert.doesNotMatch(progressLine(other), /waiting/);
});

const held = { ...half, bottleneck: 'cuda:0 waited 41 % of the time, 33 points for decode: 6 more prep threads help' };

test('what holds the run up now ends the line; at the end the result says it', () => {
  assert.match(progressLine(held), /, batch size 1,024; now: cuda:0 waited 41 % of the time, 33 points for .* help$/);
  assert.doesNotMatch(progressLine({ ...held, phase: 'done' }), /waited/);
  assert.doesNotMatch(progressLines({ ...held, phase: 'done' }, 100, false).join(), /waited/);
  assert.deepEqual(progressLines(held, 60, false).slice(-2), [
    'now: cuda:0 waited 41 % of the time, 33 points for decode:',
    '6 more prep threads help',
  ]);
  const [before, last] = progressLines(held, 30, false).slice(-2);
  assert.deepEqual([before, last], ['now: cuda:0 waited 41 % of', 'the time, 33 points for …']);
});

test('100 % is when every row is done', () => {
  assert.match(progressLine({ ...half, rowsDone: 2_999_999 }), /99\.9 %/);
  assert.match(progressLine({ ...half, rowsDone: 0, rowsTotal: 0 }), /0 of 0 rows \(0\.0 %\)/);
  assert.match(progressLine({ ...done, rowsDone: 0, rowsTotal: 0 }), /0 of 0 rows \(100\.0 %\)/);
  assert.equal(bar(0, 4, false), '░░░░');
  assert.equal(bar(0.5, 4, false), '██░░');
  assert.equal(bar(0.9999, 4, false), '███░');
  assert.equal(bar(1, 4, false), '████');
});

test('the live picture fits every terminal and loses no figure', () => {
  for (const width of [24, 40, 80, 200]) {
    for (const progress of [planning, half, done, held]) {
      const lines = progressLines(progress, width, false);
      for (const line of lines) assert.ok([...line].length < width, `${width}: ${line}`);
      assert.ok(lines.length <= 10, `${width}: ${lines.length} lines`);
    }
  }
  const narrow = progressLines(half, 40, false).join('\n');
  for (const figure of [
    '50.0 %',
    '1,500,000 of 3,000,000 rows',
    '2 of 5 shards',
    '2.61 M',
    '2.50 M',
    '12 s left',
    '1,024',
  ]) {
    assert.ok(narrow.includes(figure), figure);
  }
  assert.equal(progressLines(half, 100, false).length, 4);
});

test('colour is in the bar only, and only when asked for', () => {
  assert.ok(!progressLines(half, 80, false).join('').includes('\u001b'));
  const [first, ...rest] = progressLines(half, 80, true);
  assert.ok(first!.includes('\u001b[36m'));
  assert.ok(!rest.join('').includes('\u001b'));
});

function recorder(
  stream: { isTTY?: boolean; columns?: number; rows?: number } = {},
  environment: Record<string, string> = {},
) {
  const clock = { nowMs: 0 };
  const written: string[] = [];
  const stderr = { ...stream, write: (text: string) => void written.push(text) };
  return { clock, written, io: { stderr, environment, nowMs: () => clock.nowMs } };
}

test('plain: the first, every five seconds, the last', async () => {
  const { clock, written, io } = recorder();
  const view = await openProgress('auto', io);
  view.show(planning);
  for (clock.nowMs = 100; clock.nowMs <= 12_000; clock.nowMs += 100) view.show({ ...half, rowsDone: clock.nowMs });
  view.show(done);
  view.show(done);
  view.close();
  assert.deepEqual(
    written.map((line) => /^(\w+)(?:: ([\d,]+) of)?/.exec(line)!.slice(1)),
    [
      ['planning', undefined],
      ['scoring', '100'],
      ['scoring', '5,100'],
      ['scoring', '10,100'],
      ['done', '3,000,000'],
    ],
  );
});

test('live: a terminal that says 0 columns and rows is drawn as one of 80', async () => {
  const { written, io } = recorder({ isTTY: true, columns: 0, rows: 0 });
  const view = await openProgress('auto', io);
  view.show(half);
  view.show({ ...half, rowsDone: 1_600_000 });
  view.close();
  const text = written.join('');
  assert.ok(text.includes('1,500,000 of 3,000,000 rows   2 of 5 shards') && text.includes('1,600,000 of'), text);
});

test('json: one object per line, also for what is said', async () => {
  const { written, io } = recorder({ isTTY: true });
  const view = await openProgress('json', io);
  view.show(held);
  view.say('warning: odd');
  assert.deepEqual(
    written.map((line) => JSON.parse(line) as unknown),
    [held, { message: 'warning: odd' }],
  );
  assert.ok(written.every((line) => line.indexOf('\n') === line.length - 1));
  assert.equal(progressJson({ ...half, secondsLeft: undefined }).includes('secondsLeft'), false);
});

test('none: nothing but what is said', async () => {
  const { written, io } = recorder({ isTTY: true });
  const view = await openProgress('none', io);
  view.show(half);
  view.say('warning: odd');
  view.close();
  assert.deepEqual(written, ['warning: odd\n']);
});

test('auto: live on a terminal, plain on a dumb one; NO_COLOR is heard', async () => {
  const terminal = recorder({ isTTY: true, columns: 80 });
  const view = await openProgress('auto', terminal.io);
  view.show(half);
  view.say('warning: odd');
  view.close();
  const text = terminal.written.join('');
  assert.ok(text.includes('\u001b[36m'));
  assert.equal(text.split('1,500,000 of').length, 3, 'drawn, and drawn again under the warning');
  assert.ok(text.indexOf('warning: odd') < text.lastIndexOf('1,500,000 of'));

  const plain = recorder({ isTTY: true, columns: 80 }, { NO_COLOR: '1' });
  (await openProgress('auto', plain.io)).show(half);
  assert.ok(plain.written.join('').includes('█'));
  assert.ok(!plain.written.join('').includes('\u001b[36m'));

  const dumb = recorder({ isTTY: true, columns: 80 }, { TERM: 'dumb' });
  (await openProgress('auto', dumb.io)).show(half);
  assert.deepEqual(dumb.written, [`${progressLine(half)}\n`]);
});
