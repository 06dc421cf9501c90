// The time axis: ticks, the end of the log, and the places where lines of the log are lost.
import { ticks } from 'd3-array';
import { x, type Frame } from './frame.ts';
import type { Model } from './model.ts';
import { count, tick } from './words.ts';

export const axisHeight = 22;

export function drawGrid(f: Frame, times: number[]) {
  f.c.fillStyle = f.palette.line;
  for (const t of times) f.c.fillRect(Math.round(x(f, t)), 0, 1, f.height);
}

export const tickTimes = (f: Frame): number[] => ticks(Math.max(f.view.from, 0), f.view.to, Math.max(2, f.width / 110));

/** Draws the axis onto a canvas of its own, which does not scroll. */
export function drawAxis(f: Frame, c: CanvasRenderingContext2D, times: number[]) {
  const { palette } = f;
  c.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  c.textBaseline = 'middle';
  c.fillStyle = palette.background;
  c.fillRect(0, 0, f.width, axisHeight);
  c.fillStyle = palette.line;
  c.fillRect(0, axisHeight - 1, f.width, 1);
  c.fillStyle = palette.muted;
  c.font = `10.5px ${palette.font}`;
  const step = times.length > 1 ? times[1] - times[0] : f.view.to - f.view.from;
  for (const t of times) {
    const at = x(f, t);
    if (at < f.width - 34) c.fillText(tick(t, step, f.view.to), at + 4, axisHeight / 2);
    c.fillRect(Math.round(at), axisHeight - 6, 1, 6);
  }
  const { model } = f.store;
  for (const loss of model.losses) flag(f, c, x(f, loss.at) + 9, `${loss.lines > 0 ? count(loss.lines, 'line') : 'lines'} lost`);
  if (mayGoOn(model)) flag(f, c, x(f, model.logEnd) - 4, 'the log stops', true);
}

/** Draws bands where lines are missing, and the edge where the log stops. */
export function drawGaps(f: Frame) {
  const { c, palette, store: { model } } = f;
  for (const loss of model.losses) {
    const at = x(f, loss.at);
    if (at < -200 || at > f.width + 20) continue;
    c.fillStyle = palette.missing;
    c.fillRect(at - 7, 0, 14, f.height);
  }
  if (mayGoOn(model)) {
    const at = Math.round(x(f, model.logEnd));
    if (at > f.width) return;
    c.fillStyle = palette.missing;
    c.fillRect(at + 1, 0, f.width - at, f.height);
    c.strokeStyle = palette.muted;
    c.lineWidth = 1.5;
    c.setLineDash([5, 4]);
    c.beginPath();
    c.moveTo(at + 1, 0);
    c.lineTo(at + 1, f.height);
    c.stroke();
    c.setLineDash([]);
  }
}

/** Whether something may have happened after the end: not if all processes whose logs stop short are known to have ended. */
function mayGoOn(m: Model): boolean {
  return !m.closed && (m.processes.length < 2 || m.processes.some((p) => !p.closed && p.until >= m.logEnd));
}

/** Says on the axis, where no bars are, what a place in the picture is. It is to the left of it or to the right. */
function flag(f: Frame, c: CanvasRenderingContext2D, at: number, text: string, left = false) {
  if (at < -200 || at > f.width + 20) return;
  const { palette } = f;
  c.font = `600 10.5px ${palette.font}`;
  const width = c.measureText(text).width + 10;
  const from = left ? at - width : Math.min(at, f.width - width - 2);
  const top = 2;
  c.fillStyle = palette.muted;
  c.beginPath();
  c.roundRect(from, top, width, 16, 3);
  c.fill();
  c.fillStyle = palette.background;
  c.fillText(text, from + 5, top + 8.5);
}
