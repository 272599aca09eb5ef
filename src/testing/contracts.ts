/** What tests of contracts share: a text of tandem.json to a contract, or to the error that it gives. */
import assert from 'node:assert/strict';
import type { Contract, Feature } from '../contract/contract.ts';
import { parseContract } from '../contract/load.ts';
import { formatError, TandemError } from '../errors.ts';

export function parse(file: unknown): Contract {
  return parseContract(typeof file === 'string' ? file : JSON.stringify(file), '/models/m/tandem.json');
}

/** A contract whose input x has this, with these other keys. */
export function withInput(x: unknown, rest: object = {}): object {
  return { model: 'model.onnx', inputs: { x }, ...rest };
}

export function featureOf(file: object): Feature {
  const input = parse(withInput([file])).inputs['x'];
  assert.ok(input !== undefined && 'features' in input);
  return input.features[0]!;
}

export function errorOf(file: unknown): TandemError {
  try {
    parse(file);
  } catch (thrown) {
    assert.ok(thrown instanceof TandemError);
    return thrown;
  }
  assert.fail(`${JSON.stringify(file)} was taken`);
}

export function refuses(cases: readonly (readonly [file: unknown, field: string, message: string | RegExp])[]): void {
  for (const [file, field, message] of cases) {
    const error = errorOf(file);
    const label = `${JSON.stringify(file)}\n${formatError(error)}`;
    assert.equal(error.code, 'BAD_CONTRACT', label);
    assert.equal(error.place.field, field, label);
    if (typeof message === 'string') assert.equal(error.message, `Expected ${message}.`, label);
    else assert.match(error.message, message, label);
    assert.match(error.remedy ?? '', /\/models\/m\/tandem\.json$/, label);
  }
}
