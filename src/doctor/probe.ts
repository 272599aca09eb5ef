/**
 * The process in which libraries are tried: a broken one can take it down. Questions come as its argument, answers go
 * to file descriptor 3, one line each, written at once so that none is lost when the next question is the last one.
 */
import { writeSync } from 'node:fs';
import type { LibraryHandle } from 'koffi';
import { TandemError } from '../errors.ts';
import { askDevices, askNvml, askProvider, askRuntime, type Answer } from '../engines/cuda/ask.ts';
import { setEnvironment } from '../engines/native.ts';
import { onnxRuntimeVersion, ortApiVersion } from '../engines/onnxruntime/bindings.ts';
import type { Question } from './questions.ts';

const answersTo = 3;
const libraries = new Map<string, LibraryHandle>();

/** Without the prefix and advice of openLibrary: the loader's own words are what is looked for. */
async function open(path: string): Promise<LibraryHandle> {
  const known = libraries.get(path);
  if (known !== undefined) return known;
  const { default: koffi } = await import('koffi');
  try {
    const library = koffi.load(path);
    libraries.set(path, library);
    return library;
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause });
  }
}

async function answer(question: Question): Promise<Answer> {
  switch (question.about) {
    case 'duckdb': {
      const { duckDbVersion, loadDuckDb } = await import('../engines/duckdb/bindings.ts');
      loadDuckDb();
      return { version: duckDbVersion };
    }
    case 'onnxruntime': {
      const { loadOnnxRuntime } = await import('../engines/onnxruntime/bindings.ts');
      loadOnnxRuntime();
      return { version: `${onnxRuntimeVersion}, API ${ortApiVersion}` };
    }
    case 'library': {
      const library = await open(question.path);
      if (question.name === 'cudart') return askRuntime(library);
      return question.name === 'nvml' ? askNvml(library) : {};
    }
    case 'devices':
      return askDevices(await open(question.cudart), await open(question.driver));
    case 'provider':
      setEnvironment('ORT_DISABLE_TELEMETRY', '1');
      return askProvider(await open(question.core), question.device);
  }
}

for (const question of JSON.parse(process.argv[2] ?? '[]') as readonly Question[]) {
  let answered: Answer;
  try {
    answered = await answer(question);
  } catch (thrown) {
    const remedy = thrown instanceof TandemError && thrown.remedy !== undefined ? { remedy: thrown.remedy } : {};
    answered = { problem: (thrown as Error).message, ...remedy };
  }
  writeSync(answersTo, `${JSON.stringify(answered)}\n`);
}
