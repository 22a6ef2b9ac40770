/** Room that is left for a larger batch, as a share of what the one at hand takes. */
const spare = 1 / 4;

/**
 * Where the arrays of batches lie. What comes back serves later batches: new memory costs more than what is written there,
 * and the pages it takes and gives back hold up all threads.
 */
export class BatchMemory {
  private readonly free: ArrayBuffer[] = [];

  /** So many bytes or more, holding anything. */
  take(bytes: number): ArrayBuffer {
    const fitting = this.free.findIndex((buffer) => buffer.byteLength >= bytes);
    if (fitting >= 0) return this.free.splice(fitting, 1)[0];
    // In place of one that is too small, so that there are never more than are under way at once.
    this.free.pop();
    return new ArrayBuffer(Math.ceil(bytes * (1 + spare)));
  }

  giveBack(buffers: readonly ArrayBuffer[]): void {
    this.free.push(...buffers);
  }
}
