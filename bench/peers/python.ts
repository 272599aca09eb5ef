/** Python environments of the peers: made once beside the data, anew when their requirements change. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { defaultFolder } from '../data.ts';
import { scriptPath } from './script-path.ts';

const stampName = 'requirements.sha256';

/**
 * The interpreter of an environment that has what the file beside the scripts lists, from where pip is configured to
 * look. `requirements-ray.txt` becomes `bench/data/python-ray`.
 * @throws Error that says what is missing, or what pip said
 */
export function pythonWith(requirements: string, folder = defaultFolder, python = 'python3'): string {
  const path = scriptPath(requirements);
  const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
  const home = join(folder, basename(requirements, '.txt').replace('requirements', 'python'));
  const interpreter = join(home, 'bin', 'python');
  const stamp = join(home, stampName);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return interpreter;
  rmSync(home, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  process.stderr.write(`installing ${requirements}\n`);
  run(python, ['-m', 'venv', home], 'Expected python3 with its venv module (on Debian: python3-venv)');
  run(
    interpreter,
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', path],
    `Expected pip to install ${requirements}`,
  );
  writeFileSync(stamp, hash);
  return interpreter;
}

function run(file: string, args: readonly string[], expected: string): void {
  const { error, status, stderr } = spawnSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  if (error === undefined && status === 0) return;
  const said = error?.message ?? stderr.trim().split('\n').slice(-3).join(' ');
  throw new Error(`${expected}, got: ${said}`, { cause: error });
}
