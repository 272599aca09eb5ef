/** Charts of the benchmarks: a Vega-Lite specification becomes an SVG file. Only data in the specification, no URL. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parse, View, type LoggerInterface } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';

export type VegaLiteSpec = TopLevelSpec;

/** White: the same file is looked at on light and on dark pages. */
const background = 'white';
/** Without a canvas Vega guesses how wide a text is, and guesses too much: it would cut names that have room. */
const config = { axis: { labelLimit: 0 }, legend: { labelLimit: 0 } };

/**
 * Writes the chart, and its folder where there is none.
 * @throws Error for whatever Vega warns of (a field that no row has, a mark without a place): the chart would be wrong
 */
export async function renderChart(spec: VegaLiteSpec, path: string): Promise<void> {
  const complaints: string[] = [];
  const logger = collector(complaints);
  const { spec: compiled } = compile({ background, ...spec }, { logger, config });
  const view = new View(parse(compiled), { renderer: 'none', logger });
  try {
    const svg = await view.toSVG();
    if (complaints.length > 0) throw new Error(`Expected a chart without complaints, got: ${complaints.join('; ')}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${svg}\n`);
  } finally {
    view.finalize();
  }
}

function collector(complaints: string[]): LoggerInterface {
  const collect = (...parts: readonly unknown[]): LoggerInterface => {
    complaints.push(parts.map(String).join(' '));
    return logger;
  };
  const ignore = (): LoggerInterface => logger;
  // Vega's level 2: warnings and errors.
  const level = ((value?: number) => (value === undefined ? 2 : logger)) as LoggerInterface['level'];
  const logger: LoggerInterface = { level, error: collect, warn: collect, info: ignore, debug: ignore };
  return logger;
}
