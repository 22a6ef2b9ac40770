import { UserError } from '../diagnostics/diagnostic.ts';

/**
 * The entries of a zip archive as PyTorch writes it: stored, not compressed. Sizes and offsets come from an untrusted
 * file, so every one is checked against its length before it is used.
 *
 * @throws UserError SP840 where the file is no such archive.
 */
export function readStoredZip(bytes: Uint8Array, path: string): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const broken = (why: string) => new UserError('SP840', `"${path}" is no model that PyTorch saved: ${why}`);
  const within = (offset: number, size: number) => {
    if (!(offset >= 0 && size >= 0 && offset + size <= bytes.length)) throw broken('it is damaged or cut off');
    return offset;
  };

  const end = findEndRecord(view);
  if (end === null) throw broken('it is no zip archive; save it with torch.save of PyTorch 1.6 or newer');
  const entries = new Map<string, Uint8Array>();
  let at = view.getUint32(end + 16, true);
  const count = view.getUint16(end + 10, true);
  for (let i = 0; i < count; i++) {
    within(at, 46);
    if (view.getUint32(at, true) !== 0x02014b50) throw broken('its table of contents is damaged');
    const [method, size, nameLength] = [
      view.getUint16(at + 10, true),
      view.getUint32(at + 24, true),
      view.getUint16(at + 28, true),
    ];
    const extra = view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    const local = within(view.getUint32(at + 42, true), 30);
    if (method !== 0) throw broken('its entries are compressed, which torch.save does not do');
    within(at + 46, nameLength);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    within(start, size);
    entries.set(name, bytes.subarray(start, start + size));
    at += 46 + nameLength + extra;
  }
  return entries;
}

/** The record that ends every zip archive, searched backwards over a comment of at most 64 KiB. */
function findEndRecord(view: DataView): number | null {
  const last = view.byteLength - 22;
  for (let at = last; at >= Math.max(0, last - 65536); at--) {
    if (view.getUint32(at, true) === 0x06054b50) return at;
  }
  return null;
}
