/**
 * How much faster a training step is on the target wasm-relaxed than on wasm. Prints one JSON line. Node 22 or later.
 *
 *   npm run build && node bench/relaxedSimd.js --neuron GRU --hidden 128 --h5 FOLDER [--threads 2] [--warm 20] [--n 30]
 */
import { selectTarget } from '../dist/targets/select.js';
import { printTurns } from './turns.js';

// Throws where this engine has none.
await selectTarget('wasm-relaxed');
await printTurns((threads) => ({ wasm: { threads }, relaxed: { threads, relaxedSimd: true } }));
