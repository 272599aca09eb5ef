import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJson } from '../json.ts';
import {
  counted,
  formatBytes,
  formatCount,
  formatDifference,
  formatList,
  formatRate,
  formatSeconds,
  formatTable,
  printable,
  shorten,
  wrapParts,
} from './format.ts';

test('counts', () => {
  assert.deepEqual([0, 1, 999, 1000, 3_000_000].map(formatCount), ['0', '1', '999', '1,000', '3,000,000']);
  assert.deepEqual(
    [0, 1, 2].map((count) => counted(count, 'row')),
    ['0 rows', '1 row', '2 rows'],
  );
});

test('bytes on both sides of each unit', () => {
  const shown = [0, 1023, 1024, 2 ** 20 - 1, 2 ** 20, 13_493_022, 2 ** 30, 2.5 * 2 ** 40].map(formatBytes);
  assert.deepEqual(shown, [
    '0 B',
    '1,023 B',
    '1.0 KiB',
    '1024.0 KiB',
    '1.0 MiB',
    '12.9 MiB',
    '1.00 GiB',
    '2560.00 GiB',
  ]);
});

test('rates', () => {
  const shown = [0, 1, 812.4, 38_400, 999_999.4, 999_999.5, 2_610_000].map(formatRate);
  assert.deepEqual(shown, [
    '0 rows/s',
    '1 row/s',
    '812 rows/s',
    '38,400 rows/s',
    '999,999 rows/s',
    '1.00 M rows/s',
    '2.61 M rows/s',
  ]);
});

test('seconds never show a unit that is full', () => {
  const shown = [0, 0.44, 9.94, 9.95, 59.4, 59.5, 125, 3599.4, 3599.5, 3720, 359_999].map(formatSeconds);
  const expected = [
    '0.0 s',
    '0.4 s',
    '9.9 s',
    '10 s',
    '59 s',
    '1 min 00 s',
    '2 min 05 s',
    '59 min 59 s',
    '1 h 00 min',
    '1 h 02 min',
  ];
  assert.deepEqual(shown, [...expected, '100 h 00 min']);
});

test('differences', () => {
  const shown = [0, 1e-5, 1.23e-7, 0.001, 0.03125, 2.5, Infinity, NaN].map(formatDifference);
  assert.deepEqual(shown, ['0', '1e-5', '1.2e-7', '0.001', '0.0313', '2.5', 'infinite', 'infinite']);
});

test('lists name some and count the rest', () => {
  assert.equal(formatList([], 2), '');
  assert.equal(formatList(['a', 'b'], 2), 'a, b');
  assert.equal(formatList(['a', 'b', 'c'], 2), 'a, b and 1 more');
});

test('names cannot steer the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\nc\u009bd é'), 'a\\x1b[2Jb\\x0ac\\x9bd é');
});

test('shortening keeps both ends and counts characters, not code units', () => {
  assert.equal(shorten('abcdef', 6), 'abcdef');
  assert.equal(shorten('abcdefg', 6), 'abc…fg');
  assert.equal(shorten('😀😀😀', 3), '😀😀😀');
  assert.equal(shorten('abc', 1), '…');
});

test("a table is padded, aligned and has no space at its lines' ends", () => {
  const table = formatTable(
    [{ title: 'name' }, { title: 'rows', align: 'right' }, { title: 'x' }],
    [
      ['a', '1,000', ''],
      ['bcdef', '7', 'y'],
    ],
  );
  assert.equal(table, ['  name    rows  x', '  a      1,000', '  bcdef      7  y'].join('\n'));
});

test('parts wrap between parts; a part that is too long by itself is shortened', () => {
  assert.deepEqual(wrapParts(['aaa', 'bbb', 'cc'], '  ', 8), ['aaa  bbb', 'cc']);
  assert.deepEqual(wrapParts(['aaa', 'bbb'], '  ', 7), ['aaa', 'bbb']);
  assert.deepEqual(wrapParts(['abcdefgh'], ' ', 5), ['ab…gh']);
  assert.deepEqual(wrapParts([], ' ', 5), []);
});

test('JSON keeps what is not finite', () => {
  assert.equal(toJson({ a: Infinity, b: NaN, c: undefined, d: 1 }), '{"a":"Infinity","b":"NaN","d":1}');
});
