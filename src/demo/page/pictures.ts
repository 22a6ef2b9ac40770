import type { Sequence } from './model.ts';

/** Of the time axis below a picture, in CSS pixels. */
const AXIS = 20;

/** Viridis, by a few of its colours. */
const COLOURS = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];

/** A canvas of the size it has on the screen, cleared, and its plot area in device pixels. */
interface Plot {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
}

/** Values as colours from the lowest to the highest; the first feature at the bottom. */
export function drawHeatmap(
  canvas: HTMLCanvasElement,
  { values, steps, features }: Sequence,
  stepSeconds: number,
): void {
  const { context, width, height } = plotOn(canvas, steps, stepSeconds);
  const [low, high] = values.reduce(([l, h], v) => [Math.min(l, v), Math.max(h, v)], [Infinity, -Infinity]);
  const image = new ImageData(steps, features);
  for (let t = 0; t < steps; t++) {
    for (let f = 0; f < features; f++) {
      const value = (values[t * features + f] - low) / (high - low || 1);
      image.data.set([...colourOf(value), 255], 4 * ((features - 1 - f) * steps + t));
    }
  }
  const small = new OffscreenCanvas(steps, features);
  small.getContext('2d')?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, width, height);
}

/** A mark for every spike: time from left to right, a row for each neuron. */
export function drawRaster(
  canvas: HTMLCanvasElement,
  { values, steps, features }: Sequence,
  stepSeconds: number,
): void {
  const { context, width, height } = plotOn(canvas, steps, stepSeconds);
  const [w, h] = [width / steps, height / features];
  context.fillStyle = colour(canvas, '--accent');
  for (let t = 0; t < steps; t++) {
    for (let f = 0; f < features; f++) {
      if (values[t * features + f] !== 0)
        context.fillRect(t * w, height - (f + 1) * h, Math.max(w - 1, 1.5), Math.max(h, 1.5));
    }
  }
}

function plotOn(canvas: HTMLCanvasElement, steps: number, stepSeconds: number): Plot {
  const scale = window.devicePixelRatio;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  const plot = { context, width: canvas.width, height: canvas.height - AXIS * scale };
  context.strokeStyle = colour(canvas, '--line');
  context.strokeRect(0, 0, plot.width, plot.height);
  drawTimes(plot, colour(canvas, '--faint'), scale, steps * stepSeconds);
  return plot;
}

function drawTimes({ context, width, height }: Plot, ink: string, scale: number, seconds: number): void {
  const spacings = [0.1, 0.2, 0.5, 1, 2, 5];
  const spacing = spacings.find((s) => (s / seconds) * width > 60 * scale) ?? 10;
  context.fillStyle = ink;
  context.font = `${12 * scale}px system-ui, sans-serif`;
  context.textBaseline = 'top';
  for (let i = 0; i * spacing < seconds; i++) {
    const x = ((i * spacing) / seconds) * width;
    const label = `${Number((i * spacing).toFixed(1))} s`;
    context.fillRect(x, height, scale, 4 * scale);
    if (x + context.measureText(label).width < width) context.fillText(label, x + 3 * scale, height + 5 * scale);
  }
}

/** The colour of a value from 0 to 1. */
function colourOf(value: number): number[] {
  const place = value * (COLOURS.length - 1);
  const i = Math.min(COLOURS.length - 2, Math.floor(place));
  return COLOURS[i].map((from, c) => from + (place - i) * (COLOURS[i + 1][c] - from));
}

/** A colour of the style sheet, as the theme has it now. */
function colour(canvas: HTMLCanvasElement, name: string): string {
  canvas.style.color = `var(${name})`;
  return getComputedStyle(canvas).color;
}
