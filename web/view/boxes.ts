// Boxes: open scopes, around the rows of what is in them, with the part after their end hatched.
import { clipped, isBox, isDim, rectOf, x, type Frame, type Rect } from './frame.ts';
import { isQuiet, processNote, Tone, type Span } from './model.ts';
import { drawLabel } from './labels.ts';

/** Draws the boxes that reach into sight, the outermost first, and returns their rows. */
export function drawBoxes(f: Frame): number[] {
  const shown: number[] = [];
  for (let r = f.rows.up[f.first] ?? -1; r >= 0; r = f.rows.up[r]) if (isBox(f, r)) shown.unshift(r);
  for (let r = f.first; r < f.last; r++) if (isBox(f, r)) shown.push(r);
  for (const r of shown) drawBox(f, r);
  f.stats.boxes = shown.length;
  return shown;
}

function drawBox(f: Frame, row: number) {
  const { c, store: { model }, palette } = f;
  const i = f.rows.nodes[row];
  const whole = rectOf(f, row);
  if (whole.left > f.width || whole.left + whole.width < 0) return;
  const r = clipped(f, whole);
  c.fillStyle = palette.box[f.rows.level[row] & 1];
  c.fillRect(r.left, r.top, r.width, r.height);
  c.globalAlpha = isDim(f, i) ? 0.35 : 1;
  c.fillStyle = palette.dim[model.tone[i]];
  c.fillRect(r.left, whole.top, r.width, headOf(f));
  drawCanceling(f, i, r);
  c.strokeStyle = edgeOf(f, i);
  c.lineWidth = 1;
  if (model.stop[i] < 0) c.setLineDash([4, 3]);
  c.strokeRect(Math.round(r.left) + 0.5, Math.round(r.top) + 0.5, Math.max(Math.round(r.width) - 1, 1), Math.max(Math.round(r.height) - 1, 1));
  c.setLineDash([]);
  c.globalAlpha = 1;
}

// The band at the top of a box: the row of the scope itself.
const headOf = (f: Frame) => f.row - 2;

export const edgeOf = (f: Frame, i: Span): string => {
  const tone = f.store.model.tone[i];
  return tone === Tone.Failed ? f.palette.failed : tone === Tone.Canceled ? f.palette.canceled : f.palette.boxEdge;
};

/** Hatches the time after the end of a scope, in which its tasks must stop and none can start. */
export function drawCanceling(f: Frame, i: Span, r: Rect) {
  const { c, store: { model }, palette } = f;
  const cause = model.cause.get(i);
  if (!cause) return;
  const at = x(f, cause.at);
  const from = Math.max(at, r.left);
  const width = r.left + r.width - from;
  if (width >= 2) {
    c.fillStyle = isQuiet(cause) ? palette.quietHatch : palette.hatch;
    c.fillRect(from, r.top, width, r.height);
  }
  if (!isQuiet(cause) && at >= 0 && at <= f.width) {
    c.fillStyle = model.tone[i] === Tone.Failed ? palette.failed : palette.canceled;
    c.fillRect(Math.round(Math.min(at, r.left + r.width - 1)), r.top, 1, r.height);
  }
}

/** Draws the names of boxes into their first rows, in the part that is in sight. */
export function labelBoxes(f: Frame, shown: number[]) {
  const { store: { model, isNarrow } } = f;
  if (isNarrow.value) return; // there the names are above the bars
  for (const row of shown) {
    const i = f.rows.nodes[row];
    const r = rectOf(f, row);
    if (r.top + f.row < 0 || r.top > f.height) continue;
    const left = Math.max(r.left, 0);
    const cause = model.cause.get(i);
    const canceled = cause && !isQuiet(cause) ? x(f, cause.at) : Infinity;
    const end = Math.min(r.left + r.width, f.width);
    const right = canceled > left + 60 ? Math.min(end, canceled) : end; // not beyond canceled, where the arrows begin
    drawLabel(f, model.names[i] + processNote(model, i) + endNote(f, i), left + 5, r.top + (f.row - 2) / 2, right - left - 8, colorOf(f, i), true);
  }
}

export function endNote(f: Frame, i: Span): string {
  const { model } = f.store;
  const cause = model.cause.get(i);
  return cause && !isQuiet(cause) ? `  ${model.tone[i] === Tone.Failed ? '✕' : '⊘'} ${cause.kind}` : model.stop[i] < 0 ? '  … unfinished' : '';
}

const colorOf = (f: Frame, i: Span) => {
  const tone = f.store.model.tone[i];
  return tone === Tone.Failed ? f.palette.failed : tone === Tone.Canceled ? f.palette.canceled : f.palette.ink;
};
