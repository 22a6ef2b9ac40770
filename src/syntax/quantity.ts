/** Units that a number can carry, as factors to SI. */
export const units: Readonly<Record<string, { readonly factor: number; readonly dimension: 's' | 'Hz' }>> = {
  s: { factor: 1, dimension: 's' },
  ms: { factor: 1e-3, dimension: 's' },
  us: { factor: 1e-6, dimension: 's' },
  Hz: { factor: 1, dimension: 'Hz' },
  kHz: { factor: 1e3, dimension: 'Hz' },
};

export interface SplitNumber {
  readonly value: number;
  /** Empty where there is none; may be unknown. */
  readonly unit: string;
  /** In SI; the bare value where the unit is unknown. */
  readonly si: number;
}

/** Splits `1.4s`, `25ms` or `1e-3` into number and unit. */
export function splitNumber(text: string): SplitNumber {
  const match = /^(-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z_]*)$/.exec(text.trim());
  if (!match) return { value: Number.NaN, unit: '', si: Number.NaN };
  const value = Number(match[1]);
  const factor = Object.hasOwn(units, match[2]) ? units[match[2]].factor : 1;
  // Dividing keeps 25ms equal to 0.025: 25 * 1e-3 is not.
  return { value, unit: match[2], si: factor < 1 ? value / Math.round(1 / factor) : value * factor };
}
