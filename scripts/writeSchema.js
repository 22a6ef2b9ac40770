// Writes schemas/experiment.schema.json, which editors use, from the definitions in dist/. A test fails when it is stale.
import { writeFileSync } from 'node:fs';
import { experimentSchema } from '../dist/spec/schema.js';

const file = new URL('../schemas/experiment.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(experimentSchema(true), null, 2)}\n`);
