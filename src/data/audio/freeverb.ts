/** Delays in samples at 44.1 kHz, as in Freeverb (Jezar at Dreampoint) and the `reverb` effect of SoX. */
const COMBS = [1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617];
const ALLPASSES = [225, 341, 441, 556];
const DELAY_RATE = 44_100;
/** How much longer and shorter, by turns, the delays of the second channel are. */
const SPREAD = 12;
const WET_GAIN = 0.015;

export interface ReverbSettings {
  /** Each from 0 to 100. */
  readonly reverberance: number;
  readonly damping: number;
  readonly room: number;
}

/**
 * The recording plus its reverberation, of the same length: the `reverb` effect of SoX with its two channels averaged,
 * clipped to [-1, 1].
 */
export function addReverb(samples: Float32Array, rate: number, settings: ReverbSettings): Float32Array {
  const left = reverberation(samples, rate, settings, 0);
  const right = reverberation(samples, rate, settings, SPREAD);
  return samples.map((dry, i) => Math.min(1, Math.max(-1, dry + (WET_GAIN / 2) * (left[i] + right[i]))));
}

/** The room scales the combs, not the allpasses. */
function reverberation(samples: Float32Array, rate: number, settings: ReverbSettings, spread: number): Float64Array {
  const room = (settings.room / 100) * 0.9 + 0.1;
  const feedback = feedbackOf(settings.reverberance);
  const damping = (settings.damping / 100) * 0.3 + 0.2;
  const wet = new Float64Array(samples.length);
  for (const delay of delays(COMBS, spread, (room * rate) / DELAY_RATE)) {
    addComb(samples, wet, delay, feedback, damping);
  }
  for (const delay of delays(ALLPASSES, spread, rate / DELAY_RATE)) applyAllpass(wet, delay);
  return wet;
}

function delays(lengths: readonly number[], spread: number, scale: number): number[] {
  return lengths.map((length, i) => Math.max(1, Math.round(scale * (length + (i % 2 === 0 ? spread : -spread)))));
}

/** From 0.3 at 0 to 0.98 at 100, evenly spaced in the decay time. */
function feedbackOf(reverberance: number): number {
  const a = -1 / Math.log(1 - 0.3);
  const b = 100 / (Math.log(1 - 0.98) * a + 1);
  return 1 - Math.exp((reverberance - b) / (a * b));
}

/** A feedback comb filter whose loop has a low-pass filter. */
function addComb(input: Float32Array, output: Float64Array, delay: number, feedback: number, damping: number): void {
  const line = new Float64Array(delay);
  let store = 0;
  for (let i = 0, at = 0; i < input.length; i++, at = at + 1 === delay ? 0 : at + 1) {
    const delayed = line[at];
    store = delayed + (store - delayed) * damping;
    line[at] = input[i] + store * feedback;
    output[i] += delayed;
  }
}

function applyAllpass(signal: Float64Array, delay: number): void {
  const line = new Float64Array(delay);
  for (let i = 0, at = 0; i < signal.length; i++, at = at + 1 === delay ? 0 : at + 1) {
    const delayed = line[at];
    line[at] = signal[i] + delayed * 0.5;
    signal[i] = delayed - signal[i];
  }
}
