import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDir } from '../testing/shards.ts';
import { boundFunctions, compareDuckDbHeader, compareOrtHeader, formatLines } from './check.ts';
import { loadDuckDb } from './duckdb/bindings.ts';
import { parseDuckDbHeader, parseOrtApi, parseOrtApiVersion } from './headers.ts';
import { loadOnnxRuntime } from './onnxruntime/bindings.ts';

const ortHeader = `
#define ORT_API_VERSION 3
typedef struct OrtApi OrtApi;
struct OrtApiBase { const OrtApi*(ORT_API_CALL* GetApi)(uint32_t version)NO_EXCEPTION; };
struct OrtApi {
  /** \\brief Makes one; see OrtApi::Other(a, b); */
  OrtStatus*(ORT_API_CALL* CreateStatus)(OrtErrorCode code, _In_ const char* msg)NO_EXCEPTION ORT_ALL_ARGS_NONNULL;
  // ORT_API2_STATUS(Old, int a);
  ORT_API2_STATUS(Run, _Inout_ OrtSession* session, _In_reads_(n) const char* const* names, size_t n,
                  OrtStatus*(ORT_API_CALL* done)(void*, int), _Out_ int* out);
  ORT_API2_STATUS(Nothing);
  ORT_CLASS_RELEASE(Session);
#if 1
  void(ORT_API_CALL* ReleaseOther)(_Frees_ptr_opt_ Other* input);
#endif
  const char*(ORT_API_CALL* GetBuildInfoString)(void);
  ORT_API_T(const OrtNode*, GetNode, _In_ const OrtGraph* graph);
};
struct Later { ORT_API2_STATUS(NotOurs, int a); };
`;
const table = ['CreateStatus', 'Run', 'Nothing', 'ReleaseSession', 'ReleaseOther', 'GetBuildInfoString', 'GetNode'];
const bound = [
  { name: 'Run', parameterCount: 5 },
  { name: 'ReleaseSession', parameterCount: 1 },
];

test('struct OrtApi is read in all its forms', () => {
  assert.deepEqual(
    parseOrtApi(ortHeader).map(({ name, parameterCount }) => [name, parameterCount]),
    [
      ['CreateStatus', 2],
      ['Run', 5],
      ['Nothing', 0],
      ['ReleaseSession', 1],
      ['ReleaseOther', 1],
      ['GetBuildInfoString', 0],
      ['GetNode', 1],
    ],
  );
  assert.equal(parseOrtApiVersion(ortHeader), 3);
  assert.throws(() => parseOrtApi('struct Other {};'), /struct OrtApi/);
  assert.throws(() => parseOrtApi('struct OrtApi {\n int x;\n};'), /int x/);
});

test('differences between table and header are named', () => {
  const wrongOf = (names: readonly string[], functions = bound) =>
    compareOrtHeader(ortHeader, names, functions)
      .filter((line) => !line.ok)
      .map((line) => [line.check, line.found]);
  assert.deepEqual(wrongOf(table), []);
  assert.deepEqual(wrongOf(table.slice(0, 5)), [], 'the header may be newer');
  assert.deepEqual(wrongOf([...table, 'Newer']), [], 'or older');
  const newer = { name: 'Newer', parameterCount: 1 };
  assert.deepEqual(wrongOf([...table, 'Newer'], [newer]), [['only in the table', '1, from Newer']]);
  const swapped = table.with(0, 'Run').with(1, 'CreateStatus');
  assert.deepEqual(wrongOf(swapped), [
    ['function 0', 'table Run, header CreateStatus'],
    ['function 1', 'table CreateStatus, header Run'],
    ['order in the header', '5 of 7, API version 3'],
  ]);
  assert.deepEqual(wrongOf(table, [{ name: 'Run', parameterCount: 4 }]), [
    ['Run', 'table 4 parameters, header 5'],
    ['parameters in the header', '0 of 1'],
  ]);
});

test('parameters of duckdb.h are counted', () => {
  const header = `
#define DUCKDB_C_API __declspec(dllexport)
/*! DUCKDB_C_API void duckdb_commented(int a); */
DUCKDB_C_API const char *duckdb_library_version();
#ifndef DUCKDB_API_NO_DEPRECATED
DUCKDB_C_API duckdb_data_chunk duckdb_fetch_chunk(duckdb_result result);
#endif
DUCKDB_C_API void duckdb_vector_assign_string_element_len(duckdb_vector vector, idx_t index, const char *str,
                                                          idx_t str_len);
`;
  assert.deepEqual(
    parseDuckDbHeader(header).map(({ name, parameterCount }) => [name, parameterCount]),
    [
      ['duckdb_library_version', 0],
      ['duckdb_fetch_chunk', 1],
      ['duckdb_vector_assign_string_element_len', 4],
    ],
  );
  const wrong = [
    { name: 'duckdb_fetch_chunk', parameterCount: 2 },
    { name: 'duckdb_gone', parameterCount: 0 },
  ];
  const lines = compareDuckDbHeader(header, wrong);
  assert.deepEqual(
    lines.map((line) => [line.check, line.found, line.ok]),
    [
      ['duckdb_fetch_chunk', 'table 2 parameters, header 1', false],
      ['duckdb_gone', 'table 0 parameters, header no such function', false],
      ['parameters in the header', '0 of 2', false],
    ],
  );
});

test('what we bind knows its parameters', () => {
  const countOf = (functions: object, name: string) =>
    boundFunctions(functions).find((entry) => entry.name === name)?.parameterCount;
  assert.equal(countOf(loadDuckDb(), 'duckdb_open_ext'), 4);
  assert.equal(countOf(loadDuckDb(), 'duckdb_library_version'), 0);
  assert.equal(countOf(loadOnnxRuntime(), 'CreateTensorWithDataAsOrtValue'), 7);
});

test('the table is aligned, long good news are cut', () => {
  const text = formatLines([
    { engine: 'DuckDB', check: 'a', found: 'x'.repeat(100), ok: true },
    { engine: 'ONNX Runtime', check: 'bcd', found: 'y', ok: false },
  ]);
  const [head, first, second] = text.split('\n');
  assert.match(head!, /^engine {8}check {2}found$/);
  assert.match(first!, /^DuckDB {8}a {6}x{67}\.{3} {2}ok$/);
  assert.match(second!, /^ONNX Runtime {2}bcd {4}y +WRONG$/);
});

test('the command ends with 0, 64 or 78', (t) => {
  const folder = tempDir(t);
  const command = fileURLToPath(new URL('check.js', import.meta.url));
  const run = (...flags: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...flags], { encoding: 'utf8' });
    return { status, text: stdout + stderr };
  };
  assert.equal(run().status, 0);
  assert.equal(run('--no-such-flag').status, 64);
  assert.equal(run('--header', join(folder, 'absent.h')).status, 64);
  const path = join(folder, 'api.h');
  writeFileSync(path, ortHeader);
  const wrong = run('--header', path);
  assert.equal(wrong.status, 78);
  assert.match(wrong.text, /function 1 +table GetErrorCode, header Run +WRONG/);
});
