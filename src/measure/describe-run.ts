/** What a run ran on, and with which settings, for its record. */
import { readFileSync } from 'node:fs';
import { release, totalmem } from 'node:os';
import { duckDbVersion } from '../engines/duckdb/bindings.ts';
import { onnxRuntimeVersion } from '../engines/onnxruntime/bindings.ts';
import { coreBound, cpuLabel } from '../machine.ts';
import type { GpuMemory, ScoreOptions } from '../options.ts';
import type { RunPlan } from '../plan.ts';
import type { PlannedSelection } from '../relation.ts';
import type { RunRecord } from '../run-record.ts';
import { placeOf } from '../place.ts';

export function describeEnvironment({ devices, profiles }: RunPlan): RunRecord['environment'] {
  const manifest = readFileSync(placeOf('../../package.json'), 'utf8');
  return {
    tandem: (JSON.parse(manifest) as { readonly version: string }).version,
    node: process.version,
    duckDb: duckDbVersion,
    onnxRuntime: onnxRuntimeVersion,
    cpu: cpuLabel(),
    cores: coreBound().value,
    memoryBytes: totalmem(),
    system: `${process.platform} ${process.arch} ${release()}`,
    gpus: devices.map(({ name, label }, index) => {
      const driver = profiles.keys[index]?.driverVersion;
      return `${name}: ${label}${driver === undefined ? '' : `, driver ${driver}`}`;
    }),
  };
}

/** @param batchSize the last one */
export function describeSettings(
  plan: RunPlan,
  options: ScoreOptions,
  batchSize: number | undefined,
): RunRecord['settings'] {
  const { reader = 'duckdb', gpuMemory, allowCpuNodes, useProfile = true } = options;
  const found = plan.batchSize === undefined ? `${batchSize ?? 'not yet found'} (measured)` : `${plan.batchSize}`;
  const used = plan.profiles.used.flatMap((profile) => profile?.sets ?? []);
  return {
    shards: [options.shards].flat().join(' '),
    ...(plan.selection === undefined ? {} : { rows: describeSelection(plan.selection) }),
    device: plan.device,
    precision: plan.precision,
    scorer: plan.scorer.words,
    threads: `${plan.threads} (${plan.threadsBound})`,
    'batch size': found,
    'slots per thread': `${plan.slotsPerThread} of ${plan.slotRows} rows`,
    memory: `${plan.memoryLimitBytes} bytes (${plan.memoryBound})`,
    ...(plan.devices.length === 0
      ? {}
      : { 'GPU memory': gpuMemory === undefined ? 'no promise' : promised(gpuMemory) }),
    ...(allowCpuNodes === true ? { 'nodes on the CPU': 'allowed' } : {}),
    keep: plan.keepsAll ? 'all' : plan.keep.join(', ') || 'none',
    compression: plan.files.compression,
    ...(options.compressionLevel === undefined ? {} : { 'compression level': String(options.compressionLevel) }),
    ...(options.rowGroupRows === undefined ? {} : { 'row group': `${plan.files.rowGroupRows} rows` }),
    ...(options.rowsPerFile === undefined ? {} : { 'rows per file': String(options.rowsPerFile) }),
    reader,
    profile: useProfile ? used.join(', ') || 'none found' : 'not wanted',
    output: plan.output,
  };
}

/** `of 5000 rows in 3 shards: where a > 0; sample 0.01` */
function describeSelection({ where, sample, given, rowsFound, shardsFound }: PlannedSelection): string {
  const chosenBy = [
    ...where.map((sql) => `where ${sql}`),
    ...(sample === undefined ? [] : [`sample ${sample}`]),
    ...(given.limit === undefined ? [] : [`limit ${given.limit}`]),
  ];
  return `of ${rowsFound} rows in ${shardsFound} shards: ${chosenBy.join('; ')}`;
}

function promised(memory: GpuMemory): string {
  return 'bytes' in memory ? `${memory.bytes} bytes` : `${memory.share * 100} %`;
}
