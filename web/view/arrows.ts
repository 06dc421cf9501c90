// Arrows for failures and cancellations. A failure is an arrow from the task up to the top
// of its scope. The spans that the end of the scope canceled have one common line, the
// trunk, at the time of the end, with an arrowhead for each span: so five hundred arrows
// are still readable.
import type { Causes } from './causes.ts';
import { barHeight, isDim, x, y, type Frame } from './frame.ts';
import { isQuiet, none, type Model, type Span } from './model.ts';
import type { Layout } from './layout.ts';

export interface Trunk { scope: Span; at: number; quiet: boolean; canceled: Span[]; top: number; bottom: number; reach: number }
export interface Arrows { failures: { task: Span; scope: Span; at: number }[]; trunks: Trunk[] }

export function arrowsOf(m: Model, placed: Layout, causes: Causes): Arrows {
  const failures: Arrows['failures'] = [];
  for (const [scope, cause] of m.cause) {
    if (cause.by !== none) failures.push({ task: cause.by, scope, at: cause.at });
  }
  const trunks: Trunk[] = [];
  for (const [scope, canceled] of causes.canceled) {
    const cause = m.cause.get(scope)!;
    const bottom = canceled.reduce((low, v) => Math.max(low, placed.top[v]), 0);
    trunks.push({ scope, at: cause.at, quiet: isQuiet(m.cause.get(causes.origin[scope]) ?? cause), canceled, top: placed.top[scope], bottom, reach: 1 });
  }
  // The trunk of a scope is drawn to the right of the trunks of the scopes it canceled.
  const of = new Map(trunks.map((t) => [t.scope, t]));
  for (const t of trunks.sort((a, b) => b.scope - a.scope)) {
    for (const v of t.canceled) t.reach = Math.max(t.reach, Math.min(4, 1 + (of.get(v)?.reach ?? 0)));
  }
  return { failures, trunks };
}

export function drawArrows(f: Frame, arrows: Arrows, highlighted: ReadonlySet<Span>) {
  const { model } = f.store;
  let drawn = 0;
  for (const trunk of arrows.trunks) drawn += drawTrunk(f, trunk, highlighted);
  for (const { task, scope, at } of arrows.failures) {
    const quiet = isQuiet(model.cause.get(scope)!);
    if (x(f, at) < -20 || x(f, at) > f.width + 20) continue;
    drawn += drawFailure(f, task, scope, at, quiet, highlighted.has(task) && highlighted.has(scope));
  }
  f.stats.arrows = drawn;
}

function drawTrunk(f: Frame, t: Trunk, highlighted: ReadonlySet<Span>): number {
  const at = x(f, t.at);
  const top = y(f, t.top) + f.rowHeight / 2;
  const bottom = y(f, t.bottom) + barHeight(f.rowHeight) / 2;
  if (at < -20 || at > f.width + 20 || bottom < 0 || top > f.height || bottom - top < 3) return 0;
  const { c, palette, store: { model, placed } } = f;
  const isBold = highlighted.has(t.scope);
  c.globalAlpha = t.quiet ? 0.35 : isDim(f, t.scope) ? 0.35 : 1;
  c.strokeStyle = c.fillStyle = t.quiet ? palette.muted : palette.canceled;
  c.lineWidth = isBold && !t.quiet ? 2 : 1;
  const line = Math.round(at) + 0.5 + (f.rowHeight < 3 ? 0 : 1 + 6 * t.reach);
  c.beginPath();
  c.moveTo(at, top);
  c.lineTo(line, top);
  c.lineTo(line, Math.min(bottom, f.height + 9));
  c.stroke();
  let heads = 0;
  let last = -Infinity;
  if (f.rowHeight >= 3) {
    const size = Math.min(4.5, f.rowHeight / 3);
    for (const v of t.canceled) {
      const to = y(f, placed.top[v]) + (model.isScope[v] ? f.rowHeight : barHeight(f.rowHeight)) / 2;
      if (to < -9 || to > f.height + 9 || Math.abs(to - last) < 2) continue;
      last = to;
      heads++;
      const since = x(f, Math.max(model.begin[v], model.cause.get(v)?.at ?? t.at));
      const tip = since > line + size ? since : Math.min(since, line - size);
      c.beginPath();
      c.moveTo(line, to);
      c.lineTo(tip, to);
      c.stroke();
      head(c, tip, to, size, tip > line ? 'right' : 'left');
    }
  }
  c.globalAlpha = 1;
  return heads + 1;
}

function drawFailure(f: Frame, task: Span, scope: Span, at: number, quiet: boolean, isBold: boolean): number {
  const { c, palette, store: { model, placed } } = f;
  const from = y(f, placed.top[task]) + barHeight(f.rowHeight) / 2;
  const to = y(f, placed.top[scope]) + f.rowHeight * 0.75;
  if (from < 0 || to > f.height || from - to < 2) return 0;
  const line = Math.round(x(f, at)) + 0.5;
  const start = Math.min(x(f, model.end[task]), line);
  c.globalAlpha = quiet ? 0.5 : isDim(f, task) ? 0.4 : 1;
  c.strokeStyle = c.fillStyle = quiet ? palette.muted : palette.failed;
  c.lineWidth = isBold ? 3 : 2;
  const size = Math.min(6, Math.max(2.5, f.rowHeight / 3));
  c.beginPath();
  c.moveTo(start, from);
  c.lineTo(line, from);
  c.lineTo(line, to + size);
  c.stroke();
  if (f.rowHeight >= 6) {
    c.beginPath();
    c.arc(start, from, 3, 0, 7);
    c.fill();
  }
  head(c, line, to, size, 'up');
  c.globalAlpha = 1;
  return 1;
}

function head(c: CanvasRenderingContext2D, at: number, to: number, size: number, way: 'up' | 'right' | 'left') {
  c.beginPath();
  c.moveTo(at, to);
  if (way === 'up') {
    c.lineTo(at - size * 0.8, to + size * 1.4);
    c.lineTo(at + size * 0.8, to + size * 1.4);
  } else {
    const back = way === 'right' ? -1.4 : 1.4;
    c.lineTo(at + back * size, to - size * 0.8);
    c.lineTo(at + back * size, to + size * 0.8);
  }
  c.fill();
}

/** Draws the critical path: a line along the bottom of each span, with steps between spans. */
export function drawPath(f: Frame) {
  const { c, palette, store: { placed, path } } = f;
  const pieces = path.value;
  if (pieces.length === 0) return;
  c.strokeStyle = palette.critical;
  c.lineWidth = 2.5;
  c.lineJoin = 'round';
  c.beginPath();
  let first = true;
  let lastX = 0, lastY = 0;
  for (const p of pieces) {
    const left = x(f, p.from), right = x(f, p.to);
    const foot = y(f, placed.top[p.span]) + barHeight(f.rowHeight) - 1;
    if (right < -20 || left > f.width + 20) { first = true; continue; }
    if (!first && right - lastX < 0.5 && Math.abs(foot - lastY) < 0.5) continue;
    if (first) c.moveTo(Math.max(left, -20), foot); else c.lineTo(Math.max(left, -20), foot);
    c.lineTo(Math.min(right, f.width + 20), foot);
    first = false;
    lastX = right;
    lastY = foot;
  }
  c.stroke();
}

