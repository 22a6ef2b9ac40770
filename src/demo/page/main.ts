import { type Recording, record } from './microphone.ts';
import { Model } from './model.ts';
import { atRate, DemoError, decode, type Sound, trimmed } from './sound.ts';
import { element, introduce, ResultView, say } from './view.ts';

/** Seconds after which listening ends by itself. */
const LISTEN = 4;

const listen = element<HTMLButtonElement>('listen');
const open = element<HTMLButtonElement>('open');
const file = element<HTMLInputElement>('file');
const level = element<HTMLMeterElement>('level');

let isBusy = false;

/** Does what the person asked for, one thing at a time; what goes wrong is shown. */
async function attempt(work: () => Promise<void>): Promise<void> {
  if (isBusy) return;
  setBusy(true);
  try {
    await work();
  } catch (error) {
    console.error(error);
    say(error instanceof DemoError ? error.message : `Something went wrong: ${(error as Error).message}`, true);
  } finally {
    setBusy(false);
  }
}

function setBusy(busy: boolean): void {
  isBusy = busy;
  for (const button of [listen, open]) button.disabled = busy;
}

class Demo {
  private readonly model: Model;
  private readonly view: ResultView;
  private recording: Recording | null = null;

  constructor(model: Model) {
    this.model = model;
    this.view = new ResultView(model.description);
    introduce(model.description);
    listen.addEventListener('click', () => attempt(() => (this.recording ? this.stop() : this.start())));
    open.addEventListener('click', () => file.click());
    file.addEventListener('change', () => {
      const [chosen] = file.files ?? [];
      // The same file may be chosen again.
      if (chosen) attempt(() => this.classifyFile(chosen)).finally(() => (file.value = ''));
    });
    this.acceptDrops();
    say('Ready.');
  }

  private acceptDrops(): void {
    const { body } = document;
    const mark = (on: boolean) => body.classList.toggle('dropping', on);
    document.addEventListener('dragover', (event) => {
      event.preventDefault();
      mark(true);
    });
    document.addEventListener('dragleave', () => mark(false));
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      mark(false);
      const dropped = event.dataTransfer?.files[0];
      if (dropped) attempt(() => this.classifyFile(dropped));
    });
  }

  private async classifyFile(chosen: File): Promise<void> {
    await this.endListening();
    say(`Reading ${chosen.name} …`);
    const { sampleRate, assumeRate } = this.model.description;
    const sound = await decode(chosen, sampleRate);
    await this.classify(assumeRate ? { ...sound, rate: sampleRate } : sound, chosen.name);
  }

  private async start(): Promise<void> {
    this.recording = await record((loudness) => {
      level.value = loudness;
    });
    const { recording } = this;
    this.showListening(true);
    say('Listening: say a word.');
    setTimeout(() => this.recording === recording && attempt(() => this.stop()), 1000 * LISTEN);
  }

  private async stop(): Promise<void> {
    const sound = await this.endListening();
    if (sound) await this.classify(trimmed(sound), 'the microphone');
  }

  /** What was heard, where the page listens. */
  private async endListening(): Promise<Sound | null> {
    const { recording } = this;
    this.recording = null;
    this.showListening(false);
    return recording ? recording.stop() : null;
  }

  private showListening(on: boolean): void {
    listen.textContent = on ? 'Stop' : 'Listen';
    level.hidden = !on;
  }

  private async classify(sound: Sound, source: string): Promise<void> {
    const samples = atRate(sound, this.model.description.sampleRate);
    const start = performance.now();
    const result = await this.model.classify(samples);
    const milliseconds = performance.now() - start;
    this.view.show(result);
    const seconds = (sound.samples.length / sound.rate).toFixed(2);
    say(`${seconds} s of sound from ${source}, classified in ${milliseconds.toFixed(0)} ms.`);
  }
}

try {
  new Demo(await Model.load());
  setBusy(false);
} catch (error) {
  console.error(error);
  say(`The demo cannot start: ${(error as Error).message}`, true);
}
