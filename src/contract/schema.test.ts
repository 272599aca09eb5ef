import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { publishedSchema } from './schema.ts';

interface Root extends Described {
  readonly definitions: Readonly<Record<string, Described>>;
}

interface Described {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Described>>;
}

test('the published JSON Schema is the one of the code', () => {
  const committed = readFileSync(new URL('../../../models/tandem.schema.json', import.meta.url), 'utf8');
  assert.equal(committed, publishedSchema(), 'run: node dist/src/contract/publish.js');
});

test('each field has a description', () => {
  const root = JSON.parse(publishedSchema()) as Root;
  for (const [name, schema] of [['root', root], ...Object.entries(root.definitions)] as [string, Described][]) {
    for (const [key, field] of Object.entries(schema.properties ?? {})) {
      assert.ok((field.description ?? '').length > 10, `${name}.${key}`);
    }
  }
});
