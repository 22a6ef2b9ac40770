/** Samples per second that a WAV or FLAC file says it has; null for other files. */
export function rateOf(file: ArrayBuffer): number | null {
  const view = new DataView(file);
  const text = (at: number) => String.fromCharCode(...new Uint8Array(file, at, Math.min(4, file.byteLength - at)));
  if (file.byteLength < 44) return null;
  if (text(0) === 'RIFF' && text(8) === 'WAVE') return wavRate(view, text);
  // The stream information is the first block of a FLAC file; the rate has 20 bits.
  return text(0) === 'fLaC' ? view.getUint32(18) >>> 12 : null;
}

function wavRate(view: DataView, text: (at: number) => string): number | null {
  for (let at = 12; at + 16 <= view.byteLength; at += 8 + size(view, at)) {
    if (text(at) === 'fmt ') return view.getUint32(at + 12, true);
  }
  return null;
}

/** Of a chunk; chunks begin at even places. */
function size(view: DataView, at: number): number {
  const bytes = view.getUint32(at + 4, true);
  return bytes + (bytes & 1);
}
