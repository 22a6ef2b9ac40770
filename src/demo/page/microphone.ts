import { DemoError } from './sound.ts';

/** A microphone that is on. */
export interface Microphone {
  /** Samples per second. */
  readonly rate: number;
  /** Everything it hears from its beginning on. */
  onChunk(hear: (chunk: Float32Array) => void): void;
  off(): Promise<void>;
}

/** Switches the microphone on. Throws DemoError where there is none. */
export async function listen(): Promise<Microphone> {
  const stream = await microphone();
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL('./recorder.js', import.meta.url));
  const recorder = new AudioWorkletNode(context, 'recorder', {
    numberOfOutputs: 0,
    channelCount: 1,
    channelCountMode: 'explicit',
  });
  context.createMediaStreamSource(stream).connect(recorder);
  await context.resume();
  return {
    rate: context.sampleRate,
    onChunk(hear) {
      // What came before this waits in the port.
      recorder.port.onmessage = ({ data }: MessageEvent<Float32Array>) => hear(data);
    },
    async off() {
      recorder.port.onmessage = null;
      for (const track of stream.getTracks()) track.stop();
      await context.close();
    },
  };
}

async function microphone(): Promise<MediaStream> {
  // Browsers offer it to pages they can trust only.
  if (!navigator.mediaDevices) {
    throw new DemoError(
      'Browsers let pages listen on localhost or over https only: open this page there, or drop a file.',
    );
  }
  try {
    // The network has heard recordings as they are: no processing.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (cause) {
    const denied = (cause as Error).name === 'NotAllowedError';
    const why = denied ? 'The microphone was not allowed' : 'There is no microphone';
    throw new DemoError(`${why}; drop a recording instead.`, { cause });
  }
}
