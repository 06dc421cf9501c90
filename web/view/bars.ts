// Bars: tasks, and scopes that are too small for a box. Bars that share a pixel are drawn
// as one, in the color of the worst of them, so that the cost of a frame depends on the
// number of pixels and not on that of spans.
import { barHeight, isBox, isDim, isReadable, row, x, y, type Frame } from './frame.ts';
import { drawLabel, widthOf } from './labels.ts';
import { isQuiet, none, processNote, scopeAbove, short, Tone, toneNames, unfinished, type Span } from './model.ts';

const crowded = 3000; // more bars than this are drawn as plain rectangles, without names

interface Bar { span: Span; left: number; right: number; top: number; dim: boolean; next: number }

export function drawBars(f: Frame): Bar[] {
  const { store: { model, placed }, view } = f;
  const buckets: number[][] = Array.from({ length: 2 * toneNames.length }, () => []);
  const large: Bar[] = [];
  const height = barHeight(f.rowHeight);
  const scale = f.width / (view.to - view.from);
  const { tops, from, spans } = placed;
  // Where several rows share a line of pixels, two of them are drawn. drawMarks shows the
  // failures in the others.
  const stride = Math.max(1, Math.floor(0.5 / Math.max(f.rowHeight, 1e-9)));
  for (let r = firstRow(tops, view.top / view.unit - row); r < tops.length; r += stride) {
    const top = y(f, tops[r]);
    if (top > f.height) break;
    let runLeft = 0, runRight = -1, runTone = 0, runDim = true;
    const flush = () => {
      if (runRight >= 0) buckets[runTone + (runDim ? toneNames.length : 0)].push(runLeft, top, Math.max(runRight - runLeft, 1));
      runRight = -1;
      runTone = 0;
      runDim = true;
    };
    for (let k = firstSpan(model.end, spans, from[r], from[r + 1], view.from); k < from[r + 1]; k++) {
      const i = spans[k];
      if (model.begin[i] > view.to) break;
      if (model.isScope[i] && isBox(f, i)) continue;
      const left = (model.begin[i] - view.from) * scale;
      const right = (model.end[i] - view.from) * scale;
      const dim = isDim(f, i);
      if (right - left >= 3) {
        flush();
        const next = k + 1 < from[r + 1] ? (model.begin[spans[k + 1]] - view.from) * scale : Infinity;
        large.push({ span: i, left, right, top, dim, next });
        continue;
      }
      if (left > runRight + 0.75) flush();
      if (runRight < 0) runLeft = left;
      runRight = Math.max(runRight, right, left + 1);
      if (!dim && runDim) runTone = 0;
      if (dim === runDim || !dim) runTone = Math.max(runTone, model.tone[i]);
      runDim &&= dim;
    }
    flush();
  }
  fill(f, buckets, large, height);
  return large;
}

/** Returns the first row at or below top. */
export function firstRow(tops: Int32Array, top: number): number {
  let low = 0, high = tops.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle] < top) low = middle + 1; else high = middle;
  }
  return low;
}

/** Returns the first span of a row that ends after time. Spans of one row do not overlap. */
export function firstSpan(end: Float64Array, spans: Int32Array, low: number, high: number, time: number): number {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (end[spans[middle]] < time) low = middle + 1; else high = middle;
  }
  return low;
}

function fill(f: Frame, buckets: number[][], large: Bar[], height: number) {
  const { c, palette, raster, store: { model } } = f;
  const plain = large.length > crowded || f.rowHeight < 8;
  if (plain) {
    for (const b of large) buckets[model.tone[b.span] + (b.dim ? toneNames.length : 0)].push(b.left, b.top, b.right - b.left - 0.5);
  }
  const small = buckets.reduce((n, rects) => n + rects.length / 3, 0);
  if (small > 0) raster.begin(f.width, f.height, devicePixelRatio);
  buckets.forEach((rects, k) => {
    const color = raster.color(k < toneNames.length ? palette.bar[k] : palette.dim[k - toneNames.length]);
    for (let n = 0; n < rects.length; n += 3) raster.fill(rects[n], rects[n + 1], rects[n + 2], height, color);
  });
  if (small > 0) raster.end(c);
  if (!plain) for (const b of large) drawBar(f, b, height);
  f.stats.bars = small + (plain ? 0 : large.length);
}

function drawBar(f: Frame, b: Bar, height: number) {
  const { c, store: { model }, palette } = f;
  const tone = model.tone[b.span];
  const left = Math.max(b.left, -6);
  const right = Math.min(b.right, f.width + 6);
  const started = startOf(f, b);
  const color = (b.dim ? palette.dim : palette.bar)[tone];
  if (started - b.left >= 2) {
    c.fillStyle = palette.dim[tone];
    c.fillRect(left, b.top + height / 2 - 1.5, Math.min(started, right) - left, 3);
  }
  const from = Math.min(Math.max(left, started), right - 1);
  c.fillStyle = tone === Tone.Lost ? palette.missing : color;
  c.beginPath();
  c.roundRect(from, b.top, Math.max(right - from, 1), height, unfinished(model, b.span) ? [3, 0, 0, 3] : 3);
  c.fill();
  drawStraggling(f, b, from, right, height);
  if (unfinished(model, b.span) && b.right <= f.width + 6) drawOpenEnd(f, right, b.top, height);
  const stuck = model.stuck.get(b.span);
  if (stuck !== undefined) drawNotch(f, x(f, stuck), b.top, height, palette.bar[Tone.Stuck]);
  let last = -Infinity;
  for (const time of model.abandoned.get(b.span) ?? []) {
    const at = Math.round(x(f, time));
    if (at === last || at < -2 || at > f.width) continue;
    drawNotch(f, at, b.top, height, palette.muted);
    last = at;
  }
  const ready = model.ready.get(b.span);
  if (ready !== undefined) drawNotch(f, x(f, ready), b.top, height, palette.background);
}

/** Returns the x at which the function of a task was called. Before, the task was queued. */
function startOf(f: Frame, b: Bar): number {
  const { model } = f.store;
  if (model.isScope[b.span]) return b.left;
  if (model.start[b.span] >= 0) return x(f, model.start[b.span]);
  return model.state[b.span] === 'queued' ? b.right : b.left;
}

/** Hatches the part of a bar after its scope was canceled. */
function drawStraggling(f: Frame, b: Bar, left: number, right: number, height: number) {
  const { model } = f.store;
  const scope = model.isScope[b.span] ? b.span : scopeAbove(model, b.span);
  const cause = model.cause.get(scope);
  if (!cause || isQuiet(cause)) return;
  const from = Math.max(left, x(f, cause.at));
  if (right - from < 3) return;
  f.c.fillStyle = f.palette.hatch;
  f.c.fillRect(from, b.top, right - from, height);
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

const glyphs = ['', '', '? ', '⊘ ', '', '! ', '✕ '];

/** Draws names into their bars, or beside them where there is more room. */
export function labelBars(f: Frame, bars: Bar[]) {
  if (!isReadable(f) || bars.length > crowded) return;
  const { store: { model, causes }, palette } = f;
  const height = barHeight(f.rowHeight);
  for (const b of bars) {
    if (b.right < 0 || b.left > f.width) continue;
    const tone = model.tone[b.span];
    const ended = tone === Tone.Failed ? causes.ended.get(b.span) : undefined;
    const text = glyphs[tone] + model.names[b.span] + processNote(model, b.span) + (ended === undefined ? '' : ` · ended ${short(model.names[ended], 40)}`);
    const start = startOf(f, b);
    const left = Math.max(start < b.right - 4 ? start : b.left, 0) + 5;
    const right = Math.min(b.right, f.width);
    const middle = b.top + height / 2;
    const inside = right - left - 3;
    const edge = model.parent[b.span] === none ? Infinity : x(f, model.end[model.parent[b.span]]);
    const outside = Math.min(b.next, edge, f.width) - b.right - 8;
    const wanted = widthOf(f, text, false);
    if (inside < Math.min(wanted, 120) && outside > Math.min(wanted, 80)) {
      const color = tone === Tone.Failed ? palette.failed : tone === Tone.Canceled ? palette.canceled : palette.muted;
      drawLabel(f, text, b.right + 5, middle, Math.min(outside, 260), b.dim ? palette.line : color);
    } else {
      drawLabel(f, text, left, middle, inside, b.dim ? palette.muted : palette.on[tone]);
    }
  }
}

/**
 * Draws marks for spans that are important, but too small to be seen as bars: those that
 * failed or were given up, and, where rows are left out, unfinished ones. The spans come
 * in the order of their tones, so that the worst is drawn last.
 */
export function drawMarks(f: Frame, marked: Span[]) {
  const { c, store: { model, placed }, palette } = f;
  const seen = new Map<number, number>();
  for (const i of marked) {
    const tone = model.tone[i];
    const at = x(f, model.end[i]);
    const top = y(f, placed.top[i]);
    if (at < 0 || at > f.width || top < -4 || top > f.height || isDim(f, i)) continue;
    if (f.rowHeight >= 4 && at - x(f, model.begin[i]) >= 3) continue;
    if (tone === Tone.Unfinished && f.rowHeight >= 0.5) continue;
    const cell = Math.round(at / 3) * 10_000 + Math.round(top / 3);
    if ((seen.get(cell) ?? -1) >= tone) continue;
    seen.set(cell, tone);
    c.fillStyle = palette.bar[tone];
    c.fillRect(at - 1.5, top - 0.5 + Math.min(f.rowHeight, 4) / 4, 3, Math.max(3, Math.min(barHeight(f.rowHeight), 6)));
  }
}
