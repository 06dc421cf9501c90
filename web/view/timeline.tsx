// The picture: a canvas, and how it handles pointers.
import { useLayoutEffect, useRef } from 'preact/hooks';
import { axisHeight } from './axis.ts';
import { Drawing } from './draw.ts';
import { exposeDrawing } from './hook.ts';
import { none } from './model.ts';
import { Tooltip } from './tooltip.tsx';
import type { Store } from './store.ts';
import { pan, zoom } from './window.ts';
import { useSignal } from '@preact/signals';

export function Timeline({ store }: { store: Store }) {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const pointer = useSignal({ x: 0, y: 0, onIt: false }); // onIt: on a bar or on the name of a box, not elsewhere in a box

  useLayoutEffect(() => {
    const box = frame.current!;
    const drawing = new Drawing(store, canvas.current!);
    exposeDrawing(drawing);
    const measure = () => {
      const [width, height] = [box.clientWidth, box.clientHeight - axisHeight];
      if (width !== store.size.value.width || height !== store.size.value.height) store.size.value = { width, height };
    };
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(box);
    let asked = 0;
    const paint = () => {
      asked = 0;
      drawing.draw();
      if (drawing.stats.frames === 1) performance.mark('traigo:first-frame');
    };
    const stop = store.effect(() => {
      void [store.view.value, store.theme.value, store.selected.value, store.hovered.value, store.matches.value, store.path.value, store.size.value];
      if (store.size.value.width > 0) asked ||= requestAnimationFrame(paint);
    });
    const unfollow = followPointers(store, drawing, box, pointer);
    return () => { stop(); unfollow(); resized.disconnect(); };
  }, [store]);

  const { model, placed } = store;
  const { top, unit } = store.view.value;
  const { height } = store.size.value;
  const content = placed.total * unit + 8;
  return (
    <div class="timeline" ref={frame} data-testid="timeline">
      <canvas ref={canvas} tabIndex={0} role="img" aria-label={`Time line of ${model.n} scopes and tasks; the tree has the same in text`} style={{ width: '100%', height: '100%' }} />
      {content > height + 1 && <div class="scroll" style={{ top: `${axisHeight + (top / content) * height}px`, height: `${Math.max((height / content) * height, 12)}px` }} />}
      {store.hovered.value !== none && pointer.value.onIt && <Tooltip store={store} at={pointer.value} />}
    </div>
  );
}

function followPointers(store: Store, drawing: Drawing, box: HTMLElement, pointer: { value: { x: number; y: number; onIt: boolean } }) {
  const down = new Map<number, { x: number; y: number }>();
  let dragged = false;
  let last = { at: -Infinity, span: none }; // the last click: the second click of a double click is on the same span, even if the picture has moved
  const local = (e: MouseEvent) => {
    const r = box.getBoundingClientRect();
    return { x: e.clientX - r.left, y: e.clientY - r.top - axisHeight };
  };
  const on: { [K in keyof HTMLElementEventMap]?: (e: HTMLElementEventMap[K]) => void } = {
    wheel(e) {
      e.preventDefault();
      const at = local(e);
      const [p, w] = [store.picture.value, store.view.value];
      const lines = e.deltaMode === 1 ? 16 : 1;
      const [dx, dy] = [e.deltaX * lines, e.deltaY * lines];
      if (e.shiftKey) store.move(pan(p, w, 0, dx + dy));
      else if (Math.abs(dx) > Math.abs(dy)) store.move(pan(p, w, dx, 0));
      else if (e.altKey) store.move(zoom(p, w, at.x, at.y, 1, Math.exp(-dy * 0.002)));
      else store.move(zoom(p, w, at.x, at.y, Math.exp(-dy * (e.ctrlKey ? 0.01 : 0.002))));
    },
    pointerdown(e) {
      if (e.button !== 0 || (e.target as HTMLElement).tagName !== 'CANVAS') return;
      box.setPointerCapture(e.pointerId);
      down.set(e.pointerId, local(e));
      dragged = false;
    },
    pointermove(e) {
      const at = local(e);
      const from = down.get(e.pointerId);
      if (!from) {
        const span = (e.target as HTMLElement).tagName === 'CANVAS' && at.y >= 0 ? drawing.hit(at.x, at.y) : none;
        pointer.value = { ...at, onIt: span !== none && drawing.isOn(span, at.y) };
        store.hovered.value = span;
        return;
      }
      if (!dragged && Math.hypot(at.x - from.x, at.y - from.y) < 4) return;
      dragged = true;
      store.hovered.value = none;
      const [p, w] = [store.picture.value, store.view.value];
      if (down.size === 2) {
        const other = [...down].find(([id]) => id !== e.pointerId)![1];
        const factor = Math.hypot(at.x - other.x, at.y - other.y) / Math.max(Math.hypot(from.x - other.x, from.y - other.y), 1);
        store.move(zoom(p, w, (at.x + other.x) / 2, (at.y + other.y) / 2, factor));
      } else {
        store.move(pan(p, w, from.x - at.x, from.y - at.y));
      }
      down.set(e.pointerId, at);
    },
    pointerup(e) {
      if (down.delete(e.pointerId) && !dragged) {
        const at = local(e);
        if (e.timeStamp - last.at > 400) last = { at: e.timeStamp, span: at.y >= 0 ? drawing.hit(at.x, at.y) : none };
        store.select(last.span, 'stay');
      }
    },
    pointercancel(e) { down.delete(e.pointerId); },
    pointerleave() {
      store.hovered.value = none;
      pointer.value = { x: 0, y: 0, onIt: false };
    },
    dblclick() {
      if (last.span === none) store.fitAll(); else store.select(last.span, 'fit');
    },
  };
  const controller = new AbortController();
  for (const [kind, listener] of Object.entries(on)) box.addEventListener(kind, listener as EventListener, { signal: controller.signal, passive: false });
  return () => controller.abort();
}
