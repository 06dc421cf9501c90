// The picture: rows with their names on the left and their bars, on a canvas, on the right.
// The box that scrolls has nothing in it but its height; names and bars stay in its corner
// and are moved by the page, both in the same frame.
import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { axisHeight } from './axis.ts';
import { Crumbs } from './crumbs.tsx';
import { Drawing } from './draw.ts';
import { exposeDrawing } from './hook.ts';
import { followPointers, type Pointer } from './pointers.ts';
import { indentation, RowOf } from './row.tsx';
import { none } from './model.ts';
import { Tooltip } from './tooltip.tsx';
import { treeKeys } from './treekeys.ts';
import type { Store } from './store.ts';

export function Sheet({ store, side, setSide }: { store: Store; side: number; setSide: (to: number) => void }) {
  const { rows, geometry, top, size } = store;
  const sheet = useRef<HTMLDivElement>(null);
  const bars = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const axis = useRef<HTMLCanvasElement>(null);
  const pointer = useSignal<Pointer>({ x: 0, y: 0, isOn: false });

  useLayoutEffect(() => {
    const drawing = new Drawing(store, canvas.current!, axis.current!);
    exposeDrawing(drawing);
    const measure = () => {
      const { clientWidth: width, clientHeight: height } = bars.current!;
      if (width === 0 || matchMedia('print').matches) return;
      if (width !== store.size.value.width || height !== store.size.value.height) store.resize(width, height);
    };
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(bars.current!);
    let asked = 0;
    const paint = () => {
      asked = 0;
      drawing.draw();
      if (drawing.stats.frames === 1) performance.mark('traigo:first-frame');
    };
    const stop = store.effect(() => {
      void [store.view.value, store.top.value, store.rows.value, store.geometry.value, store.theme.value, store.cursor.value, store.hovered.value, store.matches.value, store.path.value, store.size.value];
      if (store.size.value.width > 0) asked ||= requestAnimationFrame(paint);
    });
    const scrollBack = () => { sheet.current!.scrollTop = top.value; };
    addEventListener('afterprint', scrollBack);
    const unfollow = followPointers(store, drawing, sheet.current!, bars.current!, pointer);
    return () => { stop(); unfollow(); removeEventListener('afterprint', scrollBack); resized.disconnect(); cancelAnimationFrame(asked); };
  }, [store]);

  const { row } = geometry.value;
  const all = rows.value.nodes.length;
  useLayoutEffect(() => { // after each rendering: the height of the rows has to be there before what is scrolled to
    if (Math.abs(sheet.current!.scrollTop - top.value) > 0.5) sheet.current!.scrollTop = top.value;
  });

  const first = Math.max(0, Math.min(Math.floor(top.value / row) - 2, all - 1));
  const last = Math.min(all, Math.ceil((top.value + Math.max(size.value.height, 100)) / row) + 2);
  const shown = rows.value.nodes.slice(first, last);
  const indent = indentation(rows.value, Math.floor(top.value / row), last, side || size.value.width);
  const active = rows.value.at(store.cursor.value);
  return (
    <div class="picture">
      <div class="axis">
        <div class="where" style={side > 0 ? { width: `${side}px` } : {}}><Crumbs store={store} room={side > 0 ? side : size.value.width} /></div>
        <canvas ref={axis} aria-hidden="true" style={{ width: `${size.value.width}px`, height: `${axisHeight}px` }} />
      </div>
      <div class="sheet" ref={sheet} role={all > 0 ? 'tree' : undefined} aria-label="Scopes and tasks" tabIndex={0} data-testid="tree"
        aria-activedescendant={active >= first && active < last ? `row${store.cursor.value}` : undefined}
        onKeyDown={(e) => treeKeys(store, e, Math.max(1, Math.floor(size.value.height / row) - 1))}
        onScroll={(e) => { if (!matchMedia('print').matches) top.value = e.currentTarget.scrollTop; }}>
        <div class="layer" role="presentation">
          <div class="bars" ref={bars} role="presentation" data-testid="timeline" style={{ left: `${side}px` }}>
            <canvas ref={canvas} aria-hidden="true" style={{ width: `${size.value.width}px`, height: `${size.value.height}px` }} />
          </div>
          <div class="names" role="presentation" style={side > 0 ? { width: `${side}px` } : { right: 0 }}>
            <div class="moving" role="presentation" style={{ transform: `translateY(${-top.value}px)` }}>
              {shown.map((node, k) => <RowOf key={node} store={store} node={node} row={first + k} indent={indent} />)}
            </div>
          </div>
          {side > 0 && <Splitter side={side} setSide={setSide} />}
          {store.hovered.value !== none && pointer.value.isOn && <Tooltip store={store} at={pointer.value} side={side} />}
        </div>
        <div role="presentation" style={{ height: `${Math.max(0, all * row + 8 - size.value.height)}px` }} />
        {store.model.n === 0 && <p class="muted empty">nothing in this log</p>}
        {store.model.n > 0 && all === 0 && <p class="muted empty">no matches</p>}
      </div>
    </div>
  );
}

function Splitter({ side, setSide }: { side: number; setSide: (to: number) => void }) {
  const drag = (down: PointerEvent) => {
    down.stopPropagation();
    if (down.button !== 0) return;
    const bar = down.currentTarget as HTMLElement;
    const from = side - down.clientX;
    bar.setPointerCapture(down.pointerId);
    bar.onpointermove = (e) => setSide(from + e.clientX);
    bar.onpointerup = bar.onpointercancel = () => { bar.onpointermove = null; };
  };
  return <div class="splitter" role="presentation" title="Width of the names" style={{ left: `${side}px` }} onPointerDown={drag} />;
}
