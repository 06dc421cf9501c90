// Where one is: the scopes around the first row in sight that are scrolled away, as links.
import { isSpan } from './folds.ts';
import { short, type Span } from './model.ts';
import type { Store } from './store.ts';

export function Crumbs({ store, room }: { store: Store; room: number }) {
  const { rows, top, geometry, model } = store;
  const first = Math.ceil((top.value + 1) / geometry.value.row); // what is cut at the top is told here as well
  const spans: Span[] = [];
  for (let r = rows.value.up[Math.min(first, rows.value.nodes.length - 1)] ?? -1; r >= 0; r = rows.value.up[r]) {
    const node = rows.value.nodes[r];
    if (r < first && isSpan(node) && model.isScope[node]) spans.unshift(node);
  }
  if (top.value < 1 || spans.length === 0) return null;
  const shown = cut(spans.map((i) => model.names[i].length + 3), room / 6.4).map((k) => (k < 0 ? undefined : spans[k]));
  return (
    <nav class="crumbs" aria-label="Where this is" data-testid="crumbs">
      {shown.map((i, k) => <>
        {k > 0 && <span class="muted"> › </span>}
        {i === undefined ? <span class="muted">…</span> : <button class="link" title={short(model.names[i], 300)} onClick={() => { store.scroll((store.rows.value.at(i) - 1) * geometry.value.row); }}>{short(model.names[i], 40)}</button>}
      </>)}
    </nav>
  );
}

/** Returns which parts of a path fit, by index: the first, and the last ones; -1 stands for those left out. */
export function cut(lengths: number[], room: number): number[] {
  const whole = lengths.reduce((a, b) => a + Math.min(b, 43), 0);
  if (whole <= room || lengths.length < 3) return lengths.map((_, k) => k);
  const tail: number[] = [];
  let left = room - Math.min(lengths[0], 43) - 4;
  for (let k = lengths.length - 1; k > 0; k--) {
    left -= Math.min(lengths[k], 43);
    if (left < 0 && tail.length > 0) break;
    tail.unshift(k);
  }
  return tail[0] === 1 ? [0, ...tail] : [0, -1, ...tail];
}
