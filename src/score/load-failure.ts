/** Why a model did not load, in words that say what to do. */
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { OnnxRuntimeError } from '../engines/onnxruntime/bindings.ts';
import { TandemError } from '../errors.ts';

interface Explanation {
  readonly pattern: RegExp;
  readonly got: string;
  readonly remedy: string;
}

/** Matched in order against ONNX Runtime's message. */
const explanations: readonly Explanation[] = [
  {
    pattern: /external data|model_path must not be empty|cannot get file size|External initializer/i,
    got: 'a model whose external data file is missing or too short',
    remedy: 'Copy the .data file that the exporter wrote beside the model file.',
  },
  {
    pattern: /is not a registered function\/op|No Op registered|Unrecognized (?:operator|domain)|unrecognized/i,
    got: 'an operator that ONNX Runtime does not know',
    remedy: 'Export with standard operators (opset 9 to 23), without custom ones.',
  },
  {
    pattern: /Could not find an implementation|NOT_IMPLEMENTED/i,
    got: 'an operator that ONNX Runtime has no code for in this type or opset',
    remedy: 'Export with a newer opset (13 or later), or in float32.',
  },
  {
    pattern: /Unsupported model IR version|opset .* is under development|ONNX Runtime only \*guarantees\*/i,
    got: 'a model of a newer format',
    remedy: 'Export with an older opset or IR version.',
  },
  {
    pattern: /locale/i,
    got: 'a text model that needs the locale en_US.UTF-8',
    remedy: 'Install it: apt-get install locales && locale-gen en_US.UTF-8.',
  },
  {
    pattern: /Protobuf parsing failed|INVALID_PROTOBUF|ModelProto does not have a graph/i,
    got: 'a file that is no ONNX model',
    remedy: 'Export the model again, and copy it in binary mode.',
  },
];

/** @returns BAD_MODEL for what ONNX Runtime refuses; anything else as it is */
export function explainLoadFailure(error: unknown, path: string): unknown {
  if (!(error instanceof OnnxRuntimeError)) return error;
  const place = { place: {}, cause: error };
  if (!existsSync(path)) {
    return new TandemError('BAD_MODEL', `Expected the model file ${path} to exist, got nothing.`, {
      ...place,
      remedy: 'Check --model and "model" in tandem.json.',
    });
  }
  const start = firstBytes(path);
  if (/^\s*<(!doctype|html)/i.test(start)) {
    return new TandemError('BAD_MODEL', `Expected ${path} to be an ONNX model, got an HTML page.`, {
      ...place,
      remedy: 'The download gave a web page (a login or an error): fetch the file itself.',
    });
  }
  if (start.startsWith('version https://git-lfs')) {
    return new TandemError('BAD_MODEL', `Expected ${path} to be an ONNX model, got a Git LFS pointer.`, {
      ...place,
      remedy: 'Fetch it: git lfs pull.',
    });
  }
  const found = explanations.find(({ pattern }) => pattern.test(error.message));
  return new TandemError(
    'BAD_MODEL',
    `Expected ${path} to be a model that ONNX Runtime loads, got ${found?.got ?? 'an error'}: ${error.message}`,
    {
      ...place,
      remedy: found?.remedy ?? 'Check the model with onnx.checker.check_model.',
    },
  );
}

function firstBytes(path: string): string {
  if (statSync(path).isDirectory()) return '';
  const buffer = Buffer.alloc(64);
  const descriptor = openSync(path, 'r');
  try {
    return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(descriptor);
  }
}
