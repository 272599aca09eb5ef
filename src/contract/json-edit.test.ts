import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setJsonValue } from './json-edit.ts';

const text = `{
  "model": "m.onnx",   "odd" :  [ 1,2 ],
  "inputs": {
    "x": [
      { "column": "a", "standardize": "fit" },
      {
        "column": "b \\"]}",
        "clip": { "quantiles": [0.1, 0.9] }
      }
    ],
    "y": { "column": "c" }
  }
}
`;

test('a value is replaced and everything else stays, byte for byte', () => {
  const set = setJsonValue(text, ['inputs', 'x', 0, 'standardize'], { mean: 1.5, std: 2 });
  assert.equal(set, text.replace('"fit"', '{ "mean": 1.5, "std": 2 }'));
  assert.equal(
    setJsonValue(text, ['inputs', 'x', 1, 'clip'], [-1, 2.5]),
    text.replace('{ "quantiles": [0.1, 0.9] }', '[-1, 2.5]'),
  );
  assert.equal(setJsonValue(text, ['odd'], 'z'), text.replace('[ 1,2 ]', '"z"'));
});

test('a new member follows the last one, on a line of its own where that has one', () => {
  assert.equal(
    setJsonValue(text, ['inputs', 'x', 0, 'fit'], { standardize: 'sample' }),
    text.replace('"fit" }', '"fit", "fit": { "standardize": "sample" } }'),
  );
  assert.equal(
    setJsonValue(text, ['inputs', 'x', 1, 'fit'], { a: undefined, b: {} }),
    text.replace('0.9] }\n', '0.9] },\n        "fit": { "b": {} }\n'),
  );
  assert.equal(
    setJsonValue(text, ['fitted'], { rows: 3 }),
    text.replace('\n  }\n}\n', '\n  },\n  "fitted": { "rows": 3 }\n}\n'),
  );
  assert.equal(setJsonValue('{"a":1}', ['b'], [2]), '{"a":1, "b": [2]}');
});

test('long lists are broken into lines, those of the file', () => {
  const names = Array.from({ length: 60 }, (_, i) => `name ${i}`);
  for (const [given, lineEnd] of [
    [text, '\n'],
    [text.replaceAll('\n', '\r\n'), '\r\n'],
  ] as const) {
    const set = setJsonValue(given, ['inputs', 'x', 1, 'clip'], names);
    assert.deepEqual((JSON.parse(set) as { inputs: { x: { clip: string[] }[] } }).inputs.x[1]!.clip, names);
    const lines = set.split(lineEnd);
    assert.ok(Math.max(...lines.map((line) => line.length)) <= 111, 'short lines');
    assert.ok(
      lines.every((line) => !/[\r\n]/.test(line)),
      'one kind of line end',
    );
    assert.equal(lines.find((line) => line.includes('name 0'))!.search(/\S/), 10);
    assert.equal(set.replace(/"clip": \[[^\]]*\]/, 'here'), given.replace(/"clip": \{[^}]*\}/, 'here'));
  }
});

test('a byte order mark and values of any kind', () => {
  assert.equal(
    setJsonValue('\uFEFF {"a": [{}, [0, {"b": null}]]}', ['a', 1, 1, 'b'], 1),
    '\uFEFF {"a": [{}, [0, {"b": 1}]]}',
  );
  assert.throws(() => setJsonValue('{"a": {}}', ['b', 'c'], 1), /has no b/);
});
