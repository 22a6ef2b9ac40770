import { DemoError, type Sound } from './sound.ts';

export interface Recording {
  /** Ends it; the sound so far. */
  stop(): Promise<Sound>;
}

/** Starts to record; `onChunk` hears how loud each chunk is, from 0 to 1. Throws DemoError where there is no microphone. */
export async function record(onChunk: (level: number) => void): Promise<Recording> {
  const stream = await microphone();
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL('./recorder.js', import.meta.url));
  const recorder = new AudioWorkletNode(context, 'recorder', {
    numberOfOutputs: 0,
    channelCount: 1,
    channelCountMode: 'explicit',
  });
  const chunks: Float32Array[] = [];
  recorder.port.onmessage = ({ data }: MessageEvent<Float32Array>) => {
    chunks.push(data);
    // The ear hears ratios: a tenth of the amplitude is shown as a third.
    onChunk(Math.sqrt(Math.min(1, Math.max(...data.map(Math.abs)))));
  };
  context.createMediaStreamSource(stream).connect(recorder);
  await context.resume();
  return {
    async stop() {
      const rate = context.sampleRate;
      for (const track of stream.getTracks()) track.stop();
      await context.close();
      return { samples: Float32Array.from(chunks.flatMap((chunk) => [...chunk])), rate };
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
