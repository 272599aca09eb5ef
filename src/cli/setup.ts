/** `tandem setup cuda`: fetches what a run on a GPU needs beside the driver. */
import { jsonFlag, printResult, type Command } from './command.ts';
import type { Flag } from './flags.ts';
import { watchSignals } from './signals.ts';

export const setupFlags: readonly Flag[] = [
  {
    name: 'to',
    value: 'folder',
    describe: 'Folder to fill, whatever this machine has already; TANDEM_ORT_DIR or --ort-dir names it later',
    otherwise: 'the cache folder, with what this machine lacks',
  },
  { name: 'libraries', describe: "CUDA's libraries too: runtime, cuBLAS, cuRAND (463 MiB to fetch)" },
  { name: 'cudnn', describe: 'cuDNN too, for models with convolutions (350 MiB to fetch)' },
  { name: 'dry-run', describe: 'Print what would be fetched and where it would go, change nothing' },
  jsonFlag,
];

export const setupCommand: Command = {
  spec: {
    name: 'setup',
    describe: "Fetches ONNX Runtime's CUDA provider with pip, checks it byte for byte, and puts it into place.",
    notes: 'Needs python3 with pip, on Linux x64. Run again it does nothing, or goes on.',
    topics: ['cuda'],
    flags: setupFlags,
    examples: [
      ['tandem setup cuda --dry-run', 'What would be fetched, how much and where to'],
      ['tandem setup cuda --libraries', "The provider, and CUDA's libraries as far as this machine lacks them"],
      ['tandem setup cuda --to /opt/tandem-cuda --libraries --cudnn', 'A folder for an image or another machine'],
    ],
  },
  async run(given, io, loadApi) {
    const to = given.text('to');
    const say = (line: string) => void io.stderr.write(`${line}\n`);
    const watch = watchSignals(io, say, 'stopping: what is in place stays; again to end at once');
    try {
      const api = await loadApi();
      const report = await api.setupCuda({
        ...(to === undefined ? {} : { to }),
        libraries: given.isOn('libraries'),
        cudnn: given.isOn('cudnn'),
        dryRun: given.isOn('dry-run'),
        environment: io.environment,
        signal: watch.signal,
        onProgress: say,
      });
      const { renderSetup } = await import('./render-setup.ts');
      printResult(io, given, report, renderSetup);
      return 0;
    } finally {
      watch.close();
    }
  },
};
