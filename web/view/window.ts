// The visible part of the picture, and how it moves.
import { row } from './layout.ts';

/** The visible part: from and to are times, top is the scroll position in pixels, unit the height of a quarter row in pixels. */
export interface Window { from: number; to: number; top: number; unit: number }

export interface Picture { width: number; height: number; end: number; total: number }

export const tallest = 22 / row;
/** Returns the shortest visible time in nanoseconds. In long runs it is limited by the precision of numbers. */
export const narrowest = (p: { end: number }): number => Math.max(20, p.end * 1e-13);

const margin = (p: Picture) => Math.max(p.end * 0.025, narrowest(p));

export function fitAll(p: Picture): Window {
  return clamp(p, { from: -margin(p), to: p.end + margin(p), top: 0, unit: 0 });
}

/** Returns the possible window that is closest to w. */
export function clamp(p: Picture, w: Window): Window {
  const widest = p.end + 2 * margin(p);
  const length = Math.min(Math.max(w.to - w.from, narrowest(p)), widest);
  const from = Math.min(Math.max(w.from, -margin(p)), p.end + margin(p) - length);
  const least = Math.min(tallest, Math.max(p.height - 8, 1) / Math.max(p.total, 1));
  const unit = Math.min(Math.max(w.unit, least), tallest);
  const top = Math.min(Math.max(w.top, 0), Math.max(0, p.total * unit + 8 - p.height));
  return { from, to: from + length, top, unit };
}

/** Zooms by factor, in if it is above 1, and keeps the point at x, y in its place. */
export function zoom(p: Picture, w: Window, x: number, y: number, factor: number, rows = factor): Window {
  if (p.width <= 0) return w; // nothing is visible
  const at = w.from + ((w.to - w.from) * x) / p.width;
  const length = Math.max((w.to - w.from) / factor, narrowest(p));
  const unit = clamp(p, { ...w, unit: w.unit * rows }).unit;
  const from = at - (length * x) / p.width;
  return clamp(p, { from, to: from + length, unit, top: ((w.top + y) * unit) / w.unit - y });
}

export function pan(p: Picture, w: Window, dx: number, dy: number): Window {
  if (p.width <= 0) return w;
  const dt = ((w.to - w.from) * dx) / p.width;
  return clamp(p, { ...w, from: w.from + dt, to: w.to + dt, top: w.top + dy });
}

/** Returns the window in which times from begin to end, and rows from top to top+height, are as large as possible. */
export function fit(p: Picture, begin: number, end: number, top: number, height: number): Window {
  const room = Math.max((end - begin) * 0.06, narrowest(p));
  const unit = Math.min(tallest, (p.height - 40) / height);
  return clamp(p, { from: begin - room, to: end + room, unit, top: (top + height / 2) * unit - p.height / 2 });
}

/** Moves the window as little as possible so that a span is visible. */
export function reveal(p: Picture, w: Window, begin: number, end: number, top: number): Window {
  let { from, to } = w;
  const length = to - from;
  if (end < from || begin > to || (end - begin < length && (begin < from || end > to))) {
    from = (begin + Math.min(end, begin + length)) / 2 - length / 2;
    to = from + length;
  }
  const y = top * w.unit - w.top;
  const h = row * w.unit;
  const scroll = y < 10 ? y - p.height * 0.25 : y + h > p.height - 10 ? y + h - p.height * 0.75 : 0;
  return clamp(p, { ...w, from, to, top: w.top + scroll });
}
