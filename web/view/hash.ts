// The selection and the visible part in the hash of the URL, so that they can be bookmarked
// or sent with the file.
import { keyOf, none, spanOf } from './model.ts';
import type { Store } from './store.ts';

export function followHash(store: Store): void {
  const { model } = store;
  const read = () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    const span = parts.has('s') ? spanOf(model, parts.get('s')!) : none;
    if (span !== store.selected.value) store.select(span, 'stay');
    const [from, to, top, unit] = (parts.get('v') ?? '').split('_').map(Number);
    if ([from, to, top, unit].every(Number.isFinite) && to > from) store.move({ from, to, top, unit });
    else if (span !== none) store.select(span);
  };
  read();
  addEventListener('hashchange', read);

  let timer = 0;
  store.effect(() => {
    const parts = new URLSearchParams();
    if (store.selected.value !== none) parts.set('s', keyOf(model, store.selected.value));
    const v = store.moved.value && store.view.value;
    if (v) parts.set('v', [...[v.from, v.to].map((n) => n.toFixed(1)), ...[v.top, v.unit].map((n) => n.toPrecision(9))].map(Number).join('_'));
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, '', `#${parts}`), 250);
  });
}
