// Arrows for failures and cancellations. A failure is an arrow from the task up to the top
// of its scope. The spans that the end of the scope canceled have one common line, the
// trunk, at the time of the end, with an arrowhead for each row: so five hundred arrows
// are still readable. What is inside of something closed has its arrow at the closed row.
import type { Causes } from './causes.ts';
import { isDim, middle, x, y, type Frame } from './frame.ts';
import { isQuiet, type Model, type Span } from './model.ts';
import type { Rows } from './rows.ts';

interface Head { row: number; since: number } // the first cancellation in the row

export interface Trunk { scope: Span; row: number; at: number; quiet: boolean; canceled: Span[]; heads: Head[]; reach: number }
export interface Arrows { failures: { task: Span; scope: Span; from: number; to: number; at: number }[]; trunks: Trunk[] }

/** Returns the arrows between rows. Those inside of a closed row have none. */
export function arrowsOf(m: Model, rows: Rows, causes: Causes): Arrows {
  const failures: Arrows['failures'] = [];
  for (const [scope, cause] of m.cause) {
    if (cause.by === -1) continue;
    const [from, to] = [rows.shownAt[cause.by], rows.shownAt[scope]];
    if (from > to && to >= 0 && rows.nodes[to] === scope) failures.push({ task: cause.by, scope, from, to, at: cause.at });
  }
  const trunks: Trunk[] = [];
  for (const [scope, canceled] of causes.canceled) {
    const row = rows.shownAt[scope];
    if (rows.nodes[row] !== scope) continue;
    const cause = m.cause.get(scope)!;
    const first = new Map<number, number>();
    for (const v of canceled) {
      const to = rows.shownAt[v];
      if (to <= row) continue;
      const since = Math.max(m.begin[v], m.cause.get(v)?.at ?? cause.at);
      first.set(to, Math.min(first.get(to) ?? Infinity, since));
    }
    if (first.size === 0) continue;
    const heads = [...first].map(([row, since]) => ({ row, since })).sort((a, b) => a.row - b.row);
    trunks.push({ scope, row, at: cause.at, quiet: isQuiet(m.cause.get(causes.origin[scope]) ?? cause), canceled, heads, reach: 1 });
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
  for (const { task, scope, from, to, at } of arrows.failures) {
    if (x(f, at) < -20 || x(f, at) > f.width + 20 || from < f.first - 1 || to >= f.last) continue;
    drawn += drawFailure(f, task, from, to, at, isQuiet(model.cause.get(scope)!), highlighted.has(task) && highlighted.has(scope));
  }
  f.stats.arrows = drawn;
}

function drawTrunk(f: Frame, t: Trunk, highlighted: ReadonlySet<Span>): number {
  const at = x(f, t.at);
  const last = t.heads[t.heads.length - 1].row;
  if (at < -40 || at > f.width + 20 || last < f.first || t.row >= f.last) return 0;
  const { c, palette } = f;
  const isBold = highlighted.has(t.scope);
  c.globalAlpha = t.quiet ? 0.35 : isDim(f, t.scope) ? 0.35 : 1;
  c.strokeStyle = c.fillStyle = t.quiet ? palette.muted : palette.canceled;
  c.lineWidth = isBold && !t.quiet ? 2 : 1;
  const line = Math.round(at) + 0.5 + 1 + 6 * t.reach;
  const top = middle(f, t.row);
  c.beginPath();
  c.moveTo(at, top);
  c.lineTo(line, top);
  c.moveTo(line, Math.max(top, -9));
  c.lineTo(line, Math.min(middle(f, last), f.height + 9));
  c.stroke();
  let heads = 0;
  for (const { row, since } of t.heads) {
    if (row < f.first || row >= f.last) continue;
    heads++;
    const to = middle(f, row);
    const from = x(f, since);
    const tip = from > line + 4.5 ? from : Math.min(from, line - 4.5);
    c.beginPath();
    c.moveTo(line, to);
    c.lineTo(tip, to);
    c.stroke();
    head(c, tip, to, 4.5, tip > line ? 'right' : 'left');
  }
  c.globalAlpha = 1;
  return heads + 1;
}

function drawFailure(f: Frame, task: Span, fromRow: number, toRow: number, at: number, quiet: boolean, isBold: boolean): number {
  const { c, palette, store: { model } } = f;
  const from = Math.min(middle(f, fromRow), f.height + 20);
  const to = Math.max(y(f, toRow) + f.row * 0.75, -20);
  if (from - to < 2) return 0;
  const line = Math.round(x(f, at)) + 0.5;
  const start = Math.min(x(f, model.end[task]), line);
  c.globalAlpha = quiet ? 0.5 : isDim(f, task) ? 0.4 : 1;
  c.strokeStyle = c.fillStyle = quiet ? palette.muted : palette.failed;
  c.lineWidth = isBold ? 3 : 2;
  c.beginPath();
  c.moveTo(start, from);
  c.lineTo(line, from);
  c.lineTo(line, to + 6);
  c.stroke();
  c.beginPath();
  c.arc(start, from, 3, 0, 7);
  c.fill();
  head(c, line, to, 6, 'up');
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

/** Draws the critical path: a line along the bottom of each row, with steps between rows. */
export function drawPath(f: Frame) {
  const { c, palette, rows, store: { path } } = f;
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
    const row = rows.shownAt[p.span];
    if (row < 0 || right < -20 || left > f.width + 20) { first = true; continue; }
    const foot = Math.min(Math.max(y(f, row) + f.barTop + f.bar - 1, -20), f.height + 20);
    if (!first && right - lastX < 0.5 && Math.abs(foot - lastY) < 0.5) continue;
    if (first) c.moveTo(Math.max(left, -20), foot); else c.lineTo(Math.max(left, -20), foot);
    c.lineTo(Math.min(right, f.width + 20), foot);
    first = false;
    lastX = right;
    lastY = foot;
  }
  c.stroke();
}
