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
  assert.deepEqual([...new Set(effects.map(({ direction }) => direction))], [undefined]);
});

test('what changed, and what it did', () => {
  const ledger = before.result.ledger!;
  const scorers = ledger.scorers.map((scorer) => ({
    ...scorer,
    // Ten points of computing became decoding.
    parts: scorer.parts.map((part) => ({
      ...part,
      share: part.share + (part.name === 'decode' ? 0.1 : part.name === 'computing' ? -0.1 : 0),
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
  assert.deepEqual(effects.get('rate'), {
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
  const notes = compareRuns(before, other).notes.join('\n');
  assert.match(notes, /second run did not end well: STOPPED/);
  assert.match(notes, /models differ/);
  assert.match(notes, /numbers of rows differ/);
  assert.match(notes, /went on where an earlier one had ended/);
  assert.match(compareRuns(before, gpuRunRecord()).notes.join('\n'), /other of GPUs/);
});

test('memory that happened to be free is no change, and a run that scored nothing has no parts', () => {
  const free = (bytes: number) => ({
    ...before.settings,
    memory: `${bytes} bytes (90 % of the machine's available memory)`,
  });
  const nothing = changed({ ledger: undefined }, { settings: free(2) });
  const { changed: changes, effects } = compareRuns({ ...before, settings: free(1) }, nothing);
  assert.deepEqual(changes, []);
  assert.deepEqual(
    effects.map(({ what }) => what),
    ['rate', 'wall time', 'memory at its peak'],
  );
});
