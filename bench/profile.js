/** Where the time of a training step goes, kernel by kernel: CPU time on one thread, the least of several steps. */
import { Machine } from '../dist/targets/wasm/machine.js';

const cpuMilliseconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** From now on programs run call by call on the calling thread, and each call is timed. */
export function profileCalls() {
  const calls = new Map();
  const run = Machine.prototype.run;
  Machine.prototype.run = function (program, state, helped) {
    program.calls.forEach((call, i) => {
      const before = cpuMilliseconds();
      run.call(this, { ...program, calls: [{ ...call, barrier: true }] }, state, helped);
      const key = `${i} ${call.kernel.func.name}`;
      calls.set(key, Math.min(calls.get(key) ?? Number.POSITIVE_INFINITY, cpuMilliseconds() - before));
    });
  };
  return calls;
}

/** The table of the calls, the slowest first, and the time outside of kernels. */
export function printProfile(calls, stepMilliseconds) {
  const sorted = [...calls].sort(([, a], [, b]) => b - a);
  const total = sorted.reduce((sum, [, time]) => sum + time, 0);
  for (const [name, time] of sorted.filter(([, t]) => t >= total / 500)) {
    console.log(`${time.toFixed(1).padStart(8)} ms ${((100 * time) / total).toFixed(0).padStart(3)}%  ${name}`);
  }
  console.log(
    `${total.toFixed(1).padStart(8)} ms in ${sorted.length} calls; ${(stepMilliseconds - total).toFixed(1)} ms outside`,
  );
}
