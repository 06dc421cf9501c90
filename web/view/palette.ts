// The colors of theme.css, for canvases.
import { toneNames } from './model.ts';

export interface Palette {
  font: string;
  background: string; ink: string; muted: string; line: string;
  box: [string, string]; boxEdge: string;
  bar: string[]; // by tone
  dim: string[];
  on: string[]; // text on a bar
  hatch: CanvasPattern; // for the time after a cancellation
  quietHatch: CanvasPattern;
  missing: CanvasPattern; // for what the log does not say
  failed: string; canceled: string; critical: string; accent: string; alive: string;
}

export function paletteOf(root: Element, context: CanvasRenderingContext2D): Palette {
  const style = getComputedStyle(root);
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const stripes = (name: string, step: number, width: number) => hatchOf(context, color(name), step, width);
  return {
    font: style.fontFamily,
    background: color('background'), ink: color('ink'), muted: color('muted'), line: color('line'),
    box: [color('box-even'), color('box-odd')], boxEdge: color('box-edge'),
    bar: toneNames.map(color),
    dim: toneNames.map((name) => color(`${name}-dim`)),
    on: toneNames.map((name) => color(`on-${name}`)),
    hatch: stripes('hatch', 8, 2.4), quietHatch: stripes('quiet-hatch', 8, 1.5), missing: stripes('missing', 6, 2),
    failed: color('failed'), canceled: color('cancellation'), critical: color('critical'), accent: color('accent'), alive: color('alive'),
  };
}

function hatchOf(context: CanvasRenderingContext2D, color: string, step: number, width: number): CanvasPattern {
  const scale = devicePixelRatio;
  const tile = document.createElement('canvas');
  tile.width = tile.height = Math.round(step * scale);
  const c = tile.getContext('2d')!;
  c.strokeStyle = color;
  c.lineWidth = width * scale;
  c.beginPath();
  for (const shift of [-1, 0, 1]) {
    c.moveTo(shift * tile.width - 1, tile.height + 1);
    c.lineTo((shift + 1) * tile.width + 1, -1);
  }
  c.stroke();
  const pattern = context.createPattern(tile, 'repeat')!;
  pattern.setTransform(new DOMMatrix().scale(1 / scale));
  return pattern;
}
