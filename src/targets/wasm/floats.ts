const scratch = new DataView(new ArrayBuffer(4));

/** A float32 as the word that a kernel's argument is. */
export function floatArgument(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getInt32(0);
}
