// The visible part of the time, and how it moves. Rows scroll as in any list: see sheet.tsx.

export interface Window { from: number; to: number }

export interface Picture { width: number; end: number }

/** Returns the shortest visible time in nanoseconds. In long runs it is limited by the precision of numbers. */
export const narrowest = (p: { end: number }): number => Math.max(20, p.end * 1e-13);

const margin = (p: Picture) => Math.max(p.end * 0.025, narrowest(p));

export const fitAll = (p: Picture): Window => ({ from: -margin(p), to: p.end + margin(p) });

/** Returns the possible window that is closest to w. */
export function clamp(p: Picture, w: Window): Window {
  const widest = p.end + 2 * margin(p);
  const length = Math.min(Math.max(w.to - w.from, narrowest(p)), widest);
  const from = Math.min(Math.max(w.from, -margin(p)), p.end + margin(p) - length);
  return { from, to: from + length };
}

/** Zooms by factor, in if it is above 1, and keeps the time at x in its place. */
export function zoom(p: Picture, w: Window, x: number, factor: number): Window {
  if (p.width <= 0) return w; // nothing is visible
  const at = w.from + ((w.to - w.from) * x) / p.width;
  const length = Math.max((w.to - w.from) / factor, narrowest(p));
  const from = at - (length * x) / p.width;
  return clamp(p, { from, to: from + length });
}

export function pan(p: Picture, w: Window, dx: number): Window {
  if (p.width <= 0) return w;
  const dt = ((w.to - w.from) * dx) / p.width;
  return clamp(p, { from: w.from + dt, to: w.to + dt });
}

/** Returns the window in which the times from begin to end have room on both sides, as a part of their length. */
export function fit(p: Picture, begin: number, end: number, around = 0.06): Window {
  const room = Math.max((end - begin) * around, narrowest(p));
  return clamp(p, { from: begin - room, to: end + room });
}

/** Moves the window as little as possible so that a time is visible. */
export function reveal(p: Picture, w: Window, begin: number, end: number): Window {
  const length = w.to - w.from;
  const isSeen = end >= w.from && begin <= w.to && (end - begin >= length || (begin >= w.from && end <= w.to));
  if (isSeen) return w;
  const from = (begin + Math.min(end, begin + length)) / 2 - length / 2;
  return clamp(p, { from, to: from + length });
}
