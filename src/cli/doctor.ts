/** `tandem doctor`: what this machine has of what Tandem needs, and how to get the rest. */
import type { DoctorItem, DoctorReport } from '../doctor/report.ts';
import { formatError, TandemError } from '../errors.ts';
import { jsonFlag, printResult, type Command } from './command.ts';
import type { Flag } from './flags.ts';

export const doctorFlags: readonly Flag[] = [
  {
    name: 'device',
    value: 'name',
    describe: 'What must work: cpu, cuda (all GPUs), cuda:0,2, cuda:GPU-1f4c, or auto (at least the CPU)',
    otherwise: 'all is looked at, nothing must',
  },
  {
    name: 'ort-dir',
    value: 'folder',
    describe: "Folder of ONNX Runtime's CUDA provider",
    otherwise: 'TANDEM_ORT_DIR, or the usual places',
  },
  jsonFlag,
];

export const doctorCommand: Command = {
  spec: {
    name: 'doctor',
    describe: 'Shows what this machine has, what Tandem needs, and how to get what is missing.',
    flags: doctorFlags,
    examples: [
      ['tandem doctor', 'Everything, for reading'],
      ['tandem doctor --device cuda', 'Ends with 78 unless a GPU can be used: for a health check'],
      ['tandem doctor --device cpu --json', 'The same for a script, and the CPU only'],
    ],
  },
  async run(given, io, loadApi) {
    const device = given.text('device');
    const ortDir = given.text('ort-dir');
    const api = await loadApi();
    const report = await api.doctor({
      environment: io.environment,
      ...(device === undefined ? {} : { device }),
      ...(ortDir === undefined ? {} : { ortDir }),
    });
    const { remedyLines, renderDoctor } = await import('./render-doctor.ts');
    printResult(io, given, report, renderDoctor);
    if (report.passed) return 0;
    const error = cannotWork(report, remedyLines);
    io.stderr.write(`${formatError(error)}\n`);
    return error.exitCode;
  },
};

function cannotWork(
  { device, items }: DoctorReport,
  remedyLines: (items: readonly DoctorItem[]) => string[],
): TandemError {
  const asksCuda = device?.startsWith('cuda') === true;
  const bad = items.filter((item) => item.state === 'bad' && (asksCuda || item.for === 'every run'));
  const remedies = remedyLines(bad);
  const names = bad.map(({ name }) => name).join(', ');
  return new TandemError('ENVIRONMENT', `Expected --device ${device} to work here, got faults: ${names}.`, {
    // Under the first one, which stands behind `do:`.
    ...(remedies.length === 0 ? {} : { remedy: remedies.join(`\n${' '.repeat(9)}`) }),
  });
}
