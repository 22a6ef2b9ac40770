import type { FiringRateRegularizer } from '../../ir/graph.ts';
import { Sequence, type Validity } from './sequence.ts';

/** Mean cross-entropy with its cotangent: over samples, or over all valid steps with the sample's label at each. */
export function crossEntropy(scores: Sequence, labels: Int32Array, validity: Validity, time: boolean) {
  const counts = (t: number, row: number) => !time || validity.valid(t, row);
  const n = time ? validity.count : scores.rows;
  const cotangent = new Sequence(scores.steps, scores.rows, scores.features);
  let loss = 0;
  for (let t = 0; t < scores.steps; t++) {
    for (let row = 0; row < scores.rows; row++) {
      if (!counts(t, row)) continue;
      const values = Array.from({ length: scores.features }, (_, f) => scores.get(t, row, f));
      const peak = Math.max(...values);
      const total = values.reduce((sum, v) => sum + Math.exp(v - peak), 0);
      loss += (peak + Math.log(total) - values[labels[row]]) / n;
      values.forEach((v, f) => {
        cotangent.add(t, row, f, (Math.exp(v - peak) / total - (f === labels[row] ? 1 : 0)) / n);
      });
    }
  }
  return { loss, cotangent };
}

/** Mean over batch and valid time, per neuron. */
export function firingRates(output: Sequence, validity: Validity): Float64Array {
  const rates = new Float64Array(output.features);
  output.forEach((t, row, f, i) => {
    if (validity.valid(t, row)) rates[f] += output.data[i] / validity.count;
  });
  return rates;
}

/** factor * (sum relu(min - rate) + sum relu(rate - max)) with its cotangent; Bittar & Garner 2022. */
export function regularizer(output: Sequence, config: FiringRateRegularizer, validity: Validity) {
  const rates = firingRates(output, validity);
  let loss = 0;
  for (const rate of rates) {
    loss += config.factor * (Math.max(0, config.min - rate) + Math.max(0, rate - config.max));
  }
  const cotangent = output.map((_, t, row, f) => {
    if (!validity.valid(t, row)) return 0;
    const slope = (rates[f] > config.max ? 1 : 0) - (rates[f] < config.min ? 1 : 0);
    return (config.factor * slope) / validity.count;
  });
  return { loss, cotangent };
}
