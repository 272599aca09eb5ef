import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findJsonFault } from './json.ts';

const valid = [
  '{}',
  '[]',
  ' [ 1 , -0.5e+3, true,false,null ] ',
  '{"a":{"a":[{}]}, "b":"\\u00e9\\n\\"/"}',
  '"text"',
  '0',
  '-12',
  '\t1.5E-7\r\n',
];

const faults: [text: string, line: number, column: number, what: RegExp][] = [
  ['', 1, 1, /^a value, got the end of the file$/],
  ['{"a": 1,\n "b": }', 2, 7, /^a value, got `}`$/],
  ['{"a": 1\n "b": 2}', 2, 2, /^a comma or }, got `"`$/],
  ['{"a": 1,}', 1, 9, /^a key in double quotes, got `}`$/],
  ['[1, 2,]', 1, 7, /^a value, got `\]`$/],
  ['[1 2]', 1, 4, /^a comma or \], got `2`$/],
  ['{"a" 1}', 1, 6, /^a colon, got `1`$/],
  ["{'a': 1}", 1, 2, /^a key in double quotes, got `'`$/],
  ['{\n  // why\n}', 2, 3, /^a key in double quotes, got `\/`$/],
  ['[NaN]', 1, 2, /^a value, got `N`$/],
  ['[01]', 1, 2, /^a value, got `0`$/],
  ['[1.]', 1, 2, /^a value, got `1`$/],
  ['["\\x"]', 1, 2, /^a string that ends on its line/],
  ['["a\nb"]', 1, 2, /^a string that ends on its line/],
  ['{} x', 1, 4, /^nothing after the end of the object, got `x`$/],
  ['[😀]', 1, 2, /^a value, got `😀`$/],
  ['{"a": 1,\r\n "b": 2, "a": 3}', 2, 10, /^each key once, got `a` again$/],
];

test('a valid text has no fault, and JSON.parse agrees', () => {
  for (const text of valid) {
    assert.equal(findJsonFault(text), undefined, text);
    assert.doesNotThrow(() => JSON.parse(text) as unknown, text);
  }
});

test('a fault has its line and column', () => {
  for (const [text, line, column, what] of faults) {
    const fault = findJsonFault(text);
    assert.ok(fault, text);
    assert.deepEqual([fault.line, fault.column], [line, column], text);
    assert.match(fault.what, what, text);
  }
});

test('each beginning of a valid text is a fault that JSON.parse refuses too', () => {
  const text = '{"a": [1.5, "x\\n", true], "b": {"c": null}}';
  for (let length = 0; length < text.length; length++) {
    assert.ok(findJsonFault(text.slice(0, length)), text.slice(0, length));
    assert.throws(() => JSON.parse(text.slice(0, length)) as unknown);
  }
});
