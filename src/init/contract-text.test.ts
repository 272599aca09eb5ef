import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelValue } from '../engines/onnxruntime/session.ts';
import { lineColumnsMax } from '../limits.ts';
import { proposeOutputs } from './propose-outputs.ts';
import { formatContract } from './write-contract.ts';

test('what fits on a line is on a line, and nothing is lost', () => {
  const categories = Array.from({ length: 80 }, (_, index) => `category ${index}`);
  const features = Array.from({ length: 12 }, (_, index) => ({ column: `column ${index}`, missing: 'nan' }));
  const contract = {
    version: 1,
    keep: undefined,
    inputs: { x: features, c: { column: 'c', index: categories } },
    outputs: {},
  };
  const text = formatContract(contract);
  assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(contract)));
  assert.ok(text.split('\n').every((line) => line.length <= lineColumnsMax));
  assert.match(
    text,
    /^\{\n {2}"version": 1,\n {2}"inputs": \{\n {4}"x": \[\n {6}\{ "column": "column 0", "missing": "nan" \},\n/,
  );
  assert.match(text, /\n {2}"outputs": \{\}\n\}\n$/);
});

function tensor(
  name: string,
  shape: readonly (number | string)[],
  elementType: ModelValue['elementType'] = 'float32',
): ModelValue {
  return { name, kind: 'tensor', elementType, shape };
}

test('two probabilities become that of the second class, under names that nothing has', () => {
  const outputs = [tensor('label', ['N'], 'int64'), tensor('probabilities', ['N', 2])];
  const proposed = proposeOutputs(outputs, ['id', 'label', 'x']);
  assert.deepEqual(proposed.outputs, { label: 'label', probabilities: { column: 'probability', select: 1 } });
  assert.deepEqual(proposed.keep, ['id']);
  assert.deepEqual(
    proposed.decisions.map(({ field, must }) => [field, must]),
    [['outputs.probabilities', false]],
  );
  // All columns are kept, and one of them is called like the output.
  assert.deepEqual(proposeOutputs(outputs, ['Label', 'x']).outputs, {
    label: 'predicted_label',
    probabilities: { column: 'probability', select: 1 },
  });
  // So is one that feeds the model, and that golden.parquet holds beside the scores.
  assert.deepEqual(proposeOutputs(outputs, ['id', 'x'], ['Probability']).outputs, {
    label: 'label',
    probabilities: { column: 'predicted_probability', select: 1 },
  });
  // LightGBM's exporter declares one value.
  assert.deepEqual(proposeOutputs([outputs[0]!, tensor('probabilities', ['N', 1])]).outputs['probabilities'], {
    column: 'probability',
    select: 1,
  });
  assert.equal(proposeOutputs([tensor('probabilities', ['N', 3])]).outputs['probabilities'], 'probabilities');
});

test('an output that no column can hold is left out; without another one that has to be settled', () => {
  const maps: ModelValue = { name: 'probabilities', kind: 'sequence', elementType: undefined, shape: undefined };
  const both = proposeOutputs([tensor('variable', ['N', 1]), maps], ['id']);
  assert.deepEqual(both.outputs, { variable: 'prediction', probabilities: false });
  assert.deepEqual(
    both.decisions.map(({ must }) => must),
    [false],
  );
  assert.match(both.decisions[0]!.question, /zipmap/);
  assert.deepEqual(
    proposeOutputs([maps], ['id']).decisions.map(({ must }) => must),
    [true],
  );
});
