// Boxes: scopes, with the part after their end hatched.
import { isBox, isReadable, rectOf, x, type Frame } from './frame.ts';
import { isQuiet, none, processNote, scopeAbove, Tone, type Span } from './model.ts';
import { drawLabel } from './labels.ts';

export function drawBoxes(f: Frame, scopes: Int32Array): Span[] {
  const { c, store: { model, placed }, palette, view } = f;
  const shown: Span[] = [];
  const seenAs = new Int32Array(model.n).fill(none); // the box drawn for a scope: its own, or one around it with the same pixels
  const first = view.top / view.unit;
  const last = (view.top + f.height) / view.unit;
  for (const i of scopes) {
    if (placed.top[i] > last || placed.top[i] + placed.height[i] < first) continue;
    if (model.begin[i] > view.to || model.end[i] < view.from || !isBox(f, i)) continue;
    const r = clipped(f, rectOf(f, i));
    const around = seenAs[scopeAbove(model, i)] ?? none;
    seenAs[i] = around;
    if (around !== none && isSame(r, clipped(f, rectOf(f, around)))) continue;
    seenAs[i] = i;
    shown.push(i);
    c.fillStyle = palette.box[model.level[i] & 1];
    c.fillRect(r.left, r.top, r.width, r.height);
    drawCanceling(f, i, r);
    if (f.rowHeight < 4 && model.tone[i] !== Tone.Failed && model.parent[i] !== none) continue;
    c.strokeStyle = model.tone[i] === Tone.Failed ? palette.failed : model.tone[i] === Tone.Canceled ? palette.canceled : palette.boxEdge;
    c.lineWidth = 1;
    if (model.stop[i] < 0) c.setLineDash([4, 3]);
    c.strokeRect(Math.round(r.left) + 0.5, Math.round(r.top) + 0.5, Math.max(Math.round(r.width) - 1, 1), Math.max(Math.round(r.height) - 1, 1));
    c.setLineDash([]);
  }
  f.stats.boxes = shown.length;
  return shown;
}

/** Hatches the time after the end of a scope, in which its tasks must stop and none can start. */
function drawCanceling(f: Frame, i: Span, r: Rect) {
  const { c, store: { model }, palette } = f;
  const cause = model.cause.get(i);
  if (!cause) return;
  const at = x(f, cause.at);
  const from = Math.max(at, r.left);
  const width = r.left + r.width - from;
  if (width >= 2 && r.height >= 6) {
    c.fillStyle = isQuiet(cause) ? palette.quietHatch : palette.hatch;
    c.fillRect(from, r.top, width, r.height);
  }
  if (!isQuiet(cause) && at >= 0 && at <= f.width && r.height >= 4) {
    c.fillStyle = model.tone[i] === Tone.Failed ? palette.failed : palette.canceled;
    c.fillRect(Math.round(Math.min(at, r.left + r.width - 1)), r.top, 1, r.height);
  }
}

/** Draws the names of boxes, inside the part of the box that is visible. */
export function labelBoxes(f: Frame, shown: Span[]) {
  if (!isReadable(f)) return;
  const { store: { model }, palette } = f;
  for (const i of shown) {
    const r = rectOf(f, i);
    if (r.top > f.height || r.top + f.rowHeight < 0) continue;
    const left = Math.max(r.left, 0);
    const cause = model.cause.get(i);
    const canceled = cause && !isQuiet(cause) ? x(f, cause.at) : Infinity;
    const end = Math.min(r.left + r.width, f.width);
    const right = canceled > left + 60 ? Math.min(end, canceled) : end; // not beyond canceled, where the arrows begin
    const note = cause && !isQuiet(cause) ? `  ${model.tone[i] === Tone.Failed ? '✕' : '⊘'} ${cause.kind}` : model.stop[i] < 0 ? '  … unfinished' : '';
    const color = model.tone[i] === Tone.Failed ? palette.failed : model.tone[i] === Tone.Canceled ? palette.canceled : palette.ink;
    drawLabel(f, model.names[i] + processNote(model, i) + note, left + 5, r.top + f.rowHeight / 2, right - left - 8, color, true);
  }
}

const isSame = (a: Rect, b: Rect): boolean =>
  Math.abs(a.left - b.left) < 1 && Math.abs(a.width - b.width) < 1 && Math.abs(a.top - b.top) < 1 && Math.abs(a.height - b.height) < 2;

export interface Rect { left: number; top: number; width: number; height: number }

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
