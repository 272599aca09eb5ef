/** What it costs to prepare and to score side by side, or one after the other on two machines, and where the two meet. */

/** Of one hour, in any currency. */
export interface HourlyPrices {
  /** The machine with the GPU. */
  readonly gpuPerHour: number;
  /** A machine with the same cores and no GPU. */
  readonly cpuPerHour: number;
}

export interface MachineTime {
  /** From the start of the first machine to the end of the last. */
  readonly wallSeconds: number;
  readonly gpuHeldSeconds: number;
  /** Of the machine without a GPU. */
  readonly cpuHeldSeconds: number;
}

export function costPerMillionRows(time: MachineTime, rowCount: number, prices: HourlyPrices): number {
  const { gpuHeldSeconds, cpuHeldSeconds } = time;
  const cost = (gpuHeldSeconds * prices.gpuPerHour + cpuHeldSeconds * prices.cpuPerHour) / 3600;
  return cost / (rowCount / 1e6);
}

/** The same rows both ways. */
export interface FusingPoint {
  /** Seconds that the cores need for preparing, by seconds that the GPU computes. */
  readonly prepByGpu: number;
  readonly together: MachineTime;
  readonly apart: MachineTime;
  readonly rowCount: number;
}

export interface FusingVerdict {
  /** Side by side is the cheaper way below this ratio; undefined: the points show no change of sides. */
  readonly costsMeetAt: number | undefined;
  /** The same if nothing but the slower of the two ever cost time; Infinity where the other machine is no cheaper. */
  readonly costsMeetAtIdeally: number;
  readonly sentence: string;
}

/** Which way wins, in one sentence. */
export function judgeFusing(points: readonly FusingPoint[], prices: HourlyPrices): FusingVerdict {
  const sorted = [...points].sort((one, other) => one.prepByGpu - other.prepByGpu);
  const saved = sorted.map(
    ({ together, apart, rowCount }) =>
      1 - costPerMillionRows(together, rowCount, prices) / costPerMillionRows(apart, rowCount, prices),
  );
  const costsMeetAt = zeroOf(sorted.map(({ prepByGpu }, index) => [prepByGpu, saved[index]!]));
  const { gpuPerHour, cpuPerHour } = prices;
  // Held for as long as preparing takes: prep x gpu; apart: prep x cpu + score x gpu.
  const costsMeetAtIdeally = cpuPerHour < gpuPerHour ? gpuPerHour / (gpuPerHour - cpuPerHour) : Infinity;
  const sooner = sorted.filter(({ together, apart }) => together.wallSeconds < apart.wallSeconds);
  const tried = `${ratio(sorted[0]?.prepByGpu)} to ${ratio(sorted.at(-1)?.prepByGpu)}`;
  const wall =
    sooner.length === sorted.length
      ? `Side by side ends sooner at every ratio of preparing to GPU time that was tried (${tried})`
      : `Side by side ends sooner at ${sooner.length} of ${sorted.length} ratios of preparing to GPU time (${tried})`;
  const ideal = `without any overhead the costs would ${
    costsMeetAtIdeally === Infinity ? 'never meet' : `meet at ${ratio(costsMeetAtIdeally)}`
  }`;
  const cost =
    costsMeetAt !== undefined
      ? `is cheaper up to a ratio of ${ratio(costsMeetAt)} (${ideal}); from there on it is cheaper to prepare on a machine without a GPU first`
      : `${(saved[0] ?? 0) >= 0 ? 'is' : 'is not'} the cheaper way at any of them (${ideal})`;
  return { costsMeetAt, costsMeetAtIdeally, sentence: `${wall}, and ${cost}.` };
}

/** Where the values first go below zero, on a straight line between its neighbours. */
function zeroOf(points: readonly (readonly [number, number])[]): number | undefined {
  const next = points.findIndex(([, value], index) => index > 0 && value < 0 && points[index - 1]![1] >= 0);
  if (next < 0) return undefined;
  const [[x0, y0], [x1, y1]] = [points[next - 1]!, points[next]!];
  return x0 + ((x1 - x0) * y0) / (y0 - y1);
}

function ratio(value = NaN): string {
  return Number(value.toPrecision(2)).toString();
}
