import type { AnyParams } from '../definitions/params.ts';

/** A definition's name with its resolved parameters. */
export interface Call {
  readonly type: string;
  readonly params: AnyParams;
}

/** How the validation split is made. Its definitions are in `validation.ts`. */
export interface DataConfig {
  readonly source: Call;
  readonly transforms: readonly Call[];
  /** `auto`, `speakers(count, seed)`, `fraction(share, seed)`, `test` (the paper's protocol, with a warning). */
  readonly validation: Call;
}
