import type { AnyParams, Definition } from '../../src/definitions/params.ts';

/** The values of a definition's parameters that have defaults. */
export function defaultParams({ params }: Definition): AnyParams {
  return Object.fromEntries(Object.entries(params).map(([name, spec]) => [name, spec.default ?? null]));
}
