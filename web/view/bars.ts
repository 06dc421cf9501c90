// Bars: one span in a row. A task is solid, a scope without rows below it is a frame.
import { edgeOf, endNote, drawCanceling } from './boxes.ts';
import { clipped, isBox, isDim, rectOf, x, y, type Frame, type Rect } from './frame.ts';
import { isSpan } from './folds.ts';
import { drawLabel, widthOf } from './labels.ts';
import { isQuiet, none, processNote, scopeAbove, short, Tone, unfinished, type Span } from './model.ts';

/** Draws the bars of the spans in sight, and returns the rows of those that are no boxes. */
export function drawBars(f: Frame): number[] {
  const shown: number[] = [];
  for (let r = f.first; r < f.last; r++) {
    if (!isSpan(f.rows.nodes[r])) continue;
    if (!isBox(f, r)) {
      const rect = rectOf(f, r);
      if (rect.left <= f.width + 6 && rect.left + rect.width >= -6) {
        drawBar(f, f.rows.nodes[r], rect);
        shown.push(r);
      }
    }
    drawDeadline(f, r);
  }
  f.stats.bars = shown.length;
  return shown;
}

function drawBar(f: Frame, i: Span, r: Rect) {
  const { c, store: { model }, palette } = f;
  const tone = model.tone[i];
  const { left, width, top, height } = clipped(f, r);
  const right = left + width;
  const started = Math.min(Math.max(startOf(f, i), left), right);
  c.globalAlpha = isDim(f, i) ? 0.3 : 1;
  if (started - left >= 2) {
    c.fillStyle = palette.dim[tone];
    c.fillRect(left, top + height / 2 - 1.5, started - left, 3);
  }
  const from = Math.min(started, right - 2);
  const isScope = model.isScope[i] === 1;
  c.fillStyle = tone === Tone.Lost ? palette.missing : (isScope && width > 5 ? palette.dim : palette.bar)[tone];
  c.beginPath();
  c.roundRect(from, top, Math.max(right - from, 2), height, unfinished(model, i) ? [3, 0, 0, 3] : isScope ? 1 : 3);
  c.fill();
  if (isScope) {
    drawCanceling(f, i, { left: from, top, width: right - from, height });
    if (width > 5) {
      c.strokeStyle = edgeOf(f, i);
      c.lineWidth = 1;
      c.strokeRect(Math.round(from) + 0.5, top + 0.5, Math.max(Math.round(right - from) - 1, 1), height - 1);
    }
  } else {
    drawStraggling(f, i, from, right, top, height);
  }
  if (unfinished(model, i) && r.left + r.width <= f.width + 6) drawOpenEnd(f, right, top, height);
  const stuck = model.stuck.get(i);
  if (stuck !== undefined) drawNotch(f, x(f, stuck), top, height, palette.bar[Tone.Stuck]);
  let last = -Infinity;
  for (const time of model.abandoned.get(i) ?? []) {
    const at = Math.round(x(f, time));
    if (at === last || at < -2 || at > f.width) continue;
    drawNotch(f, at, top, height, palette.muted);
    last = at;
  }
  const ready = model.ready.get(i);
  if (ready !== undefined) drawNotch(f, x(f, ready), top, height, palette.background);
  c.globalAlpha = 1;
}

/** Returns the x at which the function of a task was called. Before, the task was queued. */
function startOf(f: Frame, i: Span): number {
  const { model } = f.store;
  if (model.isScope[i]) return -Infinity;
  if (model.start[i] >= 0) return x(f, model.start[i]);
  return model.state[i] === 'queued' ? Infinity : -Infinity;
}

/** Hatches the part of a bar after its scope was canceled. */
function drawStraggling(f: Frame, i: Span, left: number, right: number, top: number, height: number) {
  const { model } = f.store;
  const cause = model.cause.get(scopeAbove(model, i));
  if (!cause || isQuiet(cause)) return;
  const from = Math.max(left, x(f, cause.at));
  if (right - from < 3) return;
  f.c.fillStyle = f.palette.hatch;
  f.c.fillRect(from, top, right - from, height);
}

/** Draws a torn edge at the end of a bar whose real end is unknown. */
function drawOpenEnd(f: Frame, right: number, top: number, height: number) {
  const { c, palette } = f;
  c.fillStyle = palette.background;
  c.beginPath();
  const teeth = 3;
  c.moveTo(right + 1, top - 1);
  for (let k = 0; k < teeth; k++) {
    c.lineTo(right - 4, top + (height * (k + 0.5)) / teeth);
    c.lineTo(right + 1, top + (height * (k + 1)) / teeth);
  }
  c.fill();
}

function drawNotch(f: Frame, at: number, top: number, height: number, color: string) {
  f.c.fillStyle = color;
  f.c.fillRect(Math.round(at), top, 2, height);
}

/** Draws a small flag in the row of a scope or task at its deadline. */
function drawDeadline(f: Frame, row: number) {
  const { c, store: { model }, palette } = f;
  const i = f.rows.nodes[row];
  const deadline = model.deadline.get(i);
  const left = 3 * (f.view.to - f.view.from) / f.width; // one that was far away tells nothing
  if (deadline === undefined || deadline > model.end[i] + left || isDim(f, i)) return;
  const at = Math.round(x(f, deadline));
  if (at < -4 || at > f.width) return;
  const top = y(f, row) + f.barTop - 2;
  c.fillStyle = palette.canceled;
  c.fillRect(at, top, 1, f.bar + 3);
  c.beginPath();
  c.moveTo(at, top);
  c.lineTo(at + 5, top + 2.5);
  c.lineTo(at, top + 5);
  c.fill();
}

const glyphs = ['', '', '? ', '⊘ ', '', '! ', '✕ '];

/** Draws names into the bars, or beside them where there is more room. */
export function labelBars(f: Frame, shown: number[]) {
  const { store: { model, causes, isNarrow }, palette } = f;
  if (isNarrow.value) return; // there the names are above the bars
  for (const row of shown) {
    const i = f.rows.nodes[row];
    const r = rectOf(f, row);
    if (r.left + r.width < 0 || r.left > f.width) continue;
    const tone = model.tone[i];
    const isScope = model.isScope[i] === 1;
    const ended = tone === Tone.Failed ? causes.ended.get(i) : undefined;
    const text = isScope ? model.names[i] + processNote(model, i) + endNote(f, i)
      : glyphs[tone] + model.names[i] + processNote(model, i) + (ended === undefined ? '' : ` · ended ${short(model.names[ended], 40)}`);
    const start = startOf(f, i);
    const end = Math.min(r.left + r.width, f.width);
    const left = Math.max(start < r.left + r.width - 4 ? Math.max(start, r.left) : r.left, 0) + 5;
    const inside = end - left - 3;
    const up = model.parent[i];
    const edge = up === none ? Infinity : x(f, model.end[up]);
    const outside = Math.min(edge > r.left + r.width ? edge : Infinity, f.width) - (r.left + r.width) - 8;
    const wanted = widthOf(f, text, false);
    const at = r.top + r.height / 2;
    const dim = isDim(f, i);
    if (inside < Math.min(wanted, 120) && outside > Math.min(wanted, 80)) {
      const color = tone === Tone.Failed ? palette.failed : tone === Tone.Canceled ? palette.canceled : palette.muted;
      if (!dim) drawLabel(f, text, r.left + r.width + 5, at, Math.min(outside, 260), color);
    } else if (!dim) {
      drawLabel(f, text, left, at, inside, isScope ? (tone === Tone.Failed ? palette.failed : palette.ink) : palette.on[tone]);
    }
  }
}
