/** Between the exponents of half and single precision. */
const rescale = 2 ** 112;

/** Decodes half-precision bit patterns, exactly: exponent and fraction move to their places in single precision. */
export function decodeFloat16(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  const words = new Int32Array(values.buffer);
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i] & 0x7fff;
    // Infinities and NaN: they have the largest exponent.
    const special = magnitude >= 0x7c00 ? 0x7f800000 : 0;
    words[i] = ((bits[i] & 0x8000) << 16) | (magnitude << 13) | special;
    values[i] *= rescale;
  }
  return values;
}

const magnitudeOf = (bits: number): number => decodeFloat16(Uint16Array.of(bits))[0];

const LARGEST = 0x7bff;

/** The nearest half-precision bit pattern, of two equally near the even one; beyond +-65504 it stays there. */
export function encodeFloat16(value: number): number {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  let [low, high] = [0, LARGEST];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (magnitudeOf(middle) <= magnitude) low = middle;
    else high = middle - 1;
  }
  if (low === LARGEST) return sign | low;
  const [below, above] = [magnitude - magnitudeOf(low), magnitudeOf(low + 1) - magnitude];
  const up = above < below || (above === below && low % 2 === 1);
  return sign | (up ? low + 1 : low);
}
