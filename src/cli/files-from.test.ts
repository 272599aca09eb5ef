import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { tempDir } from '../testing/shards.ts';
import type { TandemError } from '../errors.ts';
import { filesFromFlag, shardsOf } from './files-from.ts';
import { parseArguments } from './parse.ts';
import { checkRequired, type Arguments, type CommandSpec } from './flags.ts';

function given(list: string | undefined, positionals: readonly string[] = []): Arguments {
  return {
    commandLine: [],
    positionals,
    text: (name) => (name === 'files-from' ? list : undefined),
    texts: () => [],
    isOn: () => false,
    count: () => undefined,
  };
}

/** A folder with `a.parquet`, `b c.parquet`, `é[1].parquet`, and a list of this text. */
function place(t: { after(remove: () => void): void }, text: string): { folder: string; list: string } {
  const folder = tempDir(t);
  for (const name of ['a.parquet', 'b c.parquet', 'é[1].parquet']) writeFileSync(join(folder, name), '');
  const list = join(folder, 'list.txt');
  writeFileSync(list, text.replaceAll('FOLDER', folder));
  return { folder, list };
}

async function failure(arguments_: Arguments): Promise<TandemError> {
  return shardsOf(arguments_, {}).then(
    () => assert.fail('It succeeded'),
    (error: TandemError) => error,
  );
}

test('without the flag the arguments are all there is', async () => {
  assert.deepEqual(await shardsOf(given(undefined, ['x']), {}), ['x']);
});

test('paths and file URLs in the order of the lines, behind the arguments', async (t) => {
  const text = '\uFEFFFOLDER/b c.parquet\r\n\n   \nfile://FOLDER/a.parquet\nfile:FOLDER/%C3%A9[1].parquet';
  const { folder, list } = place(t, text);
  const expected = ['x', ...['b c.parquet', 'a.parquet', 'é[1].parquet'].map((name) => join(folder, name))];
  assert.deepEqual(await shardsOf(given(list, ['x']), {}), expected);
});

test('relative paths start at the current folder, not at the list', async (t) => {
  const { folder, list } = place(t, '');
  writeFileSync(list, `${relative(process.cwd(), join(folder, 'a.parquet'))}\n`);
  assert.deepEqual(await shardsOf(given(list), {}), [join(folder, 'a.parquet')]);
});

test('- reads standard input, in parts that cut characters', async (t) => {
  const { folder } = place(t, '');
  const bytes = Buffer.from(`${pathToFileURL(join(folder, 'a.parquet')).href}\n${folder}/é[1].parquet\n`);
  const stdin = async function* (): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield Uint8Array.of(byte);
  };
  assert.deepEqual(await shardsOf(given('-'), { stdin }), [join(folder, 'a.parquet'), join(folder, 'é[1].parquet')]);
});

const wrong: readonly (readonly [string, string, RegExp])[] = [
  [
    'FOLDER/a.parquet\n\nFOLDER/none.parquet',
    'NO_SHARDS',
    /Expected line 3 of .*list\.txt .*none\.parquet`, which is not there\./,
  ],
  ['FOLDER/a.parquet\nfile://FOLDER/./a.parquet', 'NO_SHARDS', /Expected line 2 of .*, which line 1 names too\./],
  ['FOLDER/*.parquet', 'NO_SHARDS', /Expected line 1 .*, which is not there\./],
  ['FOLDER', 'NO_SHARDS', /Expected line 1 .*, which is a folder\./],
  ['s3://bucket/a.parquet', 'NO_SHARDS', /got `s3:\/\/bucket\/a\.parquet`, a URL of no file here\./],
  ['\n \n', 'USAGE', /at least one file, got an empty list/],
];
for (const [text, code, message] of wrong) {
  test(`refused: ${JSON.stringify(text)}`, async (t) => {
    const error = await failure(given(place(t, text).list));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    if (code === 'NO_SHARDS') assert.ok(error.remedy?.includes(process.cwd()));
  });
}

test('a list has no comments', async (t) => {
  const error = await failure(given(place(t, '# of last week\nFOLDER/a.parquet').list));
  assert.equal(error.code, 'NO_SHARDS');
  assert.equal(error.remedy, 'Remove the line: a list has no comments, only paths.');
});

test('a list that cannot be read', async (t) => {
  const { list } = place(t, '');
  const error = await failure(given(join(dirname(list), 'nothing.txt')));
  assert.equal(error.code, 'USAGE');
  assert.match(error.message, /--files-from to be a readable file or -, got `.*nothing\.txt` \(ENOENT/);
});

test('a command that needs shards is given them by either', () => {
  const spec: CommandSpec = { name: 'score', describe: '', positional: 'shards', flags: [], examples: [] };
  checkRequired(spec, given('list.txt'));
  checkRequired(spec, given(undefined, ['a.parquet']));
  assert.throws(() => checkRequired(spec, given(undefined)), /to be given shards, got none/);
});

test('a lone - is the value of the flag before it', () => {
  const spec: CommandSpec = { name: 'score', describe: '', positional: 'shards', flags: [filesFromFlag], examples: [] };
  const parsed = parseArguments(spec, ['a', '--files-from', '-', 'b']);
  assert.deepEqual([parsed.text('files-from'), parsed.positionals], ['-', ['a', 'b']]);
  assert.equal(parseArguments(spec, ['--files-from=-']).text('files-from'), '-');
});
