// The object by which tests control the page: window.traigoView.
import type { Drawing } from './draw.ts';
import type { Store } from './store.ts';
import { textOf } from './story.ts';

export function expose(store: Store): void {
  const hook = {
    store,
    drawing: undefined as Drawing | undefined,
    get story() { return store.story.map(textOf); },
    get window() { return store.view.value; },
    get rows() { return store.rows.value.nodes; },
    get stats() { return hook.drawing?.stats; },
    get arrows() { return hook.drawing?.arrows; },
    find: (name: string): number[] => store.model.names.flatMap((n, i) => (n === name ? [i] : [])),
    select: store.select,
    place: (i: number) => hook.drawing?.place(i),
  };
  Object.assign(globalThis, { traigoView: hook });
}

export function exposeDrawing(drawing: Drawing): void {
  (globalThis as unknown as { traigoView: { drawing: Drawing } }).traigoView.drawing = drawing;
}
