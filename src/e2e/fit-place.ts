/** A folder with shards and a tandem.json that leaves something open. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fit } from '../fit/fit.ts';
import type { FitOptions, FitReport } from '../fit/report.ts';
import { assertFailure, caught, Workplace, type Failure } from './workplace.ts';

export type Json = Record<string, unknown>;

export class FitPlace extends Workplace {
  constructor(t: { after(remove: () => void): void }, x: unknown, rest: object = {}) {
    super(t);
    mkdirSync(this.model);
    this.writeContract({ inputs: { x }, ...rest });
  }

  get contractPath(): string {
    return join(this.model, 'tandem.json');
  }

  get text(): string {
    return readFileSync(this.contractPath, 'utf8');
  }

  fit(changes: Partial<FitOptions> = {}): Promise<FitReport> {
    return fit({ shards: this.data, model: this.model, threads: 1, ...changes });
  }

  /** The features of x after a fit. */
  async fitted(changes: Partial<FitOptions> = {}): Promise<Json[]> {
    await this.fit(changes);
    return [(JSON.parse(this.text) as { inputs: { x: Json | Json[] } }).inputs.x].flat();
  }

  /** Must fail in this way, and leave everything as it was. */
  async failsToFit(expected: Failure, changes: Partial<FitOptions> = {}): Promise<void> {
    const before = this.text;
    assertFailure(await caught(this.fit(changes)), expected);
    assert.equal(this.text, before);
    assert.deepEqual(
      readdirSync(this.model).filter((name) => name.includes('tmp')),
      [],
    );
  }
}
