// Draws a frame of the picture, from the back to the front, and finds the span at a point.
import { arrowsOf, drawArrows, drawPath, type Arrows } from './arrows.ts';
import { axisHeight, drawAxis, drawGaps, drawGrid, tickTimes } from './axis.ts';
import { drawBars, drawMarks, firstRow, firstSpan, labelBars } from './bars.ts';
import { clipped, drawBoxes, labelBoxes } from './boxes.ts';
import { chainOf } from './causes.ts';
import { rectOf, row, x, y, type Frame, type Stats } from './frame.ts';
import { none, Tone, type Span } from './model.ts';
import { paletteOf, type Palette } from './palette.ts';
import { Raster } from './raster.ts';
import type { Store } from './store.ts';

export class Drawing {
  readonly stats: Stats = { bars: 0, boxes: 0, labels: 0, arrows: 0, milliseconds: 0, frames: 0 };
  readonly arrows: Arrows;
  private readonly scopes: Int32Array;
  private readonly marked: Span[];
  private readonly raster = new Raster();
  private palette: Palette | undefined;
  private drawnWith = '';

  constructor(private readonly store: Store, private readonly canvas: HTMLCanvasElement) {
    const { model } = store;
    const all = Int32Array.from({ length: model.n }, (_, i) => i);
    this.scopes = all.filter((i) => model.isScope[i] === 1);
    this.marked = [...all.filter((i) => model.tone[i] >= Tone.Unfinished && !model.isScope[i])].sort((a, b) => model.tone[a] - model.tone[b]);
    this.arrows = arrowsOf(model, store.placed, store.causes);
  }

  frame(): Frame {
    const { store, canvas, stats } = this;
    const c = canvas.getContext('2d')!;
    const ratio = devicePixelRatio;
    const look = `${store.theme.value} ${ratio}`;
    if (!this.palette || this.drawnWith !== look) {
      this.palette = paletteOf(document.documentElement, c);
      this.drawnWith = look;
    }
    const view = store.view.value;
    const { width, height } = store.size.value;
    let onPath: Uint8Array | undefined;
    if (store.path.value.length > 0) {
      onPath = new Uint8Array(store.model.n);
      for (const p of store.path.value) for (let i = p.span; i !== none && !onPath[i]; i = store.model.parent[i]) onPath[i] = 1;
    }
    return { c, store, palette: this.palette, view, width, height, rowHeight: view.unit * row, onPath, raster: this.raster, stats };
  }

  draw(): void {
    const begin = performance.now();
    const f = this.frame();
    const { c, width, height, palette, stats } = f;
    const ratio = devicePixelRatio;
    const [w, h] = [Math.round(width * ratio), Math.round((height + axisHeight) * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) [this.canvas.width, this.canvas.height] = [w, h];
    c.setTransform(ratio, 0, 0, ratio, 0, axisHeight * ratio);
    c.textBaseline = 'middle';
    c.fillStyle = palette.background;
    c.fillRect(0, -axisHeight, width, height + axisHeight);
    stats.labels = 0;
    const times = tickTimes(f);
    drawGrid(f, times);
    const boxes = drawBoxes(f, this.scopes);
    const bars = drawBars(f);
    drawMarks(f, this.marked);
    drawArrows(f, this.arrows, this.highlighted());
    drawPath(f);
    labelBars(f, bars);
    labelBoxes(f, boxes);
    drawGaps(f);
    this.outline(f, this.store.hovered.value, 1);
    this.outline(f, this.store.selected.value, 2);
    drawAxis(f, times);
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

  private outline(f: Frame, i: Span, width: number) {
    if (i === none) return;
    const r = clipped(f, rectOf(f, i));
    f.c.strokeStyle = f.palette.accent;
    f.c.lineWidth = width;
    f.c.beginPath();
    f.c.roundRect(r.left - width / 2, r.top - width / 2, Math.max(r.width + width, 3), Math.max(r.height + width, 3), 3);
    f.c.stroke();
  }

  /** Returns the span at a point: the nearest bar, or else the innermost box. */
  hit(px: number, py: number): Span {
    const f = this.frame();
    const { model, placed } = this.store;
    const time = f.view.from + (px * (f.view.to - f.view.from)) / f.width;
    const slack = (3 * (f.view.to - f.view.from)) / f.width;
    const height = (py + f.view.top) / f.view.unit;
    let best: Span = none, distance = Infinity;
    for (let r = firstRow(placed.tops, height - row); r < placed.tops.length && placed.tops[r] <= height; r++) {
      for (let k = firstSpan(model.end, placed.spans, placed.from[r], placed.from[r + 1], time - slack); k < placed.from[r + 1]; k++) {
        const i = placed.spans[k];
        if (model.begin[i] - slack > time) break;
        const away = Math.max(model.begin[i] - time, time - model.end[i], 0);
        if (away <= slack && (away < distance || (away === distance && model.tone[i] > model.tone[best]))) [best, distance] = [i, away];
      }
    }
    if (best !== none) return best;
    for (let k = this.scopes.length - 1; k >= 0; k--) {
      const i = this.scopes[k];
      if (model.begin[i] <= time && time <= model.end[i] && placed.top[i] <= height && height < placed.top[i] + placed.height[i]) return i;
    }
    return none;
  }

  /** Whether a point inside a span is on its bar, or on the line with the name of its box. */
  isOn(i: Span, py: number): boolean {
    const f = this.frame();
    return py < y(f, this.store.placed.top[i]) + Math.max(f.rowHeight, 8);
  }

  /** Returns where a span is on the canvas. Used by tests. */
  place(i: Span) {
    const f = this.frame();
    const r = rectOf(f, i);
    return { ...r, top: r.top + axisHeight, from: x(f, this.store.model.begin[i]), row: y(f, this.store.placed.top[i]) + axisHeight };
  }
}
