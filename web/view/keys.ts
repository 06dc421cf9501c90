// The keys that work wherever the focus is, except in an input field.
import { none } from './model.ts';
import type { Store } from './store.ts';
import { treeKeys } from './treekeys.ts';
import { pan, zoom } from './window.ts';

const moves = /^(Arrow.*|Home|End|PageUp|PageDown)$/;

export function followKeys(store: Store): void {
  const closer = (factor: number) => {
    const p = store.picture.value;
    store.move(zoom(p, store.view.value, p.width / 2, factor));
  };
  const aside = (part: number) => store.move(pan(store.picture.value, store.view.value, part * store.picture.value.width));
  const keys: Record<string, () => void> = {
    'w': () => closer(1.4), '+': () => closer(1.4), '=': () => closer(1.4),
    's': () => closer(1 / 1.4), '-': () => closer(1 / 1.4),
    'a': () => aside(-0.15), 'd': () => aside(0.15),
    'f': () => store.fitAll(),
    'n': () => store.nextMatch(), 'p': () => store.nextMatch(true),
    'u': () => store.undo(),
    'b': () => { store.table.value = !store.table.value; },
    'c': () => { store.showPath.value = !store.showPath.value; },
    't': () => { store.chosen.value = store.theme.value === 'dark' ? 'light' : 'dark'; },
    '/': () => { const field = document.querySelector<HTMLInputElement>('#search')!; field.focus(); field.select(); },
    '?': () => { store.help.value = true; },
    'Escape': () => {
      if (store.table.value) store.table.value = false;
      else if (store.searching.value) store.find({});
      else store.select(none);
    },
  };
  addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || store.help.value) return;
    if (e.target instanceof HTMLElement && e.target.matches('input, select, textarea')) return;
    if (e.key === 'Enter' && e.target === document.body && store.searching.value) {
      store.nextMatch(e.shiftKey); // Enter again: the first one has left the search field
    } else if (keys[e.key]) {
      e.preventDefault();
      keys[e.key]();
    } else if (moves.test(e.key) && !(e.target instanceof HTMLElement && e.target.closest('.story, .details, .byname'))) { // where they scroll
      treeKeys(store, e, Math.max(1, Math.floor(store.size.value.height / store.geometry.value.row) - 1));
    }
  });
}
