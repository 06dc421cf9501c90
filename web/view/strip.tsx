// The overview: how many tasks were alive, and the visible part, which can be dragged.
import { useEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { alarms, columns, countAlive } from './overview.ts';
import { paletteOf } from './palette.ts';
import { thousands } from './words.ts';
import type { Store } from './store.ts';

const height = 46;
const foot = 8; // below the curve: ticks for failures

export function Strip({ store }: { store: Store }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSignal(0);
  const { model } = store;
  const margin = Math.max(model.logEnd * 0.025, 20);
  const [from, to] = [-margin, model.logEnd + margin];
  const width = size.value;

  useEffect(() => {
    const measure = () => { if (!matchMedia('print').matches) size.value = box.current!.clientWidth; };
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(box.current!);
    let stop = () => {};
    const later = setTimeout(() => { stop = paintStrip(); }); // after the first frame of the picture
    return () => { clearTimeout(later); stop(); resized.disconnect(); };
  }, [store]);

  const paintStrip = () => {
    const counts = countAlive(model);
    const alarm = alarms(model);
    return store.effect(() => {
      const width = size.value;
      void store.theme.value;
      if (!canvas.current || width === 0) return;
      const ratio = devicePixelRatio;
      canvas.current.width = width * ratio;
      canvas.current.height = height * ratio;
      const c = canvas.current.getContext('2d')!;
      const palette = paletteOf(document.documentElement, c);
      c.scale(ratio, ratio);
      const most = columns(counts, from, to, Math.round(width));
      const last = Math.round(((model.logEnd - from) / (to - from)) * width);
      const base = height - foot;
      const top = (n: number) => base - ((base - 16) * n) / counts.most - 1;
      c.fillStyle = palette.alive;
      most.forEach((n, column) => { if (n > 0 && column <= last) c.fillRect(column, top(n), 1, base - top(n)); });
      c.strokeStyle = palette.muted; // the outline, by which the curve is seen where it is flat, too
      c.beginPath();
      most.forEach((n, column) => { if (column <= last) c.lineTo(column + 0.5, n > 0 ? top(n) : base); });
      c.stroke();
      c.fillStyle = palette.failed;
      let drawn = -2;
      for (const t of [...alarm.failed, ...alarm.canceled].sort((a, b) => a - b)) {
        const at = Math.round(((t - from) / (to - from)) * width);
        if (at - drawn < 3) continue;
        c.fillRect(at - 1, base + 1, 2, foot - 2);
        drawn = at;
      }
      for (const loss of model.losses) {
        c.fillStyle = palette.missing;
        c.fillRect(((loss.at - from) / (to - from)) * width - 4, 0, 8, height);
      }
      c.fillStyle = palette.muted;
      c.textBaseline = 'middle';
      c.font = `10px ${palette.font}`;
      c.fillText(counts.most === 0 ? 'no tasks' : `tasks alive, at most ${thousands(counts.most)}${drawn >= 0 ? '; failures below' : ''}`, 6, 8);
    });
  };

  const view = store.view.value;
  const place = (t: number) => ((t - from) / (to - from)) * width;
  const left = place(view.from);
  const right = Math.max(place(view.to), left + 3);

  const drag = (down: PointerEvent) => {
    if (down.button !== 0) return;
    const box = down.currentTarget as HTMLElement;
    const timeAt = (e: PointerEvent) => from + ((e.clientX - box.getBoundingClientRect().left) / width) * (to - from);
    const start = store.view.value;
    const at = timeAt(down);
    const edge = (down.target as HTMLElement).dataset.edge;
    const inside = (down.target as HTMLElement).closest('.brush') && start.to - start.from < (to - from) * 0.98;
    box.setPointerCapture(down.pointerId);
    box.onpointermove = (e) => {
      const t = timeAt(e);
      if (edge === 'left') store.move({ ...start, from: Math.min(t, start.to - 20) });
      else if (edge === 'right') store.move({ ...start, to: Math.max(t, start.from + 20) });
      else if (inside) store.move({ from: start.from + t - at, to: start.to + t - at });
      else if (Math.abs(place(t) - place(at)) > 3) store.move({ from: Math.min(t, at), to: Math.max(t, at) });
    };
    box.onpointerup = box.onpointercancel = () => { box.onpointermove = null; };
  };

  return (
    <div class="strip" ref={box} onPointerDown={drag} role="img" aria-label="Tasks alive over time, and the part of it that is shown">
      <canvas ref={canvas} style={{ width: '100%', height: `${height}px` }} />
      <div class="shade" style={{ left: 0, width: `${Math.max(left, 0)}px` }} />
      <div class="shade" style={{ left: `${right}px`, right: 0 }} />
      <div class="brush" data-testid="brush" style={{ left: `${left}px`, width: `${right - left}px` }}>
        <i data-edge="left" /><i data-edge="right" />
      </div>
    </div>
  );
}
