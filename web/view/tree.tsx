// The log as a tree of text. Only the visible rows are in the document.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { stateOf } from './details.tsx';
import { none, processNote, short, type Span } from './model.ts';
import type { Store } from './store.ts';
import { duration } from './words.ts';

const rowHeight = 22;
const deepest = 12; // deeper levels are not indented further, to leave room for names

export function Tree({ store }: { store: Store }) {
  const box = useRef<HTMLDivElement>(null);
  const scroll = useSignal({ top: 0, height: 600 });
  const { model, rows, selected } = store;

  useEffect(() => {
    const measure = () => {
      scroll.value = { top: box.current!.scrollTop, height: box.current!.clientHeight };
      reveal();
    };
    const resized = new ResizeObserver(measure);
    resized.observe(box.current!);
    return () => resized.disconnect();
  }, []);

  const reveal = () => {
    const at = indexOf(rows.value, selected.value);
    const e = box.current;
    if (at < 0 || !e) return;
    const top = at * rowHeight;
    if (top < e.scrollTop || top + rowHeight > e.scrollTop + e.clientHeight) e.scrollTop = top - e.clientHeight * 0.3;
  };
  useEffect(() => store.effect(reveal), [store]);

  const fit = Math.ceil(scroll.value.height / rowHeight) + 12;
  const first = Math.max(0, Math.min(Math.floor(scroll.value.top / rowHeight) - 5, rows.value.length - fit)); // a filter may leave fewer rows than were scrolled past
  const shown = rows.value.slice(first, first + fit);
  const active = indexOf(rows.value, selected.value);
  return (
    <div class="tree" ref={box} role="tree" aria-label="Scopes and tasks" tabIndex={0} data-testid="tree"
      aria-activedescendant={active >= first && active < first + shown.length ? `span${selected.value}` : undefined}
      onKeyDown={(e) => treeKeys(store, e, Math.max(1, Math.floor(scroll.value.height / rowHeight) - 1))}
      onScroll={(e) => { scroll.value = { top: e.currentTarget.scrollTop, height: e.currentTarget.clientHeight }; }}>
      <div role="presentation" style={{ height: `${rows.value.length * rowHeight}px` }} class="rows">
        {shown.map((i, k) => <Row key={i} store={store} span={i} top={(first + k) * rowHeight} />)}
      </div>
      {model.n === 0 && <p class="muted empty">nothing in this log</p>}
      {model.n > 0 && rows.value.length === 0 && <p class="muted empty">no matches</p>}
    </div>
  );
}

function Row({ store, span: i, top }: { store: Store; span: Span; top: number }) {
  const { model: m, collapsed, selected, hovered, isMatch, searching } = store;
  const isParent = m.first[i] !== none;
  const isOpen = !collapsed.value.has(i);
  const state = stateOf(m, i);
  const classes = ['row', m.isScope[i] ? 'scope' : 'task', state.tone, hovered.value === i && 'hovered', searching.value && (isMatch.value[i] ? 'match' : 'dim')];
  return (
    <div id={`span${i}`} role="treeitem" class={classes.filter(Boolean).join(' ')} aria-level={m.level[i] + 1} aria-posinset={m.place[i]} aria-setsize={m.siblings[i]}
      aria-selected={selected.value === i} aria-expanded={isParent ? isOpen : undefined}
      style={{ top: `${top}px`, paddingLeft: `${6 + Math.min(m.level[i], deepest) * 13}px` }}
      onClick={() => store.select(i)} onDblClick={() => store.select(i, 'fit')} onMouseEnter={() => { hovered.value = i; }} onMouseLeave={() => { hovered.value = none; }}>
      <span class={`fold ${isParent ? (isOpen ? 'open' : 'shut') : ''}`} aria-hidden="true" onClick={(e) => { if (isParent) { e.stopPropagation(); store.setCollapsed(i, isOpen); } }} />
      <i class={`dot ${m.isScope[i] ? 'square' : ''} swatch ${state.tone}`} aria-label={state.text} role="img" />
      <span class="name" title={short(m.names[i], 300) + processNote(m, i)}>{short(m.names[i], 200)}<span class="pid">{processNote(m, i)}</span></span>
      <span class="time">{duration(m.end[i] - m.begin[i])}{m.stop[i] < 0 ? ' …' : ''}</span>
    </div>
  );
}

/** Returns the index of a span in a sorted list; -1 if it is not there. */
function indexOf(rows: Span[], span: Span): number {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle] < span) low = middle + 1; else high = middle;
  }
  return rows[low] === span ? low : -1;
}

/** Handles the keys of a tree, as ARIA describes them. */
export function treeKeys(store: Store, e: KeyboardEvent, page: number): void {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const { model: m, rows, selected, collapsed } = store;
  const list = rows.value;
  if (list.length === 0) return;
  const at = indexOf(list, selected.value);
  const i = selected.value;
  const go = (to: number) => store.select(list[Math.min(Math.max(to, 0), list.length - 1)]);
  const isOpen = at >= 0 && m.first[i] !== none && !collapsed.value.has(i);
  const keys: Record<string, () => void> = {
    ArrowDown: () => go(at + 1),
    ArrowUp: () => go(at < 0 ? 0 : at - 1),
    PageDown: () => go(at + page),
    PageUp: () => go(at - page),
    Home: () => go(0),
    End: () => go(list.length - 1),
    ArrowRight: () => {
      if (at < 0) go(0);
      else if (isOpen) go(at + 1);
      else if (m.first[i] !== none) store.setCollapsed(i, false);
    },
    ArrowLeft: () => {
      if (isOpen) store.setCollapsed(i, true);
      else if (at >= 0 && m.parent[i] !== none) store.select(m.parent[i]);
    },
    Enter: () => { if (at >= 0) store.fitTo(i); },
  };
  if (!keys[e.key]) return;
  e.preventDefault();
  e.stopPropagation();
  keys[e.key]();
}
