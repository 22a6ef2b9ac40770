/** A linear map between vectors, one number for each element or a whole matrix [rows, columns], row-major. */
export type LinearMap =
  | { readonly kind: 'diagonal'; readonly values: Float64Array }
  | { readonly kind: 'matrix'; readonly rows: number; readonly columns: number; readonly values: Float64Array };

export function identity(size: number): LinearMap {
  return { kind: 'diagonal', values: new Float64Array(size).fill(1) };
}

export function isIdentity(map: LinearMap): boolean {
  return map.kind === 'diagonal' && map.values.every((v) => v === 1);
}

/** `scale * map`, one factor for each row. */
export function scaleRows(map: LinearMap, scale: Float64Array): LinearMap {
  if (map.kind === 'diagonal') return { ...map, values: map.values.map((v, i) => v * scale[i]) };
  return { ...map, values: map.values.map((v, i) => v * scale[Math.floor(i / map.columns)]) };
}

/** `matrix * diagonal`: one factor for each column. */
export function scaleColumns(
  matrix: LinearMap & { readonly kind: 'matrix' },
  scale: Float64Array,
): LinearMap & { readonly kind: 'matrix' } {
  return { ...matrix, values: matrix.values.map((v, i) => v * scale[i % matrix.columns]) };
}

export function add(a: LinearMap, b: LinearMap): LinearMap {
  if (a.kind === 'diagonal' && b.kind === 'diagonal') return { ...a, values: a.values.map((v, i) => v + b.values[i]) };
  const [dense, other] = [matrixOf(a), matrixOf(b)];
  return { ...dense, values: dense.values.map((v, i) => v + other.values[i]) };
}

export function matrixOf(map: LinearMap): LinearMap & { readonly kind: 'matrix' } {
  if (map.kind === 'matrix') return map;
  const n = map.values.length;
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) values[i * n + i] = map.values[i];
  return { kind: 'matrix', rows: n, columns: n, values };
}
