import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { slicedColumnsMax } from '../../limits.ts';
import { seededRandom } from '../../testing/random.ts';
import {
  randomEnsemble,
  randomValue,
  type EnsembleOptions,
  type Labels,
  type RandomMode,
} from '../../testing/random-ensembles.ts';
import { runModel } from '../../testing/run-model.ts';
import { scoreByKernel, treesOf } from '../../testing/score-trees.ts';
import { sumsOf } from './reference.ts';
import { kernelForms, type KernelForm } from './trees.ts';
import { refusesWalk } from './walk-layout.ts';

const folder = mkdtempSync(join(tmpdir(), 'tandem-trees-'));
after(() => rmSync(folder, { recursive: true }));

const comparisons: readonly RandomMode[] = ['LEQ', 'LT', 'GTE', 'GT'];
const base: EnsembleOptions = {
  treeCount: 7,
  leafCountMax: 31,
  columnCount: 5,
  modes: [...comparisons, 'EQ', 'NEQ'],
  version: 3,
  type: 'float32',
  tracksMissing: true,
  targetCount: 1,
  votes: 'tree',
  weightMin: -1,
  weightMax: 1,
};
const plain: Labels = { postTransform: 'NONE', baseValues: [] };

/** Rows around every multiple of a block. */
const rowCounts = [1, 7, 8, 127, 128, 129, 256, 300, 513];

/**
 * Scores random rows in every form and by ONNX Runtime.
 * @param tolerance relative; 0 for what must be equal bit for bit
 */
function compare(name: string, options: Partial<EnsembleOptions>, more: Partial<Labels> = {}, tolerance = 0): void {
  test(name, () => {
    for (let seed = 1; seed <= 4; seed++) {
      const random = seededRandom(seed * 7919);
      const all = { ...base, ...options };
      const spec = randomEnsemble(all, { ...plain, ...more }, random);
      const rowCount = rowCounts[(seed * 5) % rowCounts.length]!;
      const values = Array.from({ length: rowCount * all.columnCount }, () => randomValue(random));
      const x = all.type === 'float32' ? Float32Array.from(values) : Float64Array.from(values);
      const shape = [rowCount, all.columnCount];
      const expected = runModel(folder, spec, [{ name: 'x', elementType: all.type, shape, values: x }]);
      const model = treesOf(join(folder, 'model.onnx'), spec);
      // Also where it is never the fastest.
      const walk: KernelForm[] = refusesWalk(model.forest) === undefined ? [{ kind: 'walk' }] : [];
      for (const form of [...kernelForms(model).filter(({ kind }) => kind === 'sliced'), ...walk]) {
        const got = scoreByKernel(model, form, rowCount, (_input, element, row) => x[row * all.columnCount + element]!);
        model.outputs.forEach((output, index) => {
          expectNear(
            `${output.name}, seed ${seed}`,
            got[index]!,
            expected[output.name]!.values as ArrayLike<number>,
            tolerance,
          );
        });
      }
      if (more.labels !== undefined || more.postTransform !== undefined || more.aggregate === 'AVERAGE') continue;
      const sums = Array.from({ length: rowCount }, (_, row) =>
        sumsOf(
          model.forest,
          model.columns.map(({ element }) => x[row * all.columnCount + element]!),
        ).map((sum, target) => Math.fround(sum + (more.baseValues?.[target] ?? 0))),
      );
      const rounded = Array.from(expected['y']!.values as ArrayLike<number>, Math.fround);
      expectNear(`row by row, seed ${seed}`, sums.flat(), rounded, 0);
    }
  });
}

function expectNear(
  name: string,
  got: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
  tolerance: number,
): void {
  assert.equal(got.length, expected.length, name);
  for (let index = 0; index < got.length; index++) {
    const [value, other] = [Number(got[index]), Number(expected[index])];
    const isNear = Object.is(value + 0, other + 0) || Math.abs(value - other) <= tolerance * Math.abs(other);
    if (!isNear) assert.fail(`${name}: expected value ${index} to be ${other}, got ${value}`);
  }
}

for (const mode of ['LEQ', 'LT', 'GTE', 'GT', 'EQ', 'NEQ'] as const) {
  compare(`BRANCH_${mode}`, { modes: [mode] });
  compare(`BRANCH_${mode} without a way for NaN`, { modes: [mode], tracksMissing: false });
}
compare('all modes in one tree', {});
compare('all modes, many leaves', { leafCountMax: 700, treeCount: 3 });
compare('comparisons, many leaves', { modes: comparisons, leafCountMax: 700, treeCount: 3 });
compare('more leaves than slots', { modes: comparisons, leafCountMax: 3000, treeCount: 2 });
compare('comparisons, some targets', { modes: comparisons, targetCount: 5, votes: 'all' });
compare('trees of a single leaf and of two', { leafCountMax: 2, treeCount: 70 });
compare('more trees than a run holds', { treeCount: 150, leafCountMax: 9 });
compare('thresholds and sums in float64', { type: 'float64' });
compare('version 5 with sets', { version: 5, modes: [...comparisons, 'MEMBER'], tracksMissing: false });
compare('version 5 in float64', { version: 5, type: 'float64', modes: ['LEQ', 'MEMBER', 'NEQ'] });
compare('version 5, leaves that vote for any target', { version: 5, targetCount: 6, votes: 'any' });
compare('a target for each tree', { targetCount: 3, treeCount: 12 });
compare('leaves that vote for all targets', { targetCount: 5, votes: 'all' });
compare('leaves that vote for all targets in float64', { targetCount: 19, votes: 'all', type: 'float64' });
compare('base values', { targetCount: 3 }, { baseValues: [0.25, -1, 3] });

for (const aggregate of ['AVERAGE', 'MIN', 'MAX'] as const) {
  compare(`${aggregate} of one target`, {}, { aggregate, baseValues: [0.25] });
  compare(`${aggregate} of three targets`, { targetCount: 3, votes: 'all' }, { aggregate, baseValues: [0.25, 1, 2] });
  compare(`${aggregate} of comparisons`, { modes: comparisons, targetCount: 2, votes: 'all' }, { aggregate });
  compare(`${aggregate} in float64`, { type: 'float64' }, { aggregate });
}

for (const postTransform of ['LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO']) {
  const near = 1e-6;
  compare(`${postTransform} of one target`, {}, { postTransform }, near);
  compare(`${postTransform} of three targets`, { targetCount: 3, votes: 'all' }, { postTransform }, near);
  compare(`${postTransform} of four classes`, { targetCount: 4 }, { postTransform, labels: [7, -3, 2 ** 40, 0] }, near);
}
compare('four classes in float64', { targetCount: 4, type: 'float64' }, { labels: [0, 1, 2, 3] });
compare(
  'four classes with base values',
  { targetCount: 4, votes: 'all' },
  { labels: [0, 1, 2, 3], baseValues: [-1, 0, 2, 1] },
);
compare('two classes that both have votes', { targetCount: 2, votes: 'all' }, { labels: [5, 9] });
compare('two classes, logistic', { targetCount: 2, votes: 'all' }, { labels: [0, 1], postTransform: 'LOGISTIC' }, 1e-6);

for (const postTransform of ['NONE', 'LOGISTIC']) {
  for (const [weights, weightMin, weightMax] of [
    ['of both signs', -1, 1],
    ['that are positive', 0, 0.3],
    ['that are negative', -1, -0.1],
  ] as const) {
    const labels = [0, 1];
    const single = { targetCount: 1, weightMin, weightMax };
    const name = `two classes, ${postTransform}, leaves ${weights}`;
    compare(`${name}: one score`, single, { postTransform, labels }, 1e-6);
    compare(`${name}: one score and a base value`, single, { postTransform, labels, baseValues: [0.25] }, 1e-6);
    compare(`${name}: two scores`, { ...single, targetCount: 2, votes: 'all' }, { postTransform, labels }, 1e-6);
  }
}

// Apart by less than float32 tells, which is what ONNX Runtime takes powers in.
const large: Partial<EnsembleOptions> = {
  type: 'float64',
  targetCount: 3,
  votes: 'all',
  weightMin: 1e8,
  weightMax: 1e8 + 99,
};
compare('SOFTMAX of large sums in float64', large, { postTransform: 'SOFTMAX' }, 1e-6);
compare('SOFTMAX_ZERO of large sums in float64', large, { postTransform: 'SOFTMAX_ZERO' }, 1e-6);
for (const postTransform of ['LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO']) {
  const targets: Partial<EnsembleOptions> = { version: 5, modes: comparisons, targetCount: 3, votes: 'any' };
  compare(`${postTransform} of version 5`, targets, { postTransform }, 1e-6);
  compare(`${postTransform} of version 5 in float64`, { ...targets, type: 'float64' }, { postTransform }, 1e-6);
}

for (const aggregate of ['MIN', 'MAX'] as const) {
  test(`${aggregate} where not every tree votes for what others vote for stays with ONNX Runtime`, () => {
    const options = { ...base, targetCount: 3, treeCount: 2 };
    const path = join(folder, 'model.onnx');
    const lacking = randomEnsemble(options, { ...plain, aggregate }, seededRandom(1));
    assert.throws(() => treesOf(path, lacking), new RegExp(`${aggregate} of leaves that vote differently`));
    const whole = randomEnsemble({ ...options, votes: 'all' }, { ...plain, aggregate }, seededRandom(1));
    assert.equal(treesOf(path, whole).forest.targetCount, 3);
    // The second tree loses its votes for the first target.
    const [node] = whole.nodes;
    const ints = (name: string): readonly number[] => (node!.attributes![name] as { readonly ints: number[] }).ints;
    const stays = ints('target_ids').map((target, vote) => target !== 0 || ints('target_treeids')[vote] !== 1);
    const kept = <Value>(values: readonly Value[]): Value[] => values.filter((_, vote) => stays[vote]);
    const { floats } = node!.attributes!['target_weights'] as { readonly floats: number[] };
    const names = ['target_ids', 'target_treeids', 'target_nodeids'];
    const attributes = {
      ...node!.attributes,
      ...Object.fromEntries(names.map((name) => [name, { ints: kept(ints(name)) }])),
      target_weights: { floats: kept(floats) },
    };
    const partly = { ...whole, nodes: [{ ...node!, attributes }] };
    assert.throws(() => treesOf(path, partly), new RegExp(`${aggregate} of leaves that vote differently`));
  });
}

test('more columns than the code of a kernel may have stay with ONNX Runtime', () => {
  const options = { ...base, modes: ['LEQ'], treeCount: 1, leafCountMax: 9 } as const;
  const model = treesOf(join(folder, 'model.onnx'), randomEnsemble(options, plain, seededRandom(1)));
  const formsOf = (columnCount: number): number =>
    kernelForms({ ...model, forest: { ...model.forest, columnCount } }).length;
  assert.deepEqual([formsOf(slicedColumnsMax), formsOf(slicedColumnsMax + 1)], [3, 0]);
});

test('base values of targets that rows may have no votes for stay with ONNX Runtime', () => {
  const path = join(folder, 'model.onnx');
  const more = { ...plain, baseValues: [0.5, 1, 2] };
  const refused = /base values of targets that not every row has votes for/;
  for (const votes of ['any', 'tree'] as const) {
    const spec = randomEnsemble({ ...base, targetCount: 3, treeCount: 2, votes }, more, seededRandom(1));
    assert.throws(() => treesOf(path, spec), refused);
    const x = Float32Array.from({ length: 30 * base.columnCount }, (_, at) => at);
    const shape = [30, base.columnCount];
    const scores = runModel(folder, spec, [{ name: 'x', elementType: 'float32', shape, values: x }])['y']!.values;
    // ONNX Runtime's 0 is no base value.
    assert.ok((scores as Float32Array).includes(0));
  }
});
