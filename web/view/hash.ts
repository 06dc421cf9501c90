// The selection and the visible part in the hash of the URL, so that they can be bookmarked
// or sent with the file. Deliberate jumps have entries of their own in the history of the
// browser, so that Back undoes them.
import { isSpan } from './folds.ts';
import { keyOf, none, spanOf } from './model.ts';
import type { Moment, Store } from './store.ts';

export function followHash(store: Store): void {
  const { model } = store;
  const moments = new Map<number, Moment>(); // by the number of the entry, as far as it was made here
  let entry = 0;
  let written = '';

  const hashOf = ({ cursor, moved }: Moment): string => {
    const parts = new URLSearchParams();
    if (isSpan(cursor)) parts.set('s', keyOf(model, cursor));
    if (moved) parts.set('v', [moved.from, moved.to].map((n) => Number(n.toFixed(1))).join('_'));
    return `#${parts}`;
  };
  const write = () => {
    moments.set(entry, store.now());
    history.replaceState({ entry }, '', written = hashOf(store.now()));
  };
  const read = () => {
    if (location.hash === written) return;
    written = location.hash;
    const parts = new URLSearchParams(location.hash.slice(1));
    const span = parts.has('s') ? spanOf(model, parts.get('s')!) : none;
    const [from, to] = (parts.get('v') ?? '').split('_').map(Number);
    const isWindow = Number.isFinite(from) && Number.isFinite(to) && to > from;
    if (span !== store.selected.value) store.select(span, 'stay');
    if (isWindow) store.move({ from, to });
    if (span !== none) {
      if (!isWindow) store.select(span, 'show');
      store.scrollTo(span, 'middle');
    }
  };
  read();
  addEventListener('popstate', (e) => {
    const to = (e.state as { entry?: number } | null)?.entry;
    const moment = to === undefined ? undefined : moments.get(to);
    clearTimeout(timer);
    moments.set(entry, store.now());
    if (!moment) { read(); return; }
    entry = to!;
    written = location.hash;
    store.restore(moment);
  });
  addEventListener('hashchange', read);

  let timer = 0;
  store.setOnJump(() => {
    clearTimeout(timer);
    write();
    entry++;
    history.pushState({ entry }, '');
    timer = setTimeout(write, 250);
  });
  store.effect(() => {
    void [store.cursor.value, store.moved.value, store.top.value, store.open.value];
    clearTimeout(timer);
    timer = setTimeout(write, 250);
  });
}
