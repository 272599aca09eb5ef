/** A Python environment with what a model file needs, and the script that exports it there. */
import { createHash } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolderOf } from '../engines/cuda/libraries.ts';
import { makeFolder } from '../engines/make-folder.ts';
import { TandemError } from '../errors.ts';
import { placeOf } from '../place.ts';
import { runPython, type Python } from '../setup/pip.ts';

/** The script, in the package's sources: Python needs no build. */
export const exportScript = fileURLToPath(placeOf('../../src/init/export.py'));

/** Where the environment of these packages lies; it need not be there. */
export function environmentFolder(
  { command = 'python3', environment }: Python,
  requirements: readonly string[],
): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([command, requirements]))
    .digest('hex');
  return join(cacheFolderOf(environment), `venv-${hash.slice(0, 12)}`);
}

export function pythonOf(folder: string): string {
  return process.platform === 'win32' ? join(folder, 'Scripts', 'python.exe') : join(folder, 'bin', 'python');
}

const pipFlags = ['--quiet', '--disable-pip-version-check', '--only-binary=:all:'];

/** What {@link makeEnvironment} does, as commands for a shell. */
export function environmentSteps(python: Python, requirements: readonly string[]): string[] {
  const folder = environmentFolder(python, requirements);
  return [
    `${python.command ?? 'python3'} -m venv ${quoted(folder)}`,
    `${quoted(pythonOf(folder))} -m pip install ${requirements.map(quoted).join(' ')}`,
  ];
}

/**
 * Makes the environment unless it is there, and gives its folder; it gets its name when it is whole.
 * @throws ENVIRONMENT with pip's reason; STOPPED
 */
export async function makeEnvironment(
  python: Python,
  requirements: readonly string[],
  say: (text: string) => void,
): Promise<string> {
  const folder = environmentFolder(python, requirements);
  if (existsSync(pythonOf(folder))) return folder;
  const { command: named = 'python3' } = python;
  if (named.includes('/') && !existsSync(named)) {
    throw new TandemError('ENVIRONMENT', `Expected ${named} to be a Python, got nothing there.`, {
      remedy: 'Name one that is there with --python.',
    });
  }
  await expectPython(python);
  const part = `${folder}.part-${process.pid}`;
  say(`making a Python environment in ${folder}: a minute or two, once`);
  try {
    makeFolder(cacheFolderOf(python.environment));
    const made = await runPython(python, ['-m', 'venv', part]);
    if (made.exitCode !== 0) throw explain(made.output, 'make a virtual environment', python, requirements);
    const command = pythonOf(part);
    const installed = await runPython({ ...python, command }, ['-m', 'pip', 'install', ...pipFlags, ...requirements]);
    if (installed.exitCode !== 0) throw explain(installed.output, 'install what the model needs', python, requirements);
    // Another process may have been faster; its environment is the same.
    if (!existsSync(folder)) renameSync(part, folder);
    return folder;
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/** @throws ENVIRONMENT */
async function expectPython(python: Python): Promise<void> {
  const { output } = await runPython(python, ['--version']);
  if (/^Python 3\./m.test(output)) return;
  const got = output.trim().split('\n')[0] ?? '';
  throw new TandemError('ENVIRONMENT', `Expected ${python.command ?? 'python3'} to be a Python 3, got \`${got}\`.`, {
    remedy: 'Name one with --python.',
  });
}

function explain(output: string, what: string, python: Python, requirements: readonly string[]): TandemError {
  const { command = 'python3' } = python;
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const said = lines.find((line) => /^(?:ERROR|\w*Error)\b/.test(line)) ?? lines.at(-1) ?? 'nothing';
  const remedy =
    remedies.find(([pattern]) => pattern.test(output))?.[1] ??
    `By hand: \`${environmentSteps(python, requirements).join(' && ')}\`.`;
  return new TandemError('ENVIRONMENT', `Expected ${command} to ${what}, got: ${said}`, { remedy });
}

const remedies: readonly (readonly [RegExp, string])[] = [
  [
    /ensurepip is not available|No module named '?venv/,
    'Install its venv module (Debian, Ubuntu: apt-get install python3-venv).',
  ],
  [
    /name resolution|NewConnectionError|ConnectionError|[Tt]imed ?out|ConnectionReset|ProxyError|SSLError|Max retries/,
    'Behind a proxy or a mirror set HTTPS_PROXY or PIP_INDEX_URL; without a network run the same command with --dry-run and do its steps elsewhere.',
  ],
  [
    /No matching distribution|Could not find a version|Requires-Python|ResolutionImpossible/,
    'The versions that wrote the model have no wheels for this Python: name one that they had with --python (python3.11), or save the model anew.',
  ],
  [/No space left|Disk quota/, 'Make room under the cache folder, or name another one with XDG_CACHE_HOME.'],
];

const linesShownMax = 5;

/** Exit code of the script where it refuses a model. */
const refusedCode = 3;

/** Runs the script in the environment. @throws BAD_MODEL with what the script or its libraries say; STOPPED */
export async function runExport(python: Python, folder: string, args: readonly string[]): Promise<void> {
  const environment = { ...python.environment, PYTHONDONTWRITEBYTECODE: '1', PYTHONUTF8: '1' };
  const call = { ...python, environment, command: pythonOf(folder) };
  const { exitCode, output } = await runPython(call, [exportScript, ...args]);
  if (exitCode === 0) return;
  const lines = output.trimEnd().split('\n');
  const last = lines.at(-1) ?? '';
  if (exitCode === refusedCode && last.startsWith('{')) {
    const { refused, remedy } = JSON.parse(last) as { refused: string; remedy: string };
    throw new TandemError(
      'BAD_MODEL',
      `Expected ${args[2]} to be a model that can be converted, got: ${refused.replace(/\.+$/, '')}.`,
      {
        remedy,
      },
    );
  }
  throw new TandemError('BAD_MODEL', `Expected ${args[2]} to be converted, got: ${last}`, {
    // Its folder, and the rows of a spec, are gone when a person reads this.
    remedy:
      args[0] === 'convert'
        ? `To see all: ${[pythonOf(folder), exportScript, ...args.slice(0, 3)].map(quoted).join(' ')} "$(mktemp -d)"`
        : `It wrote last: ${lines.slice(-linesShownMax).join(' | ')}`,
  });
}

/** For a shell. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
