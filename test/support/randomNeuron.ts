import { Stream } from '../../src/random/stream.ts';

/**
 * Random neurons as DSL text, for property tests. Expressions are continuous, so that finite differences apply, and
 * bounded enough not to overflow over a few time steps. `filters`: states may also leak, decay or copy others, of which the
 * target wasm does not keep all that they are made of.
 */
export function randomNeuron(seed: number, filters = true): string {
  const stream = new Stream(seed, 'random neuron');
  const pick = <T>(choices: readonly T[]): T => choices[stream.integer(choices.length)];
  const some = (prefix: string, atMost: number) =>
    Array.from({ length: 1 + stream.integer(atMost) }, (_, i) => `${prefix}${i}`);
  const inputs = ['I', 'Iz'].slice(0, 1 + stream.integer(2));
  const states = some('x', 3);
  const parameters = some('p', 3);
  const scalar = pick(['', 'scalar ']);
  const recurrent = stream.uniform() < 0.7;
  const surrogates = [
    'boxcar(0.5)',
    'triangle',
    'fast_sigmoid(3)',
    'arctan(2)',
    'sigmoid_derivative(4)',
    'straight_through',
  ];

  const perNeuron = [...inputs, ...states];
  const row = (depth: number): string => {
    if (depth === 0) return pick(perNeuron);
    const a = () => row(depth - 1);
    const p = pick(parameters);
    const shapes = [
      () => `(${a()} + ${a()})`,
      () => `(${a()} - ${p})`,
      () => `${p} * ${a()}`,
      () => `tanh(${a()} * ${a()})`,
      () => `sigmoid(${a()})`,
      () => `(${a()}) / (2 + tanh(${a()}))`,
      () => `exp(-abs(${a()}))`,
      () => `sqrt(1 + tanh(${a()}) * ${p} * ${p})`,
      () => `log(2 + tanh(${a()}))`,
      () => `relu(${a()} + 0.1)`,
      () => `min(${a()}, ${a()} + 0.3)`,
      () => `max(${a()}, ${p})`,
      () => `atan(${a()})`,
      () => `softmax(${a()})`,
      () => `clamp(${a()}, -0.7, 1.3)`,
      () => `0.5 * spike(${a()} - 0.4, ${pick(surrogates)})`,
      () => `select(${a()} > 0, 1, 1) * ${a()}`,
      () => `(${a()}) / (1.5 + ${p} * ${p})`,
      () => (recurrent ? `V @ tanh(${a()})` : `tanh(${a()})`),
    ];
    return pick(shapes)();
  };
  const declared = perNeuron.slice();
  const lets = ['g', 'h'].map((l) => {
    const line = `let ${l} = ${row(2)}`;
    perNeuron.push(l);
    return line;
  });
  // Everything that is declared must be used.
  const everything = `tanh(${[...inputs, ...(recurrent ? [`V @ ${states[0]}`] : [])].join(' + ')}) * (${parameters.join(' + ')})`;
  const updates = states.map((s, i) => {
    const used = i === 0 ? ` + 0.1 * ${everything}` : '';
    const filter = (p: string) =>
      pick([
        () => `${p} * ${s} + (1 - ${p}) * tanh(${row(1)})`,
        () => `${p} * ${s} + 0.1 * ${pick(perNeuron)}`,
        () => pick(perNeuron),
      ])();
    // The first uses whatever nothing else does.
    const isFilter = filters && i > 0 && stream.uniform() < 0.75;
    const line = isFilter
      ? `${s}' = ${filter(pick(parameters))}`
      : `${s}' = 0.6 * ${s} + 0.4 * tanh(${row(2)}) + 0.1 * ${pick(declared)}${used}`;
    perNeuron.push(`${s}'`);
    return line;
  });
  return [
    'neuron Random {',
    `  input ${inputs.join(', ')}`,
    `  param ${parameters.map((p, i) => `${i === 0 ? scalar : ''}${p} in [0.2, 0.9]`).join(', ')}`,
    ...(recurrent ? [`  recurrent V = ${pick(['orthogonal(diagonal=0)', 'orthogonal', 'normal(0, 0.5)'])}`] : []),
    `  state ${states.map((s) => `${s} = ${pick(['uniform(0, 1)', '0.25', 'normal(0, 0.3)'])}`).join(', ')}`,
    ...[...lets, ...updates].map((line) => `  ${line}`),
    `  output ${pick([`spike(${states[0]}' - 0.3, ${pick(surrogates)})`, `${states[0]}'`, `${states.at(-1)}' + 0.5 * h`])}`,
    '}',
    '',
  ].join('\n');
}
