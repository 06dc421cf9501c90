// One bar for many spans: how many were alive at each time, the states in which they ended as
// shares, and what failed on top, at its own place and width.
import { groupIn, isRest, isSpan } from './folds.ts';
import { isDim, x, y, type Frame } from './frame.ts';
import { none, Tone, type Span } from './model.ts';
import { membersOf } from './rows.ts';

// From the bottom of a bar to its top.
const layers: number[] = [Tone.Ok, Tone.Stopped, Tone.Lost, Tone.Canceled, Tone.Unfinished, Tone.Stuck, Tone.Failed];
const hair = 4; // a run of columns that is narrower, in which something failed, is drawn in full height
const least = 3; // the least height of what failed in a wider run

export function drawGroups(f: Frame) {
  const { store } = f;
  f.raster.begin(f.width, f.height, devicePixelRatio);
  for (let r = f.first; r < f.last; r++) {
    const node = f.rows.nodes[r];
    if (isSpan(node) || isRest(node)) continue;
    drawMany(f, membersOf(store.folds, groupIn(node), store.filter.value), y(f, r) + f.barTop, f.bar);
    f.stats.bars++;
  }
  drawInside(f);
  f.raster.end(f.c);
}

/** Returns, by column of pixels and tone, how many of the spans are alive in it. */
export function alive(f: Pick<Frame, 'view' | 'width' | 'store'>, members: ArrayLike<Span>, isShown?: (i: Span) => boolean): { counts: Int32Array; columns: number } {
  const { begin, end, tone } = f.store.model;
  const columns = Math.max(1, Math.ceil(f.width));
  const tones = Tone.Failed + 1;
  const counts = new Int32Array(tones * (columns + 1));
  const scale = f.width / (f.view.to - f.view.from);
  const { from, to } = f.view;
  for (let k = 0; k < members.length; k++) {
    const i = members[k];
    if (end[i] < from || begin[i] > to || (isShown && !isShown(i))) continue;
    const first = Math.max(0, Math.floor((begin[i] - from) * scale));
    const last = Math.min(columns - 1, Math.max(first, Math.ceil((end[i] - from) * scale) - 1));
    const at = tone[i] * (columns + 1);
    counts[at + first]++;
    counts[at + last + 1]--;
  }
  for (let t = 0; t < tones; t++) {
    const at = t * (columns + 1);
    for (let k = 1; k <= columns; k++) counts[at + k] += counts[at + k - 1];
  }
  return { counts, columns };
}

function drawMany(f: Frame, members: ArrayLike<Span>, top: number, height: number) {
  const { raster, palette, store, onPath } = f;
  const isPart = store.searching.value || onPath !== undefined;
  if (isPart) paint(alive(f, members), true);
  paint(alive(f, members, isPart ? (i) => !isDim(f, i) : undefined), false);

  function paint({ counts, columns }: { counts: Int32Array; columns: number }, isDimmed: boolean) {
    const at = (tone: number, column: number) => counts[tone * (columns + 1) + column];
    const colors = (isDimmed ? palette.dim : palette.bar).map((color) => raster.color(color));
    let most = 1;
    const total = new Int32Array(columns);
    for (let k = 0; k < columns; k++) {
      for (const tone of layers) total[k] += at(tone, k);
      if (total[k] > most) most = total[k];
    }
    for (let k = 0; k < columns;) {
      if (total[k] === 0) { k++; continue; }
      let same = k + 1; // columns that are drawn alike are one rectangle
      while (same < columns && total[same] === total[k] && layers.every((tone) => at(tone, same) === at(tone, k))) same++;
      const full = most === 1 ? height : Math.max(height * 0.4, height * (0.4 + (0.6 * total[k]) / most));
      let foot = top + height;
      for (const tone of layers) {
        const share = (at(tone, k) / total[k]) * full;
        const part = tone === Tone.Failed && share > 0 ? Math.max(share, least) : share;
        if (part > 0) raster.fill(k, foot - part, same - k, part, colors[tone]);
        foot -= part;
      }
      k = same;
    }
    if (isDimmed) return;
    for (let k = 0; k < columns;) {
      if (at(Tone.Failed, k) === 0) { k++; continue; }
      let same = k + 1;
      while (same < columns && at(Tone.Failed, same) > 0) same++;
      if (same - k < hair) raster.fill(k, top, Math.max(same - k, 2), height, colors[Tone.Failed]);
      k = same;
    }
  }
}

/** Draws a tick at the end of each task that failed inside of a row that is closed. */
function drawInside(f: Frame) {
  const { raster, palette, rows, store: { model, failed, folds } } = f;
  const color = raster.color(palette.failed);
  const last = new Int32Array(f.last - f.first).fill(-10);
  for (const i of failed) {
    const row = rows.shownAt[i];
    if (row < f.first || row >= f.last || rows.nodes[row] === i || model.isScope[i]) continue;
    if (groupIn(rows.nodes[row]) !== none && groupIn(rows.nodes[row]) === folds.groupOf[i]) continue; // drawn as a member
    const at = Math.round(x(f, model.end[i]));
    if (at === last[row - f.first] || at < -2 || at > f.width) continue;
    raster.fill(at - 1, y(f, row) + f.barTop + f.bar - 5, 2, 5, color);
    last[row - f.first] = at;
  }
}
