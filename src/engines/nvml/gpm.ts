/**
 * GPU Performance Monitoring, NVML's counters of what a GPU's units did (Hopper and newer): averages between two samples
 * of any distance, without a daemon.
 */
import type { Pointer } from '../native.ts';
import { nvmlReturns, type NvmlCalls, type Out } from './bindings.ts';

/** nvmlGpmMetricId_t of what we ask; all percent but the last two, which are MiB/s. */
export const gpmMetrics = {
  graphicsPercent: 1,
  smPercent: 2,
  smOccupancyPercent: 3,
  tensorPercent: 5,
  memoryBandwidthPercent: 10,
  float32Percent: 12,
  pcieSentMibPerSecond: 20,
  pcieReceivedMibPerSecond: 21,
} as const;
export type GpmMetric = keyof typeof gpmMetrics;

/** One GPU's. Every call may throw NvmlError: 4 where the administrator keeps counters to himself (RmProfilingAdminOnly). */
export interface Gpm {
  /** The counters now; to be given back with {@link free}. The driver renews them ten times a second. */
  sample(): Pointer;
  /**
   * Averages between two samples more than 100 ms apart, the older one first.
   * @returns by metric; a text where this one is refused
   */
  between<Name extends GpmMetric>(
    older: Pointer,
    newer: Pointer,
    names: readonly Name[],
  ): Record<Name, number | string>;
  free(sample: Pointer): void;
}

/** nvmlGpmSupport_t: version (NVML_GPM_SUPPORT_VERSION), isSupportedDevice. */
const supportVersion = 1;
/** nvmlGpmMetricsGet_t: version (NVML_GPM_METRICS_GET_VERSION), numMetrics, sample1, sample2, metrics. */
const metricsGetVersion = 1;
const metricsGetAt = { version: 0, count: 4, older: 8, newer: 16, metrics: 24 } as const;
/** nvmlGpmMetric_t: metricId, nvmlReturn, value (double), three texts. */
const metricBytes = 40;
const metricAt = { id: 0, status: 4, value: 8 } as const;
/** The struct's array is as long as the newest release has metrics (NVML_GPM_METRIC_MAX: 477 in 13.0). */
const metricsMax = 512;

/** @throws NvmlError 3 where the GPU has none */
export function gpmOf(device: Pointer, calls: NvmlCalls): Gpm {
  const { call, errorOf } = calls;
  const support = Uint32Array.of(supportVersion, 0);
  call('nvmlGpmQueryDeviceSupport', device, support);
  if (support[1] === 0) throw errorOf('nvmlGpmQueryDeviceSupport', nvmlReturns.notSupported);
  const free = (sample: Pointer): void => call('nvmlGpmSampleFree', sample);
  return {
    free,
    sample() {
      const sample: Out<Pointer> = [null];
      call('nvmlGpmSampleAlloc', sample);
      try {
        call('nvmlGpmSampleGet', device, sample[0]!);
        return sample[0]!;
      } catch (error) {
        free(sample[0]!);
        throw error;
      }
    },
    between: (older, newer, names) => readMetrics(calls, older, newer, names),
  };
}

function readMetrics<Name extends GpmMetric>(
  { call }: NvmlCalls,
  older: Pointer,
  newer: Pointer,
  names: readonly Name[],
): Record<Name, number | string> {
  const view = new DataView(new ArrayBuffer(metricsGetAt.metrics + metricsMax * metricBytes));
  view.setUint32(metricsGetAt.version, metricsGetVersion, true);
  view.setUint32(metricsGetAt.count, names.length, true);
  view.setBigUint64(metricsGetAt.older, older, true);
  view.setBigUint64(metricsGetAt.newer, newer, true);
  const placeOf = (index: number): number => metricsGetAt.metrics + index * metricBytes;
  names.forEach((name, index) => view.setUint32(placeOf(index) + metricAt.id, gpmMetrics[name], true));
  call('nvmlGpmMetricsGet', view);
  const valueOf = (index: number): number | string => {
    const status = view.getUint32(placeOf(index) + metricAt.status, true);
    return status === nvmlReturns.success
      ? view.getFloat64(placeOf(index) + metricAt.value, true)
      : `refused with ${status}`;
  };
  return Object.fromEntries(names.map((name, index) => [name, valueOf(index)])) as Record<Name, number | string>;
}
