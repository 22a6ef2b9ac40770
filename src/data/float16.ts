let halves: Float32Array | null = null;

/** The value of every IEEE 754 half-precision bit pattern, made when it is first needed. */
function valuesOfHalves(): Float32Array {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => fromHalf(bits));
  return halves;
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = (bits & 0x3ff) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}

/** Decodes half-precision bit patterns, exactly. */
export function decodeFloat16(bits: Uint16Array): Float32Array {
  const table = valuesOfHalves();
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]];
  return values;
}

const LARGEST = 0x7bff;

/** The nearest half-precision bit pattern, of two equally near the even one; beyond +-65504 it stays there. */
export function encodeFloat16(value: number): number {
  const table = valuesOfHalves();
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  let [low, high] = [0, LARGEST];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (table[middle] <= magnitude) low = middle;
    else high = middle - 1;
  }
  if (low === LARGEST) return sign | low;
  const [below, above] = [magnitude - table[low], table[low + 1] - magnitude];
  const up = above < below || (above === below && low % 2 === 1);
  return sign | (up ? low + 1 : low);
}
