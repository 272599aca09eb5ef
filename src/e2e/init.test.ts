/** `init` as a whole: with models of ONNX, and with a Python that does what the fixture says. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { TandemError } from '../errors.ts';
import { goldenPath, readJson } from '../golden/folders.ts';
import { check } from '../index.ts';
import { init, type InitOptions } from '../init/init.ts';
import type { FeatureFile } from '../contract/schema.ts';
import type { FactFeature, Facts } from '../init/facts.ts';
import { quotePath } from '../engines/duckdb/database.ts';
import { field, message, toBytes } from '../engines/onnxruntime/protobuf.ts';
import { linearNetwork, networkModel } from '../testing/networks.ts';
import { mixedInputsModel, scoreMixed } from '../testing/models.ts';
import { buildModel, rawBytes } from '../testing/onnx.ts';
import { assertFailure, caught, columnOf, listFiles, Workplace } from './workplace.ts';

const classifier = {
  countries: ['DE', 'FR'],
  labels: [0, 1],
  coefficients: [
    [0.1, 0.2, 0.3, 0.4, 0.5],
    [-0.3, 0.1, 0.2, 0.9, -0.2],
  ],
  intercepts: [0.1, -0.2],
};

/** Shards whose columns are nearly called as the inputs are. */
function people(place: Workplace): void {
  place.shard(
    'a.parquet',
    `SELECT range AS user_id, (range % 50)::FLOAT AS "Age", range % 7 AS visits, range % 2 = 0 AS f_member,
            CASE WHEN range % 3 = 0 THEN 'DE' ELSE 'FR' END AS country FROM range(100)`,
  );
}

function initOptions(place: Workplace, changes: Partial<InitOptions> = {}): InitOptions {
  return { shards: place.data, source: { kind: 'model', path: join(place.model, 'model.onnx') }, ...changes };
}

test('a model of several inputs: the folder that comes out scores as the reference does', async (context) => {
  const place = new Workplace(context);
  people(place);
  place.writeModel(mixedInputsModel(classifier));
  const report = await init(initOptions(place));
  assert.deepEqual(report.files, ['tandem.json']);
  assert.deepEqual(
    report.inputs.map(({ name, sure, features }) => [name, sure, ...features]),
    [
      ['age', 'certain', 'Age'],
      ['visits', 'certain', 'visits'],
      ['member', 'likely', 'f_member'],
      ['country', 'certain', 'country'],
    ],
  );
  assert.deepEqual([report.problems, report.decisions.filter(({ must }) => must)], [[], []]);
  await place.score();
  const rows = place.rows('a.parquet');
  assert.deepEqual(Object.keys(rows[0]!), ['user_id', 'label', 'probability']);
  rows.forEach((row, index) => {
    const { label, probabilities } = scoreMixed(classifier, {
      age: index % 50,
      visits: index % 7,
      member: index % 2 === 0,
      country: index % 3 === 0 ? 'DE' : 'FR',
    });
    assert.equal(Number(row['label']), label);
    assert.ok(Math.abs(Number(row['probability']) - probabilities[1]!) < 1e-6);
  });
  // Nothing is replaced unasked.
  const again = await caught(init(initOptions(place)));
  assertFailure(again, { code: 'BAD_OUTPUT', place: {}, message: /no tandem\.json yet/, remedy: /--overwrite/ });
});

test('nulls are counted, and a run without an answer stops at the first one', async (context) => {
  const place = new Workplace(context);
  place.shard(
    'a.parquet',
    'SELECT range AS id, CASE WHEN range % 4 > 0 THEN range::DOUBLE END AS a, 1.5 AS b FROM range(8)',
  );
  place.writeModel(networkModel(linearNetwork([1, 2], 0)));
  const report = await init(initOptions(place));
  assert.deepEqual(
    report.inputs.map(({ sure, features }) => [sure, ...features]),
    [['guess', 'a', 'b']],
  );
  assert.deepEqual(
    report.decisions.map(({ field }) => field),
    ['inputs.x', 'inputs.x[0]'],
  );
  assert.match(report.decisions[1]!.question, /a has 2 nulls/);
  const error = await caught(place.score());
  assert.equal(error.code, 'BAD_ROW');
});

test('shards of other formats do, too', async (context) => {
  const place = new Workplace(context);
  mkdirSync(place.data, { recursive: true });
  writeFileSync(join(place.data, 'a.csv'), 'id,a,b\n1,2.5,4\n2,3.5,5\n');
  place.writeModel(networkModel(linearNetwork([1, 2], 0)));
  const { inputs, problems } = await init(initOptions(place));
  assert.deepEqual([inputs[0]!.sure, ...inputs[0]!.features, ...problems], ['guess', 'a', 'b']);
});

test('a copy of the model brings its weights and its names along; a dry run writes nothing', async (context) => {
  const place = new Workplace(context);
  place.shard('a.parquet', 'SELECT range AS id, range::DOUBLE AS b, range * 2.0 AS a FROM range(10)');
  const spec = networkModel(linearNetwork([1, 10], 0));
  const [weights, ...others] = spec.initializers!;
  const external = { ...weights!, external: { location: 'weights.bin', offset: 0 } };
  // An entry of metadata_props, as exporters leave the names of features.
  const names = toBytes(message(field(14, message(field(1, 'feature_names'), field(2, '["a","b"]')))));
  const bytes = Buffer.concat([buildModel({ ...spec, initializers: [external, ...others] }), names]);
  mkdirSync(place.model, { recursive: true });
  const path = join(place.model, 'net.onnx');
  writeFileSync(path, bytes);
  writeFileSync(join(place.model, 'weights.bin'), rawBytes(weights!.elementType, weights!.values as number[]));
  const output = join(place.folder, 'models/net');
  const options = initOptions(place, { source: { kind: 'model', path }, output });
  const dry = await init({ ...options, dryRun: true });
  assert.equal(existsSync(join(place.folder, 'models')), false);
  const report = await init(options);
  assert.equal(report.contract, dry.contract);
  assert.deepEqual(listFiles(output), ['model.onnx', 'tandem.json', 'weights.bin']);
  assert.equal(report.inputs[0]!.because, 'the names that the model file holds');
  await place.score({ model: output });
  assert.deepEqual(
    columnOf(place.rows('a.parquet'), Object.values(report.outputs)[0] as string).map(Number),
    Array.from({ length: 10 }, (_, row) => 2 * row + 10 * row),
  );
});

test('what only a person knows is a "?" that no run takes for a column', async (context) => {
  const place = new Workplace(context);
  place.shard('a.parquet', 'SELECT range AS id, range::DOUBLE AS a, 1.5 AS b, 2.5 AS c FROM range(10)');
  place.writeModel(networkModel(linearNetwork([1, 2], 0)));
  const report = await init(initOptions(place));
  assert.deepEqual(
    report.decisions.filter(({ must }) => must).map(({ field }) => field),
    ['inputs.x'],
  );
  assert.match(report.contract!, /"x": \[\{ "column": "\?" \}\]/);
  await place.failsToPlan({
    code: 'BAD_COLUMN',
    place: { shard: 'a.parquet', column: '?' },
    message: /column \? in the shard/,
  });
});

interface Fixture {
  readonly inputs: { readonly x: readonly FeatureFile[] };
}

/** What the script said when it made the fixture. */
const facts: Facts = {
  library: 'scikit-learn 1.9.1',
  inputs: [{ name: 'x', features: readJson<Fixture>('init-sklearn-people', 'tandem.json').inputs.x.map(factOf) }],
  scores: ['label', 'probabilities'],
  notes: ['a note'],
};

function factOf({ column, sql, missing, ...contract }: FeatureFile): FactFeature {
  const name = column ?? /isnan\("(\w+)"\)/.exec(sql!)![1]!;
  const kind = typeof missing === 'string' ? 'text' : 'number';
  return {
    name,
    kind,
    contract,
    ...(missing === undefined ? {} : { missing }),
    ...(sql === undefined ? {} : { nanIsNull: true }),
  };
}

/** A `python3` on PATH whose environment exports the fixture; `otherwise` is JavaScript that runs first. */
function fakePython(context: TestContext, place: Workplace, otherwise = ''): NodeJS.ProcessEnv {
  const bin = join(place.folder, 'bin');
  const fixture = goldenPath('init-sklearn-people');
  mkdirSync(bin);
  const script = `#!${process.execPath}
    const { appendFileSync, copyFileSync, cpSync, mkdirSync, writeFileSync } = require('node:fs');
    const { join } = require('node:path');
    const args = process.argv.slice(2);
    appendFileSync(${JSON.stringify(join(place.folder, 'calls'))}, args.slice(0, 3).join(' ') + '\\n');
    const [, command, , , folder] = args;
    ${otherwise}
    if (args[1] === 'venv') { mkdirSync(join(args[2], 'bin'), { recursive: true }); cpSync(__filename, join(args[2], 'bin/python')); }
    if (command === 'convert') {
      copyFileSync(${JSON.stringify(join(fixture, 'model.onnx'))}, join(folder, 'model.onnx'));
      writeFileSync(join(folder, 'facts.json'), ${JSON.stringify(JSON.stringify(facts))});
    }
    if (command === 'score') {
      writeFileSync(${JSON.stringify(join(place.folder, 'spec.json'))}, args[5]);
      copyFileSync(${JSON.stringify(join(fixture, 'golden.parquet'))}, join(folder, 'golden.parquet'));
    }`;
  writeFileSync(join(bin, 'python3'), script);
  chmodSync(join(bin, 'python3'), 0o755);
  return { ...process.env, PATH: bin, XDG_CACHE_HOME: join(place.folder, 'cache') };
}

function libraryOptions(place: Workplace, environment: NodeJS.ProcessEnv): InitOptions {
  const path = join(place.folder, 'model.joblib');
  writeFileSync(path, 'a pickle');
  const golden = quotePath(goldenPath('init-sklearn-people', 'golden.parquet'));
  place.shard('a.parquet', `SELECT row_number() OVER () AS user_id, * EXCLUDE (label, probability) FROM ${golden}`);
  return { shards: place.data, source: { kind: 'sklearn', path }, output: join(place.folder, 'made'), environment };
}

function calls(place: Workplace): string[] {
  return readFileSync(join(place.folder, 'calls'), 'utf8').trimEnd().split('\n');
}

test('a library: one environment for two exports, a folder that passes its own check', async (context) => {
  const place = new Workplace(context);
  const options = libraryOptions(place, fakePython(context, place));
  const report = await init(options);
  assert.deepEqual(listFiles(options.output!), ['golden.parquet', 'model.onnx', 'tandem.json']);
  assert.equal(report.check?.passed, true);
  assert.deepEqual(report.notes.slice(0, 2), ['exported by scikit-learn 1.9.1', 'a note']);
  const { features, outputs } = JSON.parse(readFileSync(join(place.folder, 'spec.json'), 'utf8')) as {
    features: { name: string; column: string; takesNull: boolean }[];
    outputs: object;
  };
  assert.deepEqual(
    features.map(({ column, takesNull }) => [column, takesNull]),
    [
      ['age', true],
      ['income', true],
      ['city', true],
      ['plan', true],
      ['visits', false],
      ['member', false],
    ],
  );
  assert.deepEqual(outputs, { label: { column: 'label' }, probabilities: { column: 'probability', select: 1 } });
  assert.equal((await check({ model: options.output!, threads: 1 })).passed, true);
  await init({ ...options, overwrite: true });
  assert.deepEqual(
    calls(place).map((call) =>
      call.replace(/ [^ ]*\/(?:venv-|src\/init\/export\.py).*/, '').replace(/^[^ ]*export\.py /, ''),
    ),
    ['-m venv', '-m pip install', 'convert sklearn', 'score sklearn', 'convert sklearn', 'score sklearn'],
  );
});

test('a dry run of a library says the steps and runs nothing', async (context) => {
  const place = new Workplace(context);
  const options = libraryOptions(place, fakePython(context, place));
  const { steps, contract } = await init({ ...options, dryRun: true });
  assert.equal(contract, undefined);
  assert.match(steps[0]!, /^python3 -m venv .*\/cache\/tandem\/venv-[0-9a-f]{12}$/);
  assert.match(steps[1]!, /-m pip install scikit-learn==1\.9\.1 /);
  assert.match(steps[3]!, /export\.py convert sklearn /);
  assert.equal(existsSync(join(place.folder, 'calls')), false);
  assert.equal(existsSync(options.output!), false);
});

test('what Python says in its ways becomes an error with a remedy, and leaves nothing', async (context) => {
  for (const [otherwise, code, message, remedy] of [
    [
      `if (args[1] === 'pip') { console.error('ERROR: No matching distribution found for scikit-learn==0.1'); process.exit(1); }`,
      'ENVIRONMENT',
      /No matching distribution/,
      /--python/,
    ],
    [
      `if (args[1] === 'pip') { console.error('NewConnectionError'); process.exit(1); }`,
      'ENVIRONMENT',
      /install what the model needs/,
      /PIP_INDEX_URL/,
    ],
    [
      `if (args[1] === 'venv') { console.error('ensurepip is not available'); process.exit(1); }`,
      'ENVIRONMENT',
      /virtual environment/,
      /python3-venv/,
    ],
    [
      `if (args[1] === 'convert') { console.log('{"refused": "linear trees", "remedy": "Train otherwise."}'); process.exit(3); }`,
      'BAD_MODEL',
      /got: linear trees\./,
      /Train otherwise/,
    ],
    [
      `if (args[1] === 'convert') { console.error('Traceback\\nKeyError: 1'); process.exit(1); }`,
      'BAD_MODEL',
      /got: KeyError: 1/,
      /export\.py convert sklearn [^ ]*model\.joblib "\$\(mktemp -d\)"$/,
    ],
    [
      `if (command === 'convert') { writeFileSync(join(folder, 'model.onnx'), 'no model');
         writeFileSync(join(folder, 'facts.json'), ${JSON.stringify(JSON.stringify(facts))}); process.exit(0); }`,
      'BAD_MODEL',
      /Expected the export of .*model\.joblib to load, got: /,
      /export that failed \(scikit-learn 1\.9\.1\).* among "/,
    ],
  ] as const) {
    const place = new Workplace(context);
    const options = libraryOptions(place, fakePython(context, place, otherwise));
    assertFailure(await caught(init(options)), { code, place: {}, message, remedy });
    assert.equal(existsSync(options.output!), false);
    const left = listFiles(join(place.folder, 'cache')).filter((path) => path.includes('.part-'));
    assert.deepEqual(left, []);
  }
});

test('without the Python that is named there is an error that names it', async (context) => {
  const place = new Workplace(context);
  const options = libraryOptions(place, fakePython(context, place));
  const error = await caught(init({ ...options, python: 'python9.9' }));
  assert.ok(error instanceof TandemError);
  assertFailure(error, { code: 'ENVIRONMENT', place: {}, message: /python9\.9 to be on PATH/ });
  const said: string[] = [];
  const nowhere = init({ ...options, python: '/nonexistent', onProgress: (text) => void said.push(text) });
  assertFailure(await caught(nowhere), { code: 'ENVIRONMENT', place: {}, message: /\/nonexistent to be a Python/ });
  assert.deepEqual(said, []);
});
