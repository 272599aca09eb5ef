/** A process of its own for one run: the options as JSON in its argument, errors and warnings on stderr, the exit code. */
import { asTandemError, formatError } from '../errors.ts';
import type { ScoreOptions } from '../options.ts';
import { score } from '../pipeline.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as ScoreOptions;
try {
  await score({ ...options, onWarning: (text) => process.stderr.write(`${text}\n`) });
} catch (thrown) {
  const error = asTandemError(thrown);
  process.stderr.write(`${formatError(error)}\n`);
  process.exitCode = error.exitCode;
}
