/** Reads the numbers and texts that a pickle consists of, one after the other. */
export class PickleBytes {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly cutOff: () => Error;
  private at = 0;

  /** `cutOff` makes the error for bytes that end too soon. */
  constructor(bytes: Uint8Array, cutOff: () => Error) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.cutOff = cutOff;
  }

  take(size: number): Uint8Array {
    if (!(size >= 0 && this.at + size <= this.bytes.length)) throw this.cutOff();
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }

  byte(): number {
    return this.take(1)[0];
  }

  uint16(): number {
    return this.take(2) && this.view.getUint16(this.at - 2, true);
  }

  int32(): number {
    return this.take(4) && this.view.getInt32(this.at - 4, true);
  }

  text(size: number): string {
    return new TextDecoder().decode(this.take(size));
  }

  line(): string {
    const end = this.bytes.indexOf(10, this.at);
    if (end < 0) throw this.cutOff();
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  long(size: number): number {
    const digits = this.take(size);
    const value = digits.reduceRight((sum, byte) => sum * 256 + byte, 0);
    return size > 0 && digits[size - 1] >= 128 ? value - 256 ** size : value;
  }

  float(): number {
    return this.take(8) && this.view.getFloat64(this.at - 8, false);
  }
}
