/** The part of the scope of audio worklets that TypeScript's library lacks. */
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: typeof AudioWorkletProcessor): void;

/** Hands everything it hears, the first channel of it, to the page. */
class Recorder extends AudioWorkletProcessor {
  process([[channel]]: Float32Array[][]): boolean {
    if (channel) this.port.postMessage(channel.slice());
    return true;
  }
}

registerProcessor('recorder', Recorder);
