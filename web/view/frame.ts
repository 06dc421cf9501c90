// The data of one frame that all parts of the drawing need.
import type { Palette } from './palette.ts';
import type { Raster } from './raster.ts';
import type { Store } from './store.ts';
import type { Window } from './window.ts';
import { row } from './layout.ts';
import type { Span } from './model.ts';

export interface Frame {
  c: CanvasRenderingContext2D;
  store: Store;
  palette: Palette;
  view: Window;
  width: number;
  height: number;
  rowHeight: number;
  onPath: Uint8Array | undefined; // the spans on the critical path, if it is shown
  raster: Raster;
  stats: Stats;
}

export interface Stats { bars: number; boxes: number; labels: number; arrows: number; milliseconds: number; frames: number }

export const x = (f: Frame, time: number): number => ((time - f.view.from) * f.width) / (f.view.to - f.view.from);
export const y = (f: Frame, top: number): number => top * f.view.unit - f.view.top;

/** Whether a span is drawn pale, because it is no match, or not on the critical path. */
export function isDim(f: Frame, i: Span): boolean {
  if (f.store.searching.value && !f.store.isMatch.value[i]) return true;
  return f.onPath !== undefined && !f.onPath[i];
}

/** Returns the rectangle of a span: a box for a scope that is large enough, else a bar. */
export function rectOf(f: Frame, i: Span) {
  const { model, placed } = f.store;
  const left = x(f, model.begin[i]);
  const width = Math.max(x(f, model.end[i]) - left, 1.5);
  const top = y(f, placed.top[i]);
  const whole = placed.height[i] * f.view.unit;
  if (isBox(f, i)) return { left, top, width, height: whole - Math.min(2, f.view.unit / 2) };
  return { left, top, width, height: barHeight(f.rowHeight) };
}

export function isBox(f: Frame, i: Span): boolean {
  const { model, placed } = f.store;
  if (!model.isScope[i]) return false;
  const scale = f.width / (f.view.to - f.view.from);
  return (model.end[i] - model.begin[i]) * scale >= 3 && placed.height[i] * f.view.unit >= 4;
}

export const barHeight = (rowHeight: number): number => (rowHeight >= 10 ? rowHeight - 3 : rowHeight >= 4 ? rowHeight - 1 : Math.max(rowHeight, 1));

export const isReadable = (f: Frame): boolean => f.rowHeight >= 11;
export { row };
