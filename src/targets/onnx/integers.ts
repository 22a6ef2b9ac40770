import type { GraphBuilder, Value } from './builder.ts';
import { int8Name, scaleName } from './compress.ts';
import { dataTypes } from './proto.ts';

/** x W for x of 0 and 1: exact but for the rounding of W to int8. */
export function emitIntegerProduct(builder: GraphBuilder, x: Value, matrix: Value, wish: string): Value {
  const spikes = builder.op('Cast', [x], `${wish}_spikes`, { to: dataTypes.uint8 });
  const sum = builder.op('MatMulInteger', [spikes, int8Name(matrix)], `${wish}_integers`);
  const float = builder.op('Cast', [sum], `${wish}_floats`, { to: dataTypes.float32 });
  return builder.op('Mul', [float, scaleName(matrix)], wish);
}
