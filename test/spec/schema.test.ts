import { readdirSync, readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { compileSpec } from '../../src/compile.ts';
import { experimentSchema } from '../../src/spec/schema.ts';

const published = JSON.parse(readFileSync('schemas/experiment.schema.json', 'utf8'));

describe('the published schema', () => {
  it('is what the definitions give (npm run schema writes it)', () => {
    expect(published).toEqual(JSON.parse(JSON.stringify(experimentSchema(true))));
  });

  it('and the one that specs are checked with are valid schemas', () => {
    for (const schema of [published, experimentSchema(false)]) {
      const ajv = new Ajv({ strict: false });
      expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true);
    }
  });

  const validate = new Ajv({ strict: false, allErrors: true }).compile(published);
  const specs = readdirSync('specs', { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.yaml'));

  it.each(specs)('accepts specs/%s as it is written', (name) => {
    const spec = parse(readFileSync(`specs/${name}`, 'utf8'));
    // What a spec extends gives the keys that it leaves out.
    const errors = validate(spec) ? [] : (validate.errors ?? []);
    expect(errors.filter((e) => !('extends' in spec && e.keyword === 'required'))).toEqual([]);
  });

  it.each(specs)('accepts specs/%s as it is resolved', (name) => {
    expect(validate(parse(compileSpec(`specs/${name}`).resolvedYaml)) ? [] : validate.errors).toEqual([]);
  });

  it('rejects an unknown key', () => {
    expect(validate({ sparchc: 1, data: { source: 'randman' }, model: 'input', train: { epoch: 1 } })).toBe(false);
  });
});
