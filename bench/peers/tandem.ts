/** Tandem among its peers: the command, as anybody would type it. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Progress, ScoreResult } from '../../src/options.ts';
import { workloadNames } from '../data.ts';
import { environment } from '../environment.ts';
import type { Peer, PeerResult } from './peer.ts';
import type { Line } from './process-tree.ts';

const program = fileURLToPath(new URL('../../bundle/main.js', import.meta.url));

export const tandem: Peer = {
  name: 'tandem',
  describe: 'Tandem, `tandem score --keep id`',
  requirements: undefined,
  // No profile: what an earlier run on this machine has learned is not for a comparison.
  command: ({ shards, model, output }) => ({
    file: process.execPath,
    args: [program, 'score', ...shards, '--model', dirname(model), '--output', output].concat([
      '--keep',
      'id',
      '--no-profile',
      '--progress',
      'json',
      '--json',
    ]),
  }),
  rowsMax: Infinity,
  workloads: workloadNames,
  resultOf,
};

/**
 * The command says when scoring began: footers are read and the session is made, threads are only being started, which
 * is a little before the first batch and so counts against Tandem. The output is closed when the result is printed.
 */
function resultOf(lines: readonly Line[]): PeerResult {
  const scoring = lines
    .filter(({ stream, text }) => stream === 'stderr' && text.startsWith('{'))
    .map(({ at, text }) => ({ at, progress: JSON.parse(text) as Partial<Progress> }))
    .find(({ progress }) => progress.phase === 'scoring' || progress.phase === 'done');
  const printed = lines.filter(({ stream }) => stream === 'stdout');
  if (scoring === undefined || printed.length === 0) throw new Error('Expected progress and a result from Tandem.');
  const result = JSON.parse(printed.map(({ text }) => text).join('\n')) as ScoreResult;
  const manifest = new URL('../../../package.json', import.meta.url);
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  const { node, duckDb, onnxRuntime } = environment();
  return {
    rows: result.rowsOut,
    firstBatchAt: scoring.at - (scoring.progress.secondsElapsed ?? NaN),
    closedAt: printed.at(-1)!.at,
    versions: { tandem: version, node, duckDb, onnxRuntime },
  };
}
