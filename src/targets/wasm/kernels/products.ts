import {
  add,
  addF,
  and,
  blend,
  choose,
  ctz,
  divU,
  type Expr,
  eq,
  ge,
  type I32,
  i32,
  type Local,
  lane,
  lanesI32,
  loadF32,
  loadI32,
  loadSplat,
  loadV,
  lt,
  minU,
  mul,
  mulF,
  or,
  shrU,
  shuffle,
  splat,
  storeF32,
  storeI32,
  storeV,
  sub,
  sum,
  v,
  zeroFill,
} from '../assembler/expr.ts';
import { call, type Func } from '../assembler/func.ts';
import { matrixRows, padded, panelBytes, panelsOf } from '../layout.ts';
import {
  eachSample,
  eachStep,
  type Kernel,
  type Kernels,
  onPanel,
  panelAndChunk,
  panelStart,
  rowParams,
} from './kernel.ts';

/**
 * Products with operands of which most are zero. A row of an operand is a list of events, its numbers that are not zero:
 * 8 bytes each, feature and value. `spans` says where a row's list lies: 16 bytes a row, addresses of its first event,
 * of its end, and a cursor. Weights are [inputs, outputs], so that an event selects a row of weights.
 */
export const eventBytes = 8;
export const spanBytes = 16;

/**
 * Lists the non-zero numbers of a row from address `out` on; gives the end of the list. Where `masked`, the numbers are
 * products with those of an array `distance` bytes further.
 */
function listRow(k: Kernels, features: number, masked = false): Func {
  const { full, tail } = panelsOf(features);
  return k.helper(
    `list${masked ? 'Masked' : ''}_${features}`,
    ['source', 'rows', 'row', 'out', 'span', ...(masked ? ['distance'] : [])],
    (f) => {
      const [source, rows, row, out, span, distance] = f.parameters;
      f.do(storeI32(span, out));
      const vectors = (address: Local, feature: Local, end: Local) =>
        f.while(lt(feature, end), () => {
          const x = masked ? v.mul(loadV(address), loadV(add(address, distance))) : loadV(address);
          const bits = f.let('bits', v.bitmask(v.ne(x, splat(0))));
          f.while(bits, () => {
            const k = f.let('k', ctz(bits));
            f.do(storeI32(out, add(feature, k)));
            const at = f.let('at', add(address, mul(k, 4)));
            const value = masked ? mulF(loadF32(at), loadF32(add(at, distance))) : loadF32(at);
            f.do(storeF32(out, value, 4));
            f.set(out, add(out, eventBytes));
            f.set(bits, and(bits, sub(bits, 1)));
          });
          f.set(address, add(address, 16));
          f.set(feature, add(feature, 4));
        });
      const feature = f.let('feature', 0);
      const end = f.let('end', 0);
      const address = f.local('i32', 'address');
      if (full > 0) {
        const start = f.let('start', add(source, mul(row, panelBytes)));
        f.while(lt(feature, full * 32), () => {
          f.set(end, add(feature, 32));
          f.set(address, start);
          vectors(address, feature, end);
          f.set(start, add(start, mul(rows, panelBytes)));
        });
      }
      if (tail > 0) {
        f.set(end, full * 32 + tail);
        f.set(address, sum(source, mul(rows, full * panelBytes), mul(row, tail * 4)));
        vectors(address, feature, end);
      }
      f.do(storeI32(span, out, 4));
      f.return(out);
    },
    'i32',
  );
}

export const listRowCall = (k: Kernels, features: number, args: readonly I32[]): Expr =>
  call(listRow(k, features), args);

/** Lists all rows of an array; each chunk of samples has its own stretch of `events`. */
export function listKernel(k: Kernels, features: number, masked: boolean): Kernel {
  const list = listRow(k, features, masked);
  const params = ['source', 'mask', 'rows', 'events', 'spans', ...rowParams] as const;
  return k.kernel(`lists${masked ? 'Masked' : ''}_${features}`, params, (f, item, a) => {
    const distance = f.let('distance', sub(a.mask, a.source));
    const out = f.let('out', add(a.events, mul(item, mul(mul(a.group, a.T), padded(features) * eventBytes))));
    eachStep(f, a, item, (row) => {
      const span = add(a.spans, mul(row, spanBytes));
      f.set(out, call(list, [a.source, a.rows, row, out, span, ...(masked ? [distance] : [])]));
    });
  });
}

/** Sums over the listed rows of a chunk, of valid steps only where `lengths` is not 0. */
export function listSumsKernel(k: Kernels, features: number): Kernel {
  const params = ['spans', 'parts', 'lengths', ...rowParams] as const;
  return k.kernel(`listSums_${features}`, params, (f, item, a) => {
    const parts = f.let('sums', add(a.parts, mul(item, padded(features) * 4)));
    f.do(zeroFill(parts, i32(padded(features) * 4)));
    eachStep(f, a, item, (row, b, t) => {
      const span = f.let('span', add(a.spans, mul(row, spanBytes)));
      const event = f.let('event', loadI32(span));
      const end = f.let('end', loadI32(span, 4));
      f.if(a.lengths, () => f.if(ge(t, loadI32(add(a.lengths, mul(b, 4)))), () => f.set(end, event)));
      f.while(lt(event, end), () => {
        const at = f.let('at', add(parts, mul(loadI32(event), 4)));
        f.do(storeF32(at, addF(loadF32(at), loadF32(event, 4))));
        f.set(event, add(event, eventBytes));
      });
    });
  });
}

/** y = sum over the events of a row of value * weights[feature], for one panel of `n` rows. */
export function gather(k: Kernels, outputs: number): Func {
  const params = ['panel', 'n', 'weights', 'inputs', 'y', 'yRows', 'yRow', 'yStep', 'spans', 'spanRow', 'spanStep'];
  return k.helper(`gather_${outputs}`, params, (f) => {
    const [panel, n, weights, inputs, y, yRows, yRow, yStep, spans, spanRow, spanStep] = f.parameters;
    const start = f.let('w', panelStart(weights, panel, inputs));
    const target = f.let('target', panelStart(y, panel, yRows));
    const span = f.let('span', add(spans, mul(spanRow, spanBytes)));
    onPanel(f, outputs, panel, (vectors, width) => {
      f.set(target, add(target, mul(yRow, width)));
      const totals = Array.from({ length: vectors }, (_, i) => f.local('v128', `y${i}`));
      f.while(n, () => {
        const event = f.let('event', loadI32(span));
        const end = f.let('end', loadI32(span, 4));
        for (const total of totals) f.set(total, splat(0));
        f.while(lt(event, end), () => {
          const from = f.let('from', add(start, mul(loadI32(event), width)));
          const value = f.let('value', loadSplat(event, 4));
          totals.forEach((total, i) => void f.set(total, v.add(total, v.mul(value, loadV(from, 16 * i)))));
          f.set(event, add(event, eventBytes));
        });
        totals.forEach((total, i) => void f.do(storeV(target, total, 16 * i)));
        f.set(target, add(target, mul(yStep, width)));
        f.set(span, add(span, mul(spanStep, spanBytes)));
        f.set(n, sub(n, 1));
      });
    });
  });
}

/** y = x W^T for all rows of a chunk and one panel of outputs. */
export function productKernel(k: Kernels, outputs: number): Kernel {
  const rows = gather(k, outputs);
  const params = ['weights', 'inputs', 'y', 'yRows', 'spans', ...rowParams] as const;
  return k.kernel(`product_${outputs}`, params, (f, item, a) => {
    const { panel, chunk } = panelAndChunk(f, item, a);
    eachSample(f, a, chunk, (b) => {
      const row = f.let('row', add(mul(b, a.S), a.first));
      f.do(call(rows, [panel, a.T, a.weights, a.inputs, a.y, a.yRows, row, 1, a.spans, row, 1]));
    });
  });
}

/**
 * Sorts the events of a chunk by feature: `starts` has, for each chunk, the addresses where the events of each feature
 * start, and `sorted` the events themselves, row and value.
 */
export function sortKernel(k: Kernels, inputs: number): Kernel {
  const params = ['events', 'spans', 'sorted', 'starts', ...rowParams] as const;
  return k.kernel(`sort_${inputs}`, params, (f, item, a) => {
    const starts = f.let('begin', add(a.starts, mul(item, (inputs + 1) * 4)));
    f.do(zeroFill(starts, i32((inputs + 1) * 4)));
    const place = f.local('i32', 'place');
    const eachEvent = (visit: (event: Local, row: Local) => void) =>
      eachStep(f, a, item, (row) => {
        const span = f.let('span', add(a.spans, mul(row, spanBytes)));
        const event = f.let('event', loadI32(span));
        const end = f.let('end', loadI32(span, 4));
        f.while(lt(event, end), () => {
          visit(event, row);
          f.set(event, add(event, eventBytes));
        });
      });
    eachEvent((event) => {
      f.set(place, add(starts, mul(loadI32(event), 4)));
      f.do(storeI32(place, add(loadI32(place), 1)));
    });
    // The sorted events of a chunk lie where its unsorted ones do in their array.
    const firstSpan = add(a.spans, mul(add(mul(mul(item, a.group), a.S), a.first), spanBytes));
    const begin = f.let('begin', add(a.sorted, sub(loadI32(firstSpan), a.events)));
    const next = f.let('next', begin);
    const i = f.local('i32', 'i');
    f.for(i, 0, i32(inputs), 1, () => {
      f.set(place, add(starts, mul(i, 4)));
      const count = f.let('count', loadI32(place));
      f.do(storeI32(place, next));
      f.set(next, add(next, mul(count, eventBytes)));
    });
    f.do(storeI32(add(starts, inputs * 4), next));
    eachEvent((event, row) => {
      f.set(place, add(starts, mul(loadI32(event), 4)));
      const to = f.let('to', loadI32(place));
      f.do(storeI32(to, row));
      f.do(storeI32(to, loadI32(event, 4), 4));
      f.do(storeI32(place, add(to, eventBytes)));
    });
    // Every start has moved to the next one: shift them back.
    f.set(i, inputs);
    f.while(i, () => {
      f.do(storeI32(add(starts, mul(i, 4)), loadI32(add(starts, mul(sub(i, 1), 4)))));
      f.set(i, sub(i, 1));
    });
    f.do(storeI32(starts, begin));
  });
}

/** How many inputs a weight gradient item covers. */
export const inputsPerItem = (inputs: number): number => Math.max(32, Math.ceil(inputs / 4));

/**
 * dW[input, outputs] = sum over the sorted events of an input of value * d[row, outputs]; item `panel * parts + part`.
 * The rows of a chunk's panel stay in the cache while all inputs of a part go through them.
 */
export function weightGradientKernel(k: Kernels, inputs: number, outputs: number): Kernel {
  const params = ['gradient', 'd', 'dRows', 'starts', 'chunks', 'accumulate'] as const;
  const part = inputsPerItem(inputs);
  const parts = Math.ceil(inputs / part);
  return k.kernel(`weightGradient_${inputs}_${outputs}`, params, (f, item, a) => {
    const panel = f.let('panel', divU(item, parts));
    const from = f.let('from', mul(sub(item, mul(panel, parts)), part));
    const to = f.let('to', minU(f.let('end', add(from, part)), i32(inputs)));
    const rows = f.let('rows', panelStart(a.d, panel, a.dRows));
    const weights = f.let('w', panelStart(a.gradient, panel, i32(matrixRows(inputs))));
    const chunk = f.local('i32', 'chunk');
    const start = f.let('start', a.starts);
    onPanel(f, outputs, panel, (vectors, width) => {
      const totals = Array.from({ length: vectors }, (_, i) => f.local('v128', `g${i}`));
      f.for(chunk, 0, a.chunks, 1, () => {
        const input = f.local('i32', 'input');
        f.for(input, from, to, 1, () => {
          const place = f.let('place', add(start, mul(input, 4)));
          const event = f.let('event', loadI32(place));
          const end = f.let('end', loadI32(place, 4));
          const target = f.let('target', add(weights, mul(input, width)));
          f.if(
            or(chunk, a.accumulate),
            () => totals.forEach((t, i) => void f.set(t, loadV(target, 16 * i))),
            () => totals.forEach((t) => void f.set(t, splat(0))),
          );
          f.while(lt(event, end), () => {
            const row = f.let('row', add(rows, mul(loadI32(event), width)));
            const value = f.let('value', loadSplat(event, 4));
            totals.forEach((t, i) => void f.set(t, v.add(t, v.mul(value, loadV(row, 16 * i)))));
            f.set(event, add(event, eventBytes));
          });
          totals.forEach((t, i) => void f.do(storeV(target, t, 16 * i)));
        });
        f.set(start, add(start, (inputs + 1) * 4));
      });
      // Padding rows of a matrix that is summed over must hold nothing.
      for (let row = inputs; row < matrixRows(inputs); row++) {
        for (let i = 0; i < vectors; i++) f.do(storeV(add(weights, row * width), splat(0), 16 * i));
      }
    });
  });
}

/** Inputs whose weights stay in the cache while all rows of a chunk go through them. */
const inputBlock = 64;

/**
 * x[row, input] = d[row] . weights[input] for `n` rows: where `spans` is not 0, only for the inputs listed for the row,
 * the others are zero. `accumulate` adds to what is there.
 */
export function dots(k: Kernels, inputs: number, outputs: number): Func {
  const params = [
    'n',
    'weights',
    'd',
    'dRows',
    'dRow',
    'dStep',
    'x',
    'xRows',
    'xRow',
    'xStep',
    'spans',
    'spanRow',
    'spanStep',
    'accumulate',
  ];
  return k.helper(`dots_${inputs}_${outputs}`, params, (f) => {
    const [n, weights, d, dRows, dRow, dStep, x, xRows, xRow, xStep, spans, spanRow, spanStep, accumulate] =
      f.parameters;
    const { full, tail } = panelsOf(inputs);
    const count = f.let('count', 0);
    const eachRow = (body: (row: { d: Expr; x: Expr; span: Expr }) => void) =>
      f.for(count, 0, n, 1, () =>
        body({
          d: f.let('dAt', add(dRow, mul(count, dStep))),
          x: f.let('xAt', add(xRow, mul(count, xStep))),
          span: f.let('span', add(spans, mul(add(spanRow, mul(count, spanStep)), spanBytes))),
        }),
      );
    const addressOf = (j: Local, row: Expr): Expr => {
      const panel = shrU(j, 5);
      const inPanel = mul(and(j, 31), 4);
      const start = panelStart(x, panel, xRows);
      if (tail === 0) return sum(start, mul(row, panelBytes), inPanel);
      const width = full === 0 ? i32(tail * 4) : choose(lt(j, full * 32), i32(panelBytes), i32(tail * 4));
      return sum(start, mul(row, width), inPanel);
    };
    const indices = [0, 1, 2, 3].map((i) => f.local('i32', `j${i}`));
    const places = [0, 1, 2, 3].map((i) => f.local('i32', `x${i}`));
    const four = dotFour(f, outputs, { weights, inputs: matrixRows(inputs), d, dRows });

    f.if(eq(accumulate, 0), () => f.if(spans, () => eachRow((row) => zeroRow(f, inputs, x, xRows, row.x))));
    const block = f.let('block', 0);
    const blockEnd = f.let('blockEnd', 0);
    f.if(
      spans,
      () => {
        eachRow((row) => f.do(storeI32(row.span, loadI32(row.span), 8)));
        f.for(block, 0, i32(inputs), inputBlock, () => {
          f.set(blockEnd, add(block, inputBlock));
          eachRow((row) => {
            const event = f.let('event', loadI32(row.span, 8));
            const end = f.let('end', loadI32(row.span, 4));
            const more = f.let('more', 0);
            const look = () => {
              f.set(more, 0);
              f.if(lt(event, end), () => f.set(more, lt(loadI32(event), blockEnd)));
            };
            look();
            f.while(more, () => {
              // Four inputs at a time; where fewer are left, the last one is computed again.
              indices.forEach((j, i) => {
                if (i === 0) f.set(j, loadI32(event));
                else f.set(j, choose(more, loadI32(sub(event, 0)), indices[i - 1]));
                f.set(event, add(event, mul(more, eventBytes)));
                if (i < 3) lookInside(f, event, end, blockEnd, more);
              });
              const result = four(indices, row.d);
              indices.forEach((j, i) => void f.set(places[i], addressOf(j, row.x)));
              storeFour(f, places, result, accumulate);
              look();
            });
            f.do(storeI32(row.span, event, 8));
          });
        });
      },
      () => {
        f.for(block, 0, i32(padded(inputs)), inputBlock, () => {
          f.set(blockEnd, minU(f.let('all', add(block, inputBlock)), i32(padded(inputs))));
          eachRow((row) => {
            const [j] = indices;
            f.for(j, block, blockEnd, 4, () => {
              for (let i = 1; i < 4; i++) f.set(indices[i], add(j, i));
              const result = four(indices, row.d);
              const place = f.let('place', addressOf(j, row.x));
              f.set(result, v.add(result, v.and(v.splatInt(sub(0, accumulate)), loadV(place))));
              f.do(storeV(place, result));
            });
          });
        });
      },
    );
  });
}

function lookInside(f: Func, event: Local, end: Local, blockEnd: Local, more: Local): void {
  f.if(more, () => {
    f.set(more, 0);
    f.if(lt(event, end), () => f.set(more, lt(loadI32(event), blockEnd)));
  });
}

function storeFour(f: Func, places: readonly Local[], result: Local, accumulate: Expr): void {
  f.if(accumulate, () => {
    let old: Expr = splat(0);
    for (let i = 0; i < 4; i++) old = blend(laneMask(i), loadSplat(places[i]), old);
    f.set(result, v.add(result, f.let('old', old)));
  });
  places.forEach((place, i) => void f.do(storeF32(place, lane(result, i))));
}

const laneMask = (i: number): Expr => lanesI32(i === 0 ? -1 : 0, i === 1 ? -1 : 0, i === 2 ? -1 : 0, i === 3 ? -1 : 0);

/** Emits the dot products of a row of `d` with four rows of weights, over all outputs. */
function dotFour(
  f: Func,
  outputs: number,
  { weights, inputs, d, dRows }: { weights: Expr; inputs: number; d: Expr; dRows: Expr },
): (indices: readonly Local[], row: Expr) => Local {
  const { full, tail } = panelsOf(outputs);
  const totals = [0, 1, 2, 3].map((i) => f.local('v128', `dot${i}`));
  const from = [0, 1, 2, 3].map((i) => f.local('i32', `w${i}`));
  const at = f.local('i32', 'dAddress');
  const step = (vectors: number) => {
    for (let i = 0; i < vectors; i++) {
      const part = f.let('part', loadV(at, 16 * i));
      totals.forEach((t, k) => void f.set(t, v.add(t, v.mul(part, loadV(from[k], 16 * i)))));
    }
  };
  return (indices, row) => {
    for (const t of totals) f.set(t, splat(0));
    if (full > 0) {
      f.set(at, add(d, mul(row, panelBytes)));
      indices.forEach((j, k) => void f.set(from[k], add(weights, mul(j, panelBytes))));
      const panel = f.let('panel', full);
      f.while(panel, () => {
        step(8);
        f.set(at, add(at, mul(dRows, panelBytes)));
        for (const w of from) f.set(w, add(w, inputs * panelBytes));
        f.set(panel, sub(panel, 1));
      });
    }
    if (tail > 0) {
      f.set(at, sum(d, mul(dRows, full * panelBytes), mul(row, tail * 4)));
      indices.forEach((j, k) => void f.set(from[k], sum(weights, full * inputs * panelBytes, mul(j, tail * 4))));
      step(tail / 4);
    }
    const [a, b, c, e] = totals;
    const ab = f.let('ab', v.add(shuffle(a, b, [0, 4, 2, 6]), shuffle(a, b, [1, 5, 3, 7])));
    const ce = f.let('ce', v.add(shuffle(c, e, [0, 4, 2, 6]), shuffle(c, e, [1, 5, 3, 7])));
    return f.let('dots', v.add(shuffle(ab, ce, [0, 1, 4, 5]), shuffle(ab, ce, [2, 3, 6, 7])));
  };
}

function zeroRow(f: Func, features: number, base: Expr, rows: Expr, row: Expr): void {
  const { full, tail } = panelsOf(features);
  if (full > 0) {
    const at = f.let('zeroAt', add(base, mul(row, panelBytes)));
    const panel = f.let('panel', full);
    f.while(panel, () => {
      for (let i = 0; i < 8; i++) f.do(storeV(at, splat(0), 16 * i));
      f.set(at, add(at, mul(rows, panelBytes)));
      f.set(panel, sub(panel, 1));
    });
  }
  if (tail > 0) {
    const at = f.let('zeroAt', sum(base, mul(rows, full * panelBytes), mul(row, tail * 4)));
    for (let i = 0; i < tail / 4; i++) f.do(storeV(at, splat(0), 16 * i));
  }
}

/** The cotangents of the inputs of a product, for the rows of a chunk of samples. */
export function inputGradientKernel(k: Kernels, inputs: number, outputs: number): Kernel {
  const rows = dots(k, inputs, outputs);
  const params = ['weights', 'd', 'dRows', 'x', 'xRows', 'spans', 'accumulate', ...rowParams] as const;
  return k.kernel(`inputGradient_${inputs}_${outputs}`, params, (f, item, a) => {
    eachSample(f, a, item, (b) => {
      const row = f.let('row', add(mul(b, a.S), a.first));
      f.do(call(rows, [a.T, a.weights, a.d, a.dRows, row, 1, a.x, a.xRows, row, 1, a.spans, row, 1, a.accumulate]));
    });
  });
}
