/** Fetching wheels with pip, and taking files out of them with the same Python; nothing else is needed. */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment } from '../engines/cuda/libraries.ts';
import { TandemError } from '../errors.ts';
import type { Wheel } from './wheels.ts';

export interface Python {
  /** Default: python3, as PATH has it. */
  readonly command?: string;
  readonly environment: Environment;
  readonly signal: AbortSignal | undefined;
}

/** The wheel of one Python serves all: only its libraries are taken. Platforms from the newest to the oldest tag. */
const wheelFlags = [
  ...['--python-version', '3.12', '--implementation', 'cp'],
  ...['manylinux_2_28', 'manylinux_2_27', 'manylinux2014'].flatMap((tag) => ['--platform', `${tag}_x86_64`]),
];

/** @throws ENVIRONMENT without python3 or its pip */
export async function expectPip(python: Python): Promise<void> {
  const { exitCode, output } = await runPython(python, ['-m', 'pip', '--version']);
  if (exitCode !== 0) throw explainPip('pip', output);
}

/**
 * Downloads a wheel into a new folder beside `folder`'s other content; pip itself compares its sha256. Gives its path.
 * @throws ENVIRONMENT or TRANSIENT with pip's reason
 */
export async function downloadWheel(python: Python, wheel: Wheel, folder: string): Promise<string> {
  const target = join(folder, 'wheel');
  const temporary = join(folder, 'pip');
  for (const each of [target, temporary]) mkdirSync(each, { recursive: true });
  const requirement = `${wheel.name}==${wheel.version}`;
  const list = join(folder, 'requirements.txt');
  writeFileSync(list, `${requirement} --hash=sha256:${wheel.content.sha256}\n`);
  const flags = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--no-cache-dir', '--progress-bar', 'off'];
  const command = ['-m', 'pip', 'download', ...flags, ...wheelFlags, '--dest', target, '-r', list];
  // pip unpacks beside nothing of ours otherwise, often into a small file system in memory.
  const environment = { ...python.environment, TMPDIR: temporary, PIP_DISABLE_PIP_VERSION_CHECK: '1' };
  const { exitCode, output } = await runPython({ ...python, environment }, command);
  if (exitCode !== 0) throw explainPip(requirement, output);
  const file = readdirSync(target).find((name) => name.endsWith('.whl'));
  if (file === undefined) {
    throw new TandemError('ENVIRONMENT', `Expected pip to leave a wheel of ${requirement} in ${target}, got none.`, {
      remedy: `Run \`python3 ${command.join(' ')}\` and see what it says.`,
    });
  }
  return join(target, file);
}

const extractScript = `
import os, shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for member, target in zip(sys.argv[2::2], sys.argv[3::2]):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with wheel.open(member) as source, open(target, 'wb') as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
`;

/** Takes the wheel's files out, each to its path under `folder`. @throws ENVIRONMENT or TRANSIENT */
export async function extractFiles(python: Python, path: string, wheel: Wheel, folder: string): Promise<void> {
  const pairs = wheel.files.flatMap((file) => [file.member, join(folder, file.path)]);
  const { exitCode, output } = await runPython(python, ['-c', extractScript, path, ...pairs]);
  if (exitCode !== 0) throw explainPip(`${wheel.name}==${wheel.version}`, output);
}

/** What pip's last words mean. */
export function explainPip(what: string, output: string): TandemError {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const said = lines.findLast((line) => /^(ERROR|\w*Error)\b/.test(line)) ?? lines.at(-1) ?? 'nothing';
  for (const [pattern, code, expected, remedy] of pipFailures) {
    if (pattern.test(output)) return new TandemError(code, `Expected ${expected(what)}, got: ${said}`, { remedy });
  }
  return new TandemError('ENVIRONMENT', `Expected python3 to fetch ${what}, got: ${said}`, {
    remedy: `Run \`python3 -m pip download --no-deps ${what}\` to see all that it says.`,
  });
}

const otherWay =
  'Behind a proxy or a mirror set HTTPS_PROXY or PIP_INDEX_URL; without a network run the command elsewhere with ' +
  '--to <folder>, and bring that folder here for --ort-dir.';

const pipFailures: readonly (readonly [
  RegExp,
  'ENVIRONMENT' | 'TRANSIENT',
  expected: (what: string) => string,
  remedy: string,
])[] = [
  [
    /No module named '?(?:pip|zipfile)/,
    'ENVIRONMENT',
    () => 'python3 to have pip',
    'Install it: `apt-get install python3-pip`, or `python3 -m ensurepip`; or put a python3 that has it first on PATH.',
  ],
  [
    /DO NOT MATCH THE HASHES|THESE PACKAGES DO NOT MATCH/,
    'ENVIRONMENT',
    (what) => `${what} to be the file that Tandem knows`,
    'The package index serves another file under this version: look at PIP_INDEX_URL and `python3 -m pip config list`.',
  ],
  [
    /No space left on device|Disk quota exceeded|\[Errno (?:28|122)\]/,
    'TRANSIENT',
    (what) => `room for ${what}`,
    'Make room, or name a folder on another disk with --to <folder>; then run the same command again.',
  ],
  [
    /Permission denied|Read-only file system/,
    'ENVIRONMENT',
    (what) => `to be allowed to write ${what}`,
    'Name a folder that you may write to with --to <folder>.',
  ],
  [
    /name resolution|NewConnectionError|ConnectionError|[Tt]imed ?out|ConnectionReset|ProxyError|SSLError|ConnectTimeout/,
    'TRANSIENT',
    (what) => `the package index to send ${what}`,
    otherWay,
  ],
  [
    /Could not find a version|No matching distribution/,
    'ENVIRONMENT',
    (what) => `the package index to have ${what}`,
    otherWay,
  ],
];

/** Only the end of what is said is kept. */
const outputLengthMax = 16_384;

/** Runs Python until it ends; what it says goes nowhere else. @throws ENVIRONMENT without it; STOPPED */
export function runPython(python: Python, args: readonly string[]): Promise<{ exitCode: number; output: string }> {
  const { command = 'python3', environment, signal } = python;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: environment as NodeJS.ProcessEnv,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal === undefined ? {} : { signal }),
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-outputLengthMax)));
    }
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (cause.name === 'AbortError') return;
      reject(
        new TandemError('ENVIRONMENT', `Expected ${command} to be on PATH, got: ${cause.message}.`, {
          remedy: 'Install Python 3.9 or newer with pip; it is needed for this command only.',
          cause,
        }),
      );
    });
    child.on('close', (exitCode, killedBy) => {
      if (signal?.aborted === true) return reject(new TandemError('STOPPED', 'Stopped; nothing unfinished stays.'));
      resolve({
        exitCode: exitCode ?? 1,
        output: killedBy === null ? output : `${output}\nit was ended by ${killedBy}`,
      });
    });
  });
}
