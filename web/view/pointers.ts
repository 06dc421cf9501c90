// What mouse, pen and fingers do in the picture.
import type { Drawing } from './draw.ts';
import { isRest, type Node } from './folds.ts';
import { none } from './model.ts';
import type { Store } from './store.ts';
import { pan, zoom } from './window.ts';

export interface Pointer { x: number; y: number; isOn: boolean } // in the bars; isOn: on one, not beside it

export function followPointers(store: Store, drawing: Drawing, sheet: HTMLElement, bars: HTMLElement, pointer: { value: Pointer }): () => void {
  const down = new Map<number, { x: number; y: number }>();
  let dragged = false;
  let last = { at: -Infinity, node: none as Node }; // the last click: the second click of a double click is on the same row, even if the rows have moved
  const local = (e: MouseEvent) => {
    const r = bars.getBoundingClientRect();
    return { x: e.clientX - r.left, y: e.clientY - r.top };
  };
  const isInside = (e: Event) => (e.target as HTMLElement).closest('.layer') !== null && !(e.target as HTMLElement).closest('.splitter');
  const nodeAt = (e: MouseEvent): { node: Node; isOn: boolean } => {
    const at = local(e);
    if (at.x >= 0 && !store.isNarrow.value) return drawing.hit(at.x, at.y);
    const row = Math.floor((at.y + store.top.value) / store.geometry.value.row);
    return { node: at.y < 0 ? none : store.rows.value.nodes[row] ?? none, isOn: false };
  };
  const on: { [K in keyof HTMLElementEventMap]?: (e: HTMLElementEventMap[K]) => void } = {
    wheel(e) {
      const at = local(e);
      const [p, w] = [store.picture.value, store.view.value];
      const lines = e.deltaMode === 1 ? 16 : 1;
      const [dx, dy] = [e.deltaX * lines, e.deltaY * lines];
      if (e.ctrlKey || e.metaKey) store.move(zoom(p, w, Math.max(at.x, 0), Math.exp(-dy * (Math.abs(dy) < 40 ? 0.01 : 0.002)))); // a pinch has small steps
      else if (e.shiftKey) store.move(pan(p, w, dx + dy));
      else if (Math.abs(dx) > Math.abs(dy)) store.move(pan(p, w, dx));
      else return; // rows scroll as in any list
      e.preventDefault();
    },
    pointerdown(e) {
      if (e.button !== 0 || !isInside(e)) return;
      down.set(e.pointerId, local(e));
      dragged = false;
    },
    pointermove(e) {
      const at = local(e);
      const from = down.get(e.pointerId);
      if (!from) {
        const found = isInside(e) && e.pointerType !== 'touch' ? nodeAt(e) : { node: none, isOn: false };
        pointer.value = { ...at, isOn: found.isOn };
        store.hovered.value = found.node;
        return;
      }
      if (!dragged && Math.hypot(at.x - from.x, at.y - from.y) < 4) return;
      if (!dragged) sheet.setPointerCapture(e.pointerId);
      dragged = true;
      store.hovered.value = none;
      const [p, w] = [store.picture.value, store.view.value];
      if (down.size === 2) {
        const other = [...down].find(([id]) => id !== e.pointerId)![1];
        const factor = Math.max(Math.abs(at.x - other.x), 8) / Math.max(Math.abs(from.x - other.x), 8);
        store.move(zoom(p, w, (at.x + other.x) / 2, factor));
      } else {
        if (at.x !== from.x) store.move(pan(p, w, from.x - at.x));
        if (e.pointerType !== 'touch') store.scroll(store.top.value + from.y - at.y); // fingers scroll by themselves
      }
      down.set(e.pointerId, at);
    },
    pointerup(e) {
      if (!down.delete(e.pointerId) || dragged) return;
      const fold = (e.target as HTMLElement).closest<HTMLElement>('[data-fold]');
      const { node } = nodeAt(e);
      if (fold || isRest(node)) {
        store.toggle(fold ? store.rows.value.nodes[Number(fold.dataset.fold)] : node);
        last = { at: -Infinity, node: none };
        return;
      }
      if (e.timeStamp - last.at > 400) last = { at: e.timeStamp, node };
      store.select(last.node, store.rows.value.at(last.node) < 0 ? 'show' : 'stay');
    },
    pointercancel(e) { down.delete(e.pointerId); },
    pointerleave() {
      store.hovered.value = none;
      pointer.value = { x: 0, y: 0, isOn: false };
    },
  };
  // At the second click the details may be where the row was: so it counts where the first one was.
  const doubleClick = (e: MouseEvent) => {
    if (e.timeStamp - last.at > 1000) return;
    if (last.node !== none) store.select(last.node, 'fit'); else if (isInside(e) && nodeAt(e).node === none) store.fitAll();
  };
  const controller = new AbortController();
  addEventListener('dblclick', doubleClick, { signal: controller.signal });
  for (const [kind, listener] of Object.entries(on)) sheet.addEventListener(kind, listener as EventListener, { signal: controller.signal, passive: false });
  return () => controller.abort();
}
