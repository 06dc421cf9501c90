// Draws a frame of the picture, from the back to the front, and finds what is at a point.
import { arrowsOf, drawArrows, drawPath, type Arrows } from './arrows.ts';
import { axisHeight, drawAxis, drawGaps, drawGrid, tickTimes } from './axis.ts';
import { drawBars, labelBars } from './bars.ts';
import { drawBoxes, labelBoxes } from './boxes.ts';
import { chainOf } from './causes.ts';
import { groupIn, isRest, isSpan, type Node } from './folds.ts';
import { clipped, rectOf, x, y, type Frame, type Stats } from './frame.ts';
import { drawGroups } from './many.ts';
import { none, Tone, type Span } from './model.ts';
import { paletteOf, type Palette } from './palette.ts';
import { Raster } from './raster.ts';
import { membersOf, type Rows } from './rows.ts';
import type { Store } from './store.ts';

export class Drawing {
  readonly stats: Stats = { rows: 0, bars: 0, boxes: 0, labels: 0, arrows: 0, milliseconds: 0, frames: 0 };
  private readonly raster = new Raster();
  private palette: Palette | undefined;
  private drawnWith = '';
  private arrowsFor: Rows | undefined;
  private drawnArrows: Arrows = { failures: [], trunks: [] };

  constructor(private readonly store: Store, private readonly canvas: HTMLCanvasElement, private readonly axis: HTMLCanvasElement) {}

  /** The arrows between the rows as they are now. */
  get arrows(): Arrows {
    const { model, causes, rows } = this.store;
    if (this.arrowsFor !== rows.value) {
      this.arrowsFor = rows.value;
      this.drawnArrows = arrowsOf(model, rows.value, causes);
    }
    return this.drawnArrows;
  }

  frame(): Frame {
    const { store, canvas, stats } = this;
    const c = canvas.getContext('2d')!;
    const look = `${store.theme.value} ${devicePixelRatio}`;
    if (!this.palette || this.drawnWith !== look) {
      this.palette = paletteOf(document.documentElement, c);
      this.drawnWith = look;
    }
    const { width, height } = store.size.value;
    const { row, bar, barTop } = store.geometry.value;
    const rows = store.rows.value;
    const top = store.top.value;
    const first = Math.min(Math.max(0, Math.floor(top / row)), rows.nodes.length);
    const last = Math.min(rows.nodes.length, Math.ceil((top + height) / row));
    return { c, store, palette: this.palette, view: store.view.value, top, width, height, row, bar, barTop, rows, first, last, onPath: store.onPath.value, raster: this.raster, stats };
  }

  draw(): void {
    const begin = performance.now();
    const f = this.frame();
    const { c, width, height, palette, stats } = f;
    fitTo(this.canvas, width, height);
    c.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    c.textBaseline = 'middle';
    c.fillStyle = palette.background;
    c.fillRect(0, 0, width, height);
    stats.labels = 0;
    stats.rows = f.last - f.first;
    const times = tickTimes(f);
    drawGrid(f, times);
    const boxes = drawBoxes(f);
    const bars = drawBars(f);
    drawGroups(f);
    drawArrows(f, this.arrows, this.highlighted());
    drawPath(f);
    labelBars(f, bars);
    labelBoxes(f, boxes);
    drawGaps(f);
    this.outline(f, this.store.hovered.value, 1);
    this.outline(f, this.store.cursor.value, 2);
    fitTo(this.axis, width, axisHeight);
    drawAxis(f, this.axis.getContext('2d')!, times);
    stats.frames++;
    stats.milliseconds = performance.now() - begin;
  }

  /** Returns the spans in the chain of causes of the selected span. Their arrows are bold. */
  private highlighted(): ReadonlySet<Span> {
    const { model, causes, selected } = this.store;
    if (selected.value === none) return new Set();
    const steps = chainOf(model, causes, selected.value).flat();
    return new Set([selected.value, ...steps.flatMap((s) => (s.span === undefined ? [] : [s.span]))]);
  }

  private outline(f: Frame, node: Node, width: number) {
    if (node === none || isRest(node)) return;
    const own = f.rows.at(node);
    const row = own < 0 && isSpan(node) ? f.rows.shownAt[node] : own;
    if (row < 0) return;
    const whole = rectOf(f, row);
    if (own < 0) { // folded: where it would be
      whole.left = x(f, this.store.model.begin[node]);
      whole.width = Math.max(x(f, this.store.model.end[node]) - whole.left, 2);
    }
    const r = clipped(f, whole);
    if (r.width <= 0 || r.height <= 0) return;
    f.c.strokeStyle = f.palette.accent;
    f.c.lineWidth = width;
    f.c.beginPath();
    f.c.roundRect(r.left - width / 2, r.top - width / 2, Math.max(r.width + width, 3), Math.max(r.height + width, 3), 3);
    f.c.stroke();
  }

  /**
   * Returns what is at a point: the node of the row there. In the row of a group it is the
   * failed member under the point, if there is one.
   */
  hit(px: number, py: number): { node: Node; isOn: boolean } {
    const f = this.frame();
    const row = Math.floor((py + f.top) / f.row);
    const node = f.rows.nodes[row];
    if (node === undefined || py < 0) return { node: none, isOn: false };
    const r = rectOf(f, row);
    const isOn = px >= r.left - 3 && px <= r.left + r.width + 3;
    if (isSpan(node) || isRest(node) || !isOn) return { node, isOn };
    const { model } = this.store;
    const time = f.view.from + (px * (f.view.to - f.view.from)) / f.width;
    const slack = (2.5 * (f.view.to - f.view.from)) / f.width;
    let best: Node = node, distance = Infinity;
    for (const i of membersOf(this.store.folds, groupIn(node), this.store.filter.value)) {
      if (model.tone[i] !== Tone.Failed) continue;
      const away = Math.max(model.begin[i] - time, time - model.end[i], 0);
      if (away <= slack && away < distance) [best, distance] = [i, away];
    }
    return { node: best, isOn };
  }

  /** Returns where a span is on the canvas: its own row, or the one in which it is folded. Used by tests. */
  place(i: Span) {
    const f = this.frame();
    const row = f.rows.shownAt[i];
    const own = f.rows.at(i) === row;
    return { ...rectOf(f, row), from: x(f, this.store.model.begin[i]), to: x(f, this.store.model.end[i]), index: row, row: y(f, row), isFolded: !own };
  }
}

function fitTo(canvas: HTMLCanvasElement, width: number, height: number) {
  const [w, h] = [Math.round(width * devicePixelRatio), Math.round(height * devicePixelRatio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
}
