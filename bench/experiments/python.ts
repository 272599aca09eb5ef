/** A Python with the packages that the experiments compare with, and a script of theirs that answers line by line. */
import { execFileSync, spawn, type ChildProcess, type ExecFileSyncOptions } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { defaultFolder } from '../data.ts';

const sources = fileURLToPath(new URL('../../../bench/experiments/', import.meta.url));
const setupMsMax = 300_000;

/** Where there is no Python to compare with, and why. */
export class NoPython extends Error {
  override readonly name = 'NoPython';
}

/**
 * Path of a python3 with the pinned packages of requirements.txt, in an environment of its own; made at first use and
 * again when the file has changed. @throws NoPython
 */
export function pythonOfExperiments(folder = join(defaultFolder, 'python-experiments')): string {
  const requirements = join(sources, 'requirements.txt');
  const stamp = join(folder, 'requirements.sha256');
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex');
  const python = join(folder, 'bin', 'python');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return python;
  rmSync(folder, { recursive: true, force: true });
  try {
    const options: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'pipe'], timeout: setupMsMax };
    execFileSync('python3', ['-m', 'venv', folder], options);
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements], options);
  } catch (error) {
    const { stderr } = error as { readonly stderr?: Buffer };
    const words = (stderr?.toString() || String(error)).trim().split('\n').at(-1);
    throw new NoPython(`Expected python3 with venv and pip to set up ${requirements}, got: ${words}`, { cause: error });
  }
  writeFileSync(stamp, hash);
  return python;
}

/** A running script: a line in, a line of JSON out. */
export class PythonScript {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  private constructor(python: string, script: string, task: object) {
    this.#process = spawn(python, [join(sources, script), JSON.stringify(task)]);
    this.#process.stderr!.on('data', (text: Buffer) => (this.#errors += text.toString()));
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts the script and waits for its first line. */
  static async start<Greeting>(python: string, script: string, task: object) {
    const started = new PythonScript(python, script, task);
    return { script: started, greeting: (await started.#answer()) as Greeting };
  }

  async ask<Answer>(line: string): Promise<Answer> {
    this.#process.stdin!.write(`${line}\n`);
    return (await this.#answer()) as Answer;
  }

  close(): void {
    this.#process.stdin!.end();
  }

  async #answer(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`Expected an answer of Python, got: ${this.#errors.trim() || 'none'}`);
    return JSON.parse(value as string);
  }
}
