/** Writes models/tandem.schema.json: `node dist/src/contract/publish.js` after a change of the schema. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { publishedSchema } from './schema.ts';

mkdirSync(new URL('../../../models/', import.meta.url), { recursive: true });
writeFileSync(new URL('../../../models/tandem.schema.json', import.meta.url), publishedSchema());
