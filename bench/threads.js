/**
 * How much faster a training step is on two threads than on one. Prints one JSON line.
 *
 *   npm run build && node bench/threads.js --neuron RadLIF --hidden 512 --h5 FOLDER [--threads 2] [--warm 20] [--n 30]
 */
import { printTurns } from './turns.js';

await printTurns((threads) => ({ one: { threads: 1 }, many: { threads } }));
