import type { Hearing } from './hearing.ts';
import { listen, type Microphone } from './microphone.ts';
import { Model } from './model.ts';
import { Recordings } from './recordings.ts';
import { DemoError, decode } from './sound.ts';
import { Stream } from './stream.ts';
import { element, introduce, ResultView, say } from './view.ts';

const listenButton = element<HTMLButtonElement>('listen');
const openButton = element<HTMLButtonElement>('open');
const fileInput = element<HTMLInputElement>('file');
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
  for (const button of [listenButton, openButton]) button.disabled = busy;
}

class Demo {
  private readonly model: Model;
  private readonly hearing: Hearing;
  private microphone: Microphone | null = null;

  constructor(model: Model) {
    const { description } = model;
    const view = new ResultView(description);
    this.model = model;
    this.hearing = description.mode === 'step' ? new Stream(model, view) : new Recordings(model, view);
    introduce(description);
    listenButton.addEventListener('click', () => attempt(() => (this.microphone ? this.stop() : this.start())));
    openButton.addEventListener('click', () => fileInput.click());
    fileInput.addEventListener('change', () => {
      const [chosen] = fileInput.files ?? [];
      // The same file may be chosen again.
      if (chosen) attempt(() => this.take(chosen)).finally(() => (fileInput.value = ''));
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
      if (dropped) attempt(() => this.take(dropped));
    });
  }

  private async take(file: File): Promise<void> {
    await this.switchOff();
    say(`Reading ${file.name} …`);
    const { sampleRate, assumeRate } = this.model.description;
    const sound = await decode(file, sampleRate);
    say(`${file.name}: ${await this.hearing.take(assumeRate ? { ...sound, rate: sampleRate } : sound)}`);
  }

  private async start(): Promise<void> {
    const { hearing } = this;
    const microphone = await listen();
    hearing.begin(microphone.rate);
    microphone.onChunk((chunk) => {
      // The ear hears ratios: a tenth of the amplitude is shown as a third.
      level.value = Math.sqrt(Math.min(1, Math.max(...chunk.map(Math.abs))));
      hearing.hear(chunk);
    });
    this.microphone = microphone;
    this.showListening(true);
    say(hearing.invitation);
    const stopIfOn = () => this.microphone === microphone && attempt(() => this.stop());
    if (hearing.limit !== null) setTimeout(stopIfOn, 1000 * hearing.limit);
  }

  private async stop(): Promise<void> {
    await this.switchOff();
    say(`Microphone: ${await this.hearing.end()}`);
  }

  private async switchOff(): Promise<void> {
    const { microphone } = this;
    this.microphone = null;
    this.showListening(false);
    await microphone?.off();
  }

  private showListening(on: boolean): void {
    listenButton.textContent = on ? 'Stop' : 'Listen';
    level.hidden = !on;
  }
}

try {
  new Demo(await Model.load());
  setBusy(false);
} catch (error) {
  console.error(error);
  say(`The demo cannot start: ${(error as Error).message}`, true);
}
