/**
 * GPU Performance Monitoring of NVML (Hopper and newer): exact averages between two samples, without a daemon; and the
 * link to the host. Only the benchmark asks for these. Signatures and numbers are those of nvml.h.
 */
import { openLibrary, type Memory, type Pointer } from '../../src/engines/native.ts';
import { nvmlSoname } from '../../src/engines/nvml/nvml.ts';

/** nvmlGpmMetricId_t of what we ask; all percent but the last two, which are MiB/s. */
const metrics = {
  graphicsPercent: 1,
  smPercent: 2,
  smOccupancyPercent: 3,
  tensorPercent: 5,
  memoryBandwidthPercent: 10,
  float32Percent: 12,
  pcieSentMibPerSecond: 20,
  pcieReceivedMibPerSecond: 21,
} as const;

/** nvmlGpmMetric_t: id, status, value, three texts. */
const metricBytes = 40;
/** Version, count, two samples. */
const headerBytes = 24;
/** NVML_GPM_METRIC_MAX grows with each release; only the asked ones are looked at. */
const metricsMax = 512;

export interface Gpm {
  /** Generation and lanes of the link to the host, now and at most. */
  link(): Record<string, number>;
  sample(): Pointer;
  /** Averages between two samples; a text where a metric is refused. */
  between(first: Pointer, second: Pointer): Record<string, number | string>;
}

type Out<Value> = [Value | null];

/** @throws Error with NVML's text */
export function openGpm(pciBusId: string): Gpm {
  const library = openLibrary(nvmlSoname, 'NVML');
  const textOf = library.func('const char *nvmlErrorString(int code)') as (code: number) => string;
  const bind = (signature: string): ((...parameters: readonly unknown[]) => void) => {
    const name = /(\w+)\(/.exec(signature)![1]!;
    const call = library.func(signature) as (...parameters: readonly unknown[]) => number;
    return (...parameters) => {
      const code = call(...parameters);
      if (code !== 0) throw new Error(`Expected ${name} to succeed, got ${code} (${textOf(code)}).`);
    };
  };
  bind('int nvmlInit_v2()')();
  const out: Out<Pointer> = [null];
  bind('int nvmlDeviceGetHandleByPciBusId_v2(const char *id, _Out_ void **device)')(pciBusId, out);
  const device = out[0]!;
  const support = new Uint32Array([1, 0]);
  const number = (name: string): number => {
    const value: Out<number> = [null];
    bind(`int ${name}(void *device, _Out_ uint *value)`)(device, value);
    return value[0]!;
  };
  return {
    link: () => ({
      generation: number('nvmlDeviceGetCurrPcieLinkGeneration'),
      lanes: number('nvmlDeviceGetCurrPcieLinkWidth'),
      generationMax: number('nvmlDeviceGetMaxPcieLinkGeneration'),
      lanesMax: number('nvmlDeviceGetMaxPcieLinkWidth'),
    }),
    sample() {
      bind('int nvmlGpmQueryDeviceSupport(void *device, void *support)')(device, support);
      if (support[1] !== 1) throw new Error('Expected the device to have GPM, got one that does not.');
      const sample: Out<Pointer> = [null];
      bind('int nvmlGpmSampleAlloc(_Out_ void **sample)')(sample);
      bind('int nvmlGpmSampleGet(void *device, void *sample)')(device, sample[0]!);
      return sample[0]!;
    },
    between: (first, second) => readMetrics(bind('int nvmlGpmMetricsGet(void *metrics)'), first, second),
  };
}

function readMetrics(get: (metrics: Memory) => void, first: Pointer, second: Pointer): Record<string, number | string> {
  const view = new DataView(new ArrayBuffer(headerBytes + metricsMax * metricBytes));
  const names = Object.keys(metrics) as (keyof typeof metrics)[];
  view.setUint32(0, 1, true);
  view.setUint32(4, names.length, true);
  view.setBigUint64(8, first, true);
  view.setBigUint64(16, second, true);
  names.forEach((name, index) => view.setUint32(headerBytes + index * metricBytes, metrics[name], true));
  get(view);
  const valueOf = (_name: string, index: number): number | string => {
    const at = headerBytes + index * metricBytes;
    const status = view.getUint32(at + 4, true);
    return status === 0 ? view.getFloat64(at + 8, true) : `refused with ${status}`;
  };
  return Object.fromEntries(names.map((name, index) => [name, valueOf(name, index)]));
}
