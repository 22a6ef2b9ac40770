import { FLOOR } from '../../../data/transforms/fbank.ts';
import type { GraphBuilder, Value } from '../builder.ts';
import { dataTypes } from '../proto.ts';
import type { FrontEnd } from './frontEnd.ts';

/**
 * Log-mel energies of frames, [batch, time, length] of float32 -> [batch, time, mels], as `fbank` computes them: the mean
 * goes, high frequencies are emphasised, a window is applied, the power spectrum is gathered by the mel filters.
 *
 * All in float64: quiet bands lie far below the loud ones of the same frame, and what float32 rounds away from these
 * would be most of what is left of them.
 */
export function emitLogMel(builder: GraphBuilder, frontEnd: FrontEnd, batch: Value, frames: Value): Value {
  const { fbank, plan } = frontEnd;
  const { length } = plan.framing;
  const exact = builder.op('Cast', [frames], 'frames.exact', { to: dataTypes.float64 });
  const mean = builder.op('ReduceMean', [exact], 'frames.mean', { axes: [-1], keepdims: 1 });
  const centred = builder.op('Sub', [exact, mean], 'frames.centred');
  const emphasised = emitPreemphasis(builder, centred, fbank.preemphasis);
  const window = builder.double('fbank.window', [length], plan.window);
  const windowed = builder.op('Mul', [emphasised, window], 'frames.windowed');
  // The transform wants real numbers as columns: [frames, length, 1].
  const columns = builder.op('Reshape', [windowed, builder.ints([-1, length, 1])], 'frames.columns');
  const size = builder.op('Squeeze', [builder.ints([plan.fft.size])], 'fft.size');
  const spectrum = builder.op('DFT', [columns, size], 'spectrum', { axis: 1, onesided: 1 });
  const squares = builder.op('Mul', [spectrum, spectrum], 'spectrum.squares');
  const power = builder.op('ReduceSum', [squares, builder.ints([-1])], 'spectrum.power', { keepdims: 0 });
  const bins = plan.fft.size / 2 + 1;
  const filters = builder.double('fbank.filters', [bins, fbank.mels], filterMatrix(frontEnd, bins));
  const energies = builder.op('MatMul', [power, filters], 'mel.energies');
  const floored = builder.op(
    'Max',
    [energies, builder.double('fbank.floor', [], Float64Array.of(FLOOR))],
    'mel.floored',
  );
  const log = builder.op('Cast', [builder.op('Log', [floored], 'mel.log')], 'mel', { to: dataTypes.float32 });
  const shape = builder.op('Concat', [batch, builder.ints([-1, fbank.mels])], 'mel.shape', { axis: 0 });
  return builder.op('Reshape', [log, shape], 'mel.features');
}

/** y_t = x_t - preemphasis * x_(t-1); the sample before a frame's first is taken to equal it. */
function emitPreemphasis(builder: GraphBuilder, frames: Value, preemphasis: number): Value {
  const slice = (from: number, to: number, wish: string) =>
    builder.op('Slice', [frames, ...[[from], [to], [-1]].map((v) => builder.ints(v))], wish);
  const previous = builder.op(
    'Concat',
    [slice(0, 1, 'frames.first'), slice(0, -1, 'frames.but_last')],
    'frames.previous',
    {
      axis: -1,
    },
  );
  const factor = builder.double('fbank.preemphasis', [], Float64Array.of(preemphasis));
  return builder.op('Sub', [frames, builder.op('Mul', [previous, factor], 'frames.low')], 'frames.emphasised');
}

/** [bins, mels] */
function filterMatrix({ fbank, plan }: FrontEnd, bins: number): Float64Array {
  const matrix = new Float64Array(bins * fbank.mels);
  plan.filters.forEach(({ first, weights }, m) => {
    weights.forEach((weight, i) => {
      matrix[(first + i) * fbank.mels + m] = weight;
    });
  });
  return matrix;
}
