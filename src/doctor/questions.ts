/** Questions to libraries, asked in a process of their own, and what becomes of those that it does not survive. */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Answer } from '../engines/cuda/ask.ts';
import type { CudaLibraryName } from '../engines/cuda/libraries.ts';
import { placeOf } from '../place.ts';

export type Question =
  | { readonly about: 'duckdb' | 'onnxruntime' }
  | { readonly about: 'library'; readonly name: CudaLibraryName; readonly path: string }
  | { readonly about: 'devices'; readonly cudart: string; readonly driver: string }
  | { readonly about: 'provider'; readonly core: string; readonly device: number };

/** A driver without a working device can take long to say so; one that hangs never does. */
const answersMsMax = 60_000;

interface Round {
  readonly answers: readonly Answer[];
  /** How the process ended; undefined: in order. */
  readonly death: string | undefined;
}

/**
 * Asks one after the other in one process, so that a library finds those before it loaded. A question that ends the
 * process is answered with how it ended, and the others are asked again in a new process without it.
 */
export async function ask(questions: readonly Question[], probe = probePath()): Promise<readonly Answer[]> {
  const fatal = new Map<Question, Answer>();
  for (;;) {
    const living = questions.filter((question) => !fatal.has(question));
    const { answers, death } = living.length === 0 ? { answers: [], death: undefined } : await askOnce(living, probe);
    const culprit = living[answers.length];
    if (culprit === undefined) return questions.map((each) => fatal.get(each) ?? answers[living.indexOf(each)]!);
    fatal.set(culprit, { problem: `${pathOf(culprit)}the process ${death ?? 'ended without an answer'}` });
  }
}

function pathOf(question: Question): string {
  if (question.about === 'library') return `${question.path}: `;
  return question.about === 'provider' ? `${question.core}: ` : '';
}

function askOnce(questions: readonly Question[], probe: string): Promise<Round> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [probe, JSON.stringify(questions)], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      timeout: answersMsMax,
      killSignal: 'SIGKILL',
    });
    let text = '';
    let errors = '';
    (child.stdio[3] as Readable).setEncoding('utf8').on('data', (part: string) => (text += part));
    child.stderr!.setEncoding('utf8').on('data', (part: string) => (errors += part));
    const end = (death: string | undefined) => {
      const answers = text.split('\n').slice(0, -1);
      resolve({ answers: answers.map((line) => JSON.parse(line) as Answer), death });
    };
    child.on('error', (error) => end(`did not start: ${error.message}`));
    child.on('close', (exitCode, signal) => {
      if (signal === 'SIGKILL') return end(`gave no answer within ${answersMsMax / 1000} s, or was killed`);
      if (signal !== null) return end(`died of ${signal}`);
      // A module that does not load ends the process before the first question.
      const said = /^\w*Error.*$/m.exec(errors)?.[0];
      return end(exitCode === 0 ? undefined : `ended with ${exitCode}${said === undefined ? '' : `: ${said}`}`);
    });
  });
}

function probePath(): string {
  return fileURLToPath(placeOf('./doctor/probe.js'));
}
