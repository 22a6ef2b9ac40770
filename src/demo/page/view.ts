import type { DemoDescription } from '../description.ts';
import type { Classified, Sequence } from './model.ts';
import { drawHeatmap, drawRaster } from './pictures.ts';

export function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export function say(text: string, isError = false): void {
  const status = element('status');
  status.textContent = text;
  status.classList.toggle('error', isError);
}

export function introduce({ name, classNames, license, assumeRate, sampleRate }: DemoDescription): void {
  document.title = name;
  element('name').textContent = name;
  const facts = [
    `A spiking network that tells ${classNames.length} classes apart.`,
    'It runs in this page: what you say or open stays on this device.',
    ...(assumeRate
      ? [`It was trained on recordings read as if they had ${sampleRate} Hz, which a microphone does not do.`]
      : []),
    ...(license ? [`Licence: ${license}.`] : []),
  ];
  element('about').textContent = facts.join(' ');
}

/** Shows a result: the class, every score, and what the network heard and did. */
export class ResultView {
  private readonly description: DemoDescription;
  private readonly pictures: readonly { readonly draw: (result: Classified) => void }[];
  private result: Classified | null = null;

  constructor(description: DemoDescription) {
    const { stepSeconds, layers, pipeline } = description;
    this.description = description;
    const heatmap = (canvas: HTMLCanvasElement, values: Sequence) => drawHeatmap(canvas, values, stepSeconds);
    const raster = (canvas: HTMLCanvasElement, values: Sequence) => drawRaster(canvas, values, stepSeconds);
    this.pictures = [
      picture(
        'Features',
        `what the network takes, ${pipeline}, low frequencies at the bottom`,
        heatmap,
        ({ features }) => features,
      ),
      ...layers.map(({ layer, features, spiking }, i) =>
        spiking
          ? picture(layer, `spikes of its ${features} neurons`, raster, ({ activity }) => activity[i])
          : picture(layer, `what its ${features} neurons give`, heatmap, ({ activity }) => activity[i]),
      ),
    ];
    // Canvases know neither the size of the window nor its colours.
    window.addEventListener('resize', () => this.redraw());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.redraw());
  }

  show(result: Classified): void {
    this.result = result;
    element('result').hidden = false;
    element('pictures').hidden = false;
    showScores(result.scores, this.description);
    this.redraw();
  }

  private redraw(): void {
    if (this.result) for (const { draw } of this.pictures) draw(this.result);
  }
}

/** A bar for each class; the lowest score, or 0 where none is below, has no length. */
function showScores(scores: Float32Array, { classNames, mode }: DemoDescription): void {
  const best = scores.indexOf(Math.max(...scores));
  const low = Math.min(0, ...scores);
  const range = scores[best] - low || 1;
  element('class').textContent = classNames[best];
  // The best first, but where scores change all the time, rows should not.
  const order = [...scores.keys()];
  if (mode === 'sequence') order.sort((a, b) => scores[b] - scores[a]);
  const rows = order.map((i) => {
    const row = document.createElement('li');
    row.classList.toggle('best', i === best);
    row.dataset.index = `${i}`;
    row.dataset.score = `${scores[i]}`;
    const bar = part('bar');
    const length = bar.appendChild(document.createElement('span'));
    length.style.width = `${(100 * (scores[i] - low)) / range}%`;
    row.append(part('name', classNames[i]), bar, part('score', scores[i].toPrecision(3)));
    return row;
  });
  element('scores').replaceChildren(...rows);
}

function part(name: string, text = ''): HTMLElement {
  const span = document.createElement('span');
  span.className = name;
  span.textContent = text;
  return span;
}

function picture(
  title: string,
  text: string,
  draw: (canvas: HTMLCanvasElement, values: Sequence) => void,
  valuesOf: (result: Classified) => Sequence,
) {
  const figure = document.createElement('figure');
  const caption = figure.appendChild(document.createElement('figcaption'));
  const name = caption.appendChild(document.createElement('b'));
  name.textContent = title;
  caption.append(`: ${text}`);
  const canvas = figure.appendChild(document.createElement('canvas'));
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `${title} over time`);
  element('pictures').append(figure);
  return { draw: (result: Classified) => draw(canvas, valuesOf(result)) };
}
