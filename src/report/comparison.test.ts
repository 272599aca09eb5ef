import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunRecord } from '../run-record.ts';
import { cpuRunRecord, gpuRunRecord } from '../testing/run-records.ts';
import { compareRuns } from './comparison.ts';

const before = cpuRunRecord();

/** The same run with other figures. */
function changed(result: Partial<RunRecord['result']>, record: Partial<RunRecord> = {}): RunRecord {
  return { ...before, ...record, result: { ...before.result, ...result } };
}

test('a run and itself: nothing changed, and nothing came of it', () => {
  const { sentence, changed, effects, notes } = compareRuns(before, before);
  assert.equal(sentence, 'the rate is the same within 3 %; nothing that is recorded changed');
  assert.deepEqual([changed, notes], [[], []]);
  assert.equal(compareRuns(before, before).partsOf, 'wall time');
  assert.deepEqual([...new Set(effects.map(({ direction }) => direction))], [undefined]);
});

test('of different models nothing is better or worse', () => {
  const result = { rowsPerSecond: before.result.rowsPerSecond / 2, wallSeconds: before.result.wallSeconds * 2 };
  const worse = compareRuns(before, changed(result));
  assert.equal(worse.effects.find(({ what }) => what === 'wall time')!.direction, 'worse');
  const other = compareRuns(before, changed(result, { model: { ...before.model, sha256: 'x' } }));
  assert.match(other.sentence, /^the models differ; /);
  assert.deepEqual([...new Set(other.effects.map(({ direction }) => direction))], [undefined]);
});

test('what changed, and what it did', () => {
  const ledger = before.result.ledger!;
  const scorers = ledger.scorers.map((scorer) => ({
    ...scorer,
    // Ten points of computing became decoding.
    parts: scorer.parts.map((part) => ({
      ...part,
      seconds:
        part.seconds + scorer.wallSeconds * (part.name === 'decode' ? 0.1 : part.name === 'computing' ? -0.1 : 0),
    })),
  }));
  const after = changed(
    { rowsPerSecond: before.result.rowsPerSecond * 2, wallSeconds: 4.7, threads: 8, ledger: { ...ledger, scorers } },
    { settings: { ...before.settings, compression: 'zstd', output: 'elsewhere' } },
  );
  const comparison = compareRuns(before, after);
  assert.deepEqual(comparison.changed, [
    { what: 'threads', before: '4', after: '8' },
    { what: 'compression', before: 'snappy', after: 'zstd' },
  ]);
  const effects = new Map(comparison.effects.map(({ what, ...rest }) => [what, rest]));
  assert.deepEqual(effects.get('rate, start to end'), {
    before: '4.26 M rows/s',
    after: '8.51 M rows/s',
    difference: '2.00 times',
    direction: 'better',
  });
  assert.deepEqual(
    [effects.get('wall time')!.difference, effects.get('wall time')!.direction],
    ['0.50 times', 'better'],
  );
  assert.equal(effects.get('decode')!.difference, '+10.0 points');
  assert.equal(effects.get('computing')!.difference, '-10.0 points');
  assert.match(
    comparison.sentence,
    /^the second run is 2\.00 times as fast as the first; (computing|decode) went from .* of the scorers' time; changed: threads, compression$/,
  );
});

test('what makes a comparison say less is noted', () => {
  const other = changed({ rowsIn: 7, shardsSkipped: 1 }, { ended: 'STOPPED', model: { ...before.model, sha256: 'x' } });
  const { notes: told } = compareRuns(before, other);
  const notes = told.join('\n');
  assert.match(notes, /second run did not end well: STOPPED/);
  assert.match(notes, /models differ/);
  assert.match(notes, /did not do the same work/);
  assert.match(notes, /went on where an earlier one had ended/);
  assert.match(compareRuns(before, gpuRunRecord()).notes.join('\n'), /other of GPUs/);
});

test('memory that happened to be free is no change, and a run that scored nothing has no parts', () => {
  const free = (bytes: number) => ({
    ...before.settings,
    memory: `${bytes} bytes (90 % of the machine's available memory)`,
  });
  const begun = half({ ended: 'STOPPED' });
  const verdict = { bottleneck: 'warmUp', sentence: 'starting took 60 % of this run', whatIf: undefined } as const;
  const early = { ...begun, result: { ...begun.result, ledger: { ...begun.result.ledger!, verdict } } };
  assert.match(compareRuns(before, early).sentence, /one of the runs had hardly begun; .*the second is a part/);
  const nothing = changed({ ledger: undefined }, { settings: free(2) });
  const { changed: changes, effects } = compareRuns({ ...before, settings: free(1) }, nothing);
  assert.deepEqual(changes, []);
  assert.deepEqual(
    effects.map(({ what }) => what),
    ['rate, start to end', 'wall time', 'memory at its peak'],
  );
});

/** The run when half of its rows were scored, at the same rate, with as long a start. */
function half(record: Partial<RunRecord>): RunRecord {
  const { ledger, rowsIn, wallSeconds } = before.result;
  const scorers = ledger!.scorers.map((scorer) => ({
    ...scorer,
    parts: scorer.parts.map((part) => (part.name === 'warmUp' ? part : { ...part, seconds: part.seconds / 2 })),
  }));
  const seconds = scorers[0]!.parts.reduce((sum, part) => sum + part.seconds, 0);
  assert.ok(seconds > wallSeconds / 2);
  const rowsOut = rowsIn / 2;
  const result = { rowsOut, wallSeconds: seconds, rowsPerSecond: rowsOut / seconds, ledger: { ...ledger!, scorers } };
  return changed(result, record);
}

test('a part of a run is neither better nor worse for having begun alike and ended early', () => {
  const window = { fromSeconds: 1, seconds: 4, missing: [], heaps: [] };
  const cases = [
    [half({ ended: 'STOPPED' }), 'a part, 20,000,000 of 40,000,000 rows (STOPPED)'],
    [half({ window }), 'a profile of 4.0 s'],
  ] as const;
  for (const [part, words] of cases) {
    const after = compareRuns(before, part);
    assert.equal(
      after.sentence,
      `while working the rate is the same within 3 %; the second is ${words}; nothing that is recorded changed`,
    );
    assert.match(compareRuns(part, before).sentence, /; the first is a p/);
    assert.deepEqual([...new Set(after.effects.map(({ direction }) => direction))], [undefined]);
    assert.equal(after.partsOf, 'working time');
    assert.ok(after.effects.every(({ what }) => what !== 'warm-up' && what !== 'idle tail'));
    const [rate, working] = after.effects;
    assert.deepEqual(
      [rate!.what, working!.what, working!.difference],
      ['rate, start to end', 'rate while working', '1.00 times'],
    );
    assert.notEqual(rate!.difference, '1.00 times');
    assert.equal(after.notes.filter((note) => note.includes('did not do the same work')).length, 1);
  }
  const twice = half({ window });
  const faster = changed({ ...twice.result, rowsOut: twice.result.rowsOut * 2 }, { window });
  assert.match(
    compareRuns(before, faster).sentence,
    /^while working the second run is 2\.00 times as fast as the first; the second is a profile/,
  );
  const begun = half({ ended: 'STOPPED' });
  const verdict = { bottleneck: 'warmUp', sentence: 'starting took 60 % of this run', whatIf: undefined } as const;
  const early = { ...begun, result: { ...begun.result, ledger: { ...begun.result.ledger!, verdict } } };
  assert.match(compareRuns(before, early).sentence, /one of the runs had hardly begun; .*the second is a part/);
  const nothing = changed({ ledger: undefined, rowsOut: 0 }, { ended: 'STOPPED' });
  assert.match(
    compareRuns(nothing, before).sentence,
    /^the rates cannot be compared: one of the runs had hardly begun; the first is a part, 0 of/,
  );
});
