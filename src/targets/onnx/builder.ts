import {
  type AttributeValue,
  attribute,
  boolTensor,
  doubleTensor,
  floatTensor,
  int64Tensor,
  type Node,
  type Tensor,
} from './proto.ts';

/** The name of a tensor in the ONNX graph. */
export type Value = string;

export type Attributes = Readonly<Record<string, AttributeValue>>;

/**
 * Collects nodes in order and gives every tensor a unique name near the one wished for. A scope made by `subgraph`
 * sees the outer graph's tensors.
 */
export class GraphBuilder {
  readonly nodes: Node[] = [];
  /** Constants of the whole model; those of subgraphs go to the outermost graph. */
  readonly initializers: Tensor[];
  /** How often each name was asked for; shared with subgraphs, because their names must differ from the outer graph's. */
  private readonly asked: Map<string, number>;
  private readonly constants: Map<string, Value>;

  constructor(outer?: GraphBuilder) {
    this.asked = outer?.asked ?? new Map();
    this.initializers = outer?.initializers ?? [];
    this.constants = outer?.constants ?? new Map();
  }

  subgraph(): GraphBuilder {
    return new GraphBuilder(this);
  }

  /** A name not used so far: `wish`, or `wish` with a number. */
  name(wish: string): Value {
    const count = this.asked.get(wish) ?? 0;
    this.asked.set(wish, count + 1);
    return count === 0 ? wish : this.name(`${wish}_${count}`);
  }

  /** Adds a node with one output. */
  op(opType: string, inputs: readonly Value[], wish: string, attributes: Attributes = {}): Value {
    const output = this.name(wish);
    this.node(opType, inputs, [output], attributes);
    return output;
  }

  node(opType: string, inputs: readonly Value[], outputs: readonly Value[], attributes: Attributes = {}): void {
    this.nodes.push({
      name: outputs[0],
      opType,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    });
  }

  /** A float32 tensor of the model, named as wished. */
  tensor(wish: string, dims: readonly number[], values: Float32Array): Value {
    const name = this.name(wish);
    this.initializers.push(floatTensor(name, dims, values));
    return name;
  }

  /** A float64 tensor, for what float32 is too coarse for. */
  double(wish: string, dims: readonly number[], values: Float64Array): Value {
    const name = this.name(wish);
    this.initializers.push(doubleTensor(name, dims, values));
    return name;
  }

  /** A scalar float32 constant, shared between its uses. */
  scalar(value: number): Value {
    const number = Math.fround(value);
    return this.shared(`f:${number}`, () => this.tensor(`const_${number}`, [], Float32Array.of(number)));
  }

  /** Zeros of float32, shared between their uses. */
  zeros(dims: readonly number[]): Value {
    const size = dims.reduce((a, b) => a * b, 1);
    return this.shared(`z:${dims}`, () => this.tensor(`const_zeros_${dims.join('_')}`, dims, new Float32Array(size)));
  }

  /** A vector of int64 constants (axes, shapes), shared between its uses. */
  ints(values: readonly number[]): Value {
    return this.shared(`i:${values}`, () => {
      const name = this.name(`const_${values.join('_')}i`);
      this.initializers.push(int64Tensor(name, [values.length], values));
      return name;
    });
  }

  /** A scalar int64 constant, shared between its uses. */
  index(value: number): Value {
    return this.shared(`n:${value}`, () => {
      const name = this.name(`const_${value}n`);
      this.initializers.push(int64Tensor(name, [], [value]));
      return name;
    });
  }

  /** The scalar true. */
  yes(): Value {
    return this.shared('yes', () => {
      const name = this.name('const_true');
      this.initializers.push(boolTensor(name, [], [true]));
      return name;
    });
  }

  /** 0, 1, ... as a vector of int64, as many as `count` (one number, [1] or a scalar) says. */
  range(count: Value, wish: string): Value {
    const [start, end, stride] = [this.ints([0]), count, this.ints([1])].map((v) =>
      this.op('Squeeze', [v], `${wish}_bound`),
    );
    return this.op('Range', [start, end, stride], wish);
  }

  /** 0, 1, ... up to `count`, of int64. */
  indices(count: number): Value {
    return this.shared(`indices:${count}`, () => {
      const name = this.name(`indices_${count}`);
      this.initializers.push(
        int64Tensor(
          name,
          [count],
          Array.from({ length: count }, (_, i) => i),
        ),
      );
      return name;
    });
  }

  private shared(key: string, make: () => Value): Value {
    let value = this.constants.get(key);
    if (value === undefined) {
      value = make();
      this.constants.set(key, value);
    }
    return value;
  }
}
