// The data of one frame that all parts of the drawing need.
import { groupIn, isRest, isSpan, type Node } from './folds.ts';
import type { Palette } from './palette.ts';
import type { Raster } from './raster.ts';
import type { Rows } from './rows.ts';
import type { Store } from './store.ts';
import type { Window } from './window.ts';
import type { Span } from './model.ts';

export interface Frame {
  c: CanvasRenderingContext2D;
  store: Store;
  palette: Palette;
  view: Window;
  top: number; // the scroll position
  width: number;
  height: number;
  row: number; bar: number; barTop: number; // heights, as in the store
  rows: Rows;
  first: number; last: number; // the rows in sight, last excluded
  onPath: Uint8Array | undefined; // the spans on the critical path, if it is shown
  raster: Raster;
  stats: Stats;
}

export interface Stats { rows: number; bars: number; boxes: number; labels: number; arrows: number; milliseconds: number; frames: number }

export interface Rect { left: number; top: number; width: number; height: number }

export const x = (f: Frame, time: number): number => ((time - f.view.from) * f.width) / (f.view.to - f.view.from);
export const y = (f: Frame, row: number): number => row * f.row - f.top;
export const middle = (f: Frame, row: number): number => y(f, row) + f.barTop + f.bar / 2;

/** Whether a span is drawn pale, because it is no match, or not on the critical path. */
export function isDim(f: Frame, i: Span): boolean {
  if (f.store.searching.value && !f.store.isMatch.value[i] && (f.store.isNodeOpen(i) || f.store.matchesBelow(i) === 0)) return true;
  return f.onPath !== undefined && !f.onPath[i];
}

/** Whether a row is that of a scope with rows below it, around which a box is drawn. */
export const isBox = (f: Frame, row: number): boolean => {
  const node = f.rows.nodes[row];
  return isSpan(node) && f.store.model.isScope[node] === 1 && f.rows.end[row] > row + 1;
};

/** Returns the rectangle of a row: of the box of a scope, else of the bar. */
export function rectOf(f: Frame, row: number): Rect {
  const [begin, end] = timesOf(f, f.rows.nodes[row]);
  const left = x(f, begin);
  const width = Math.max(x(f, end) - left, 2);
  if (isBox(f, row)) return { left, top: y(f, row) + 1, width, height: (f.rows.end[row] - row) * f.row - 2 };
  return { left, top: y(f, row) + f.barTop, width, height: f.bar };
}

function timesOf(f: Frame, node: Node): [number, number] {
  const { model, folds } = f.store;
  if (isSpan(node)) return [model.begin[node], model.end[node]];
  const { members } = folds.groups[groupIn(node)];
  if (isRest(node)) return [model.begin[members[0]], model.begin[members[0]]];
  let last = 0;
  for (const i of members) if (model.end[i] > last) last = model.end[i];
  return [model.begin[members[0]], last];
}

/** Cuts off the parts of a rectangle far outside the canvas, where drawing is inexact. */
export function clipped(f: Frame, r: Rect): Rect {
  const left = Math.max(r.left, -8);
  const top = Math.max(r.top, -8);
  return {
    left, top,
    width: Math.min(r.left + r.width, f.width + 8) - left,
    height: Math.min(r.top + r.height, f.height + 8) - top,
  };
}
