// Text on the canvas, cut to fit its room.
import type { Frame } from './frame.ts';
import { short } from './model.ts';

const widths = new Map<string, number>();

/** Returns the width of a text as drawLabel draws it. */
export function widthOf(f: Frame, text: string, bold: boolean): number {
  const key = fontOf(f, bold) + text;
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size > 20_000) widths.clear();
    f.c.font = fontOf(f, bold);
    widths.set(key, width = f.c.measureText(text).width);
  }
  return width;
}

/** Draws as much of the text as fits into room, and returns its width; 0 if nothing fits. */
export function drawLabel(f: Frame, text: string, left: number, middle: number, room: number, color: string, bold = false): number {
  if (room < 14) return 0;
  const { c } = f;
  c.font = fontOf(f, bold);
  let shown = short(text, 120);
  let width = widthOf(f, shown, bold);
  if (width > room) {
    const fits = Math.floor((shown.length * room) / width);
    shown = short(shown, fits);
    width = widthOf(f, shown, bold);
    while (width > room && shown.length > 5) {
      shown = short(shown, shown.length - 1);
      width = widthOf(f, shown, bold);
    }
    if (shown.length < 6) return 0; // so little of a name is no use
  }
  c.fillStyle = color;
  c.fillText(shown, left, middle + 0.5);
  f.stats.labels++;
  return width;
}

export const fontOf = (f: Frame, bold = false): string => `${bold ? '600 ' : ''}11px ${f.palette.font}`;
