import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { seededRandom } from '../testing/random.ts';
import { accepts, hasPublishedForm } from './published-form.ts';
import { checkForm } from './schema.ts';

/** Each kind of input, feature and output once. */
const contract = {
  $schema: '../tandem.schema.json',
  version: 1,
  model: 'model.onnx',
  inputs: {
    x: [
      { column: 'a', missing: 'mean', log1p: true, standardize: { mean: 1, std: 2 }, clip: [-3, 3] },
      { sql: 'hour(date)', minMax: [0, 23], steps: [{ clip: [0, 1] }, { bucketize: [1, 2] }] },
      { column: 'b', oneHot: ['u', 'v'], unknown: 'zeros', dropLast: true },
      { column: 'c', index: [1, 2, 3], missing: 2, unknown: 'own' },
      { column: 'd', list: 4 },
      { lengthOf: 'd' },
      { column: 'e', hash: 100 },
    ],
    text: { column: 'f', text: true },
    rate: { constant: 16000 },
    mask: { constant: [true, 1, 'a'], shape: ['N', 3] },
  },
  outputs: { y: 'score', z: { columns: ['a', 'b'], select: [0, 1] }, label: false, w: { column: 'w', select: 1 } },
  keep: ['id'],
  golden: { tolerance: 1e-5 },
};

/** Values that belong somewhere, or nowhere. */
const others: readonly unknown[] = [
  ...[null, true, false, 0, 1, -1, 1.5, 2 ** 53, 1e999, 'mean', '', 'N', 'own', 'zeros', [], {}],
  ...[[1], [1, 2], [2, 1, 3], ['u'], [''], ['u', 1], [null], { column: 'a' }, { constant: 1 }, { std: 0, mean: 1 }],
  JSON.parse('{ "__proto__": [] }'),
];

/** A copy with one random place changed: a value exchanged, a member or item left out, or one added. */
function changed(value: unknown, random: () => number): unknown {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const deeper = typeof value === 'object' && value !== null && Object.keys(value).length > 0 && random() < 0.8;
  if (!deeper) return pick(others);
  if (Array.isArray(value)) {
    const at = Math.floor(random() * value.length);
    const way = random();
    if (way < 0.15) return value.toSpliced(at, 1);
    return way < 0.3 ? [...(value as unknown[]), pick(others)] : value.with(at, changed(value[at], random));
  }
  const members = Object.entries(value);
  const [name, member] = pick(members) ?? ['x', 1];
  const way = random();
  if (way < 0.15) return Object.fromEntries(members.filter(([other]) => other !== name));
  if (way < 0.3) return { ...value, [pick(['clip', 'index', 'constant', 'shape', 'select', 'unheard'])]: pick(others) };
  return { ...value, [name]: changed(member, random) };
}

test('what zod takes for right is of the published form', () => {
  const flights: unknown = JSON.parse(
    readFileSync(new URL('../../../models/flights/tandem.json', import.meta.url), 'utf8'),
  );
  for (const right of [contract, flights, { model: 'm', inputs: {} }]) {
    assert.ok('data' in checkForm(right));
    assert.ok(hasPublishedForm(right), JSON.stringify(right));
  }
});

test('zod takes all that is of the published form', () => {
  const random = seededRandom(6);
  const counts = { accepted: 0, refused: 0 };
  for (let round = 0; round < 1500; round++) {
    let value = changed(contract, random);
    if (random() < 0.3) value = changed(value, random);
    const ours = hasPublishedForm(value);
    counts[ours ? 'accepted' : 'refused']++;
    if (!ours) continue;
    const checked = checkForm(value);
    assert.ok('data' in checked, JSON.stringify(value));
    assert.deepEqual(checked.data, value);
  }
  assert.ok(counts.accepted > 100 && counts.refused > 100, JSON.stringify(counts));
});

test('a keyword that is not known accepts nothing', () => {
  assert.equal(accepts({ type: 'string', pattern: 'a' }, 'a', {}), false);
  assert.equal(accepts({ type: 'string', description: 'a' }, 'a', {}), true);
  assert.equal(accepts({ $ref: '#/definitions/none' }, 'a', {}), false);
});
