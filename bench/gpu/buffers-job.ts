/**
 * A process that scores once with a number of device buffers that is not the product's own, which no option gives: the
 * plan is changed between planning and work. Otherwise as `pipeline.ts` does it. Argument and print are JSON.
 */
import type { PlainScoreOptions } from '../../src/messages.ts';
import { Crew } from '../../src/threads/crew.ts';
import { PlannerClient } from '../../src/threads/planner-client.ts';

export interface BuffersTask {
  readonly options: PlainScoreOptions;
  readonly buffers: number;
}

export interface BuffersResult {
  /** From the plan's beginning to the last manifest. */
  readonly wallSeconds: number;
  readonly rowsScored: number;
  readonly batchSize: number | undefined;
  readonly peakRssBytes: number;
}

const { options, buffers } = JSON.parse(process.argv[2]!) as BuffersTask;
const startedMs = performance.now();
const planner = new PlannerClient(undefined, () => {});
const { plan, engines } = await planner.ask({ kind: 'plan', options, dryRun: false }, 'planned');
const devices = plan.devices.map((device) => ({ ...device, buffers }));
const crew = new Crew({ ...plan, devices }, engines);
try {
  await crew.finished();
} finally {
  await planner.close(crew.connections);
}
const result: BuffersResult = {
  wallSeconds: (performance.now() - startedMs) / 1000,
  rowsScored: crew.tally.rowsScored,
  batchSize: crew.tally.batchSize,
  peakRssBytes: process.resourceUsage().maxRSS * 1024,
};
console.log(JSON.stringify(result));
