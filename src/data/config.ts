import type { AnyParams } from '../definitions/params.ts';

/** A definition's name with its resolved parameters. */
export interface Call {
  readonly type: string;
  readonly params: AnyParams;
}

export interface DataConfig {
  readonly source: Call;
  readonly transforms: readonly Call[];
  /** How the validation split is made, see `validation.ts`: `auto`, `speakers(count, seed)`, `fraction(share, seed)`, `test` (the paper's protocol, with a warning). */
  readonly validation: Call;
  /**
   * `exclude` (where absent): the padding of shorter samples counts nowhere. `include`: it is input like any other, as
   * in sparch, so that results depend on the batch a sample is in.
   */
  readonly padding?: Padding;
}

export const paddings = ['exclude', 'include'] as const;
export type Padding = (typeof paddings)[number];
