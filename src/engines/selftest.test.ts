import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildModel } from '../testing/onnx.ts';
import { selfTest, selfTestModel } from './selftest.ts';

test('both engines pass their self-tests', () => {
  const lines = selfTest();
  assert.deepEqual(
    lines.filter((line) => !line.ok),
    [],
  );
  const checks = lines.map((line) => `${line.engine}: ${line.check}`);
  assert.deepEqual(checks, [
    'DuckDB: version',
    'DuckDB: one row',
    'DuckDB: stream of numbers, nulls, strings and lists',
    'DuckDB: table function',
    'DuckDB: row function',
    'DuckDB: error message',
    'DuckDB: error inside a callback',
    'ONNX Runtime: version',
    'ONNX Runtime: bound functions are in the table',
    'ONNX Runtime: model of one node',
    'ONNX Runtime: error message',
  ]);
});

test('the embedded model is the one that its comment says', () => {
  const spec = (name: string) => ({ name, elementType: 'float32', shape: ['N', 2] }) as const;
  const nodes = [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }];
  const bytes = buildModel({ inputs: [spec('x')], outputs: [spec('y')], nodes });
  assert.equal(selfTestModel, Buffer.from(bytes).toString('base64'));
});
