// The left part of a row, or, on a narrow page, its upper part: what it is, in text.
import { groupIn, isRest, isSpan, type Node } from './folds.ts';
import { stateOf } from './details.tsx';
import { none, processNote, short, Tone, toneNames, type Span } from './model.ts';
import { membersOf, type Rows } from './rows.ts';
import type { Store } from './store.ts';
import { failureOf } from './text.ts';
import { duration, lasted, thousands } from './words.ts';

export interface Indent { base: number; step: number } // levels up to base are not indented

const widest = 13;

/**
 * Returns how far levels are indented: less for each where they are many, and only from the
 * levels in sight on where that is not enough. Then each row has the number of its level.
 */
export function indentation(rows: Rows, first: number, last: number, width: number): Indent {
  let low = Infinity, high = 0;
  for (let r = first; r < last; r++) {
    low = Math.min(low, rows.level[r] ?? low);
    high = Math.max(high, rows.level[r] ?? 0);
  }
  const room = width * 0.4;
  if (high * widest <= room) return { base: 0, step: widest };
  const base = high * 9 <= room ? 0 : Math.max(0, low - 1);
  return { base, step: Math.min(widest, Math.max(5, Math.floor(room / Math.max(high - base, 1)))) };
}

export function RowOf({ store, node, row, indent }: { store: Store; node: Node; row: number; indent: Indent }) {
  const { model: m, rows, cursor, hovered, searching } = store;
  const { level, place, size, end } = rows.value;
  const height = store.geometry.value.row;
  const isParent = isSpan(node) ? m.first[node] !== none : !isRest(node);
  const isOpen = store.isNodeOpen(node);
  const depth = Math.max(0, level[row] - indent.base);
  const matches = searching.value ? matchesIn(store, node, end[row] === row + 1) : 0;
  const isOff = store.onPath.value !== undefined && isSpan(node) && !store.onPath.value[node];
  const classes = ['row', isOff && 'dim', hovered.value === node && 'hovered', ...(isSpan(node)
    ? [m.isScope[node] ? 'scope' : 'task', toneNames[m.tone[node]], searching.value && (store.isMatch.value[node] ? 'match' : matches > 0 ? '' : 'dim')]
    : [isRest(node) ? 'rest' : 'group', searching.value && matches === 0 && 'dim'])];
  return (
    <div id={`row${node}`} data-row={row} role="treeitem" class={classes.filter(Boolean).join(' ')} aria-level={level[row] + 1} aria-posinset={place[row]} aria-setsize={size[row]}
      aria-selected={cursor.value === node} aria-expanded={isParent ? isOpen : undefined}
      style={{ top: `${row * height}px`, height: `${height}px` }}>
      <span class="guides" aria-hidden="true" style={{ width: `${depth * indent.step + 4}px`, backgroundSize: `${indent.step}px 100%` }} />
      <span class={`fold ${isParent ? (isOpen ? 'open' : 'shut') : ''}`} data-fold={isParent ? row : undefined} aria-hidden="true" />
      {indent.base > 0 && <span class="level" aria-hidden="true">{level[row]}</span>}
      {isSpan(node) ? <SpanText store={store} i={node} isClosed={end[row] === row + 1} /> : <GroupText store={store} node={node} />}
      {matches > 0 && <span class="found">{thousands(matches)} {matches === 1 ? 'match' : 'matches'}</span>}
      {isSpan(node) && <span class="time">{duration(m.end[node] - m.begin[node])}{m.stop[node] < 0 ? ' …' : ''}</span>}
    </div>
  );
}

function SpanText({ store, i, isClosed }: { store: Store; i: Span; isClosed: boolean }) {
  const { model: m } = store;
  const state = stateOf(m, i);
  const failed = isClosed ? store.failedBelow(i) : 0;
  return <>
    <i class={`dot ${m.isScope[i] ? 'square' : ''} swatch ${state.tone}`} aria-label={state.text} role="img" />
    <span class="name" title={short(m.names[i], 300) + processNote(m, i)}>{short(m.names[i], 200)}<span class="pid">{processNote(m, i)}</span></span>
    {failed > 0 && <span class="bad">{thousands(failed)} failed inside</span>}
    <span class="note">{noteOf(store, i, isClosed)}</span>
  </>;
}

/** Returns what is worth to be said of a span in its row: what it waits for, or its error, if it is not that of a row below. */
function noteOf(store: Store, i: Span, isClosed: boolean): string {
  const { model: m } = store;
  const waits = m.waits.get(i);
  if (m.tone[i] === Tone.Stuck) return waits ? `given up in ${waits}` : 'given up, did not end';
  if (m.tone[i] === Tone.Unfinished) return waits ?? '';
  if (m.tone[i] !== Tone.Failed) return '';
  const { message, from } = failureOf(m, i);
  return from === none || isClosed ? short(message, 300) : '';
}

function GroupText({ store, node }: { store: Store; node: Node }) {
  const { folds, filter, rows } = store;
  const group = folds.groups[groupIn(node)];
  const members = membersOf(folds, group.id, filter.value);
  if (isRest(node)) {
    const shown = members.reduce((n, i) => n + Number(rows.value.at(i) >= 0), 0);
    return <span class="name">… {thousands(members.length - shown)} more</span>;
  }
  const { states, median, p99, areSoFar, inside } = store.numbersOf(group.id);
  const counts = [Tone.Stuck, Tone.Unfinished, Tone.Canceled, Tone.Stopped].filter((t) => states[t] > 0).map((t) => `${thousands(states[t])} ${toneNames[t]}`);
  return <>
    <i class={`dot many swatch ${group.isScope ? 'square' : ''} ${states[Tone.Failed] > 0 ? 'failed' : ''}`} aria-label={group.isScope ? 'scopes' : 'tasks'} role="img" />
    <span class="name" title={group.name}>{short(group.name, 200)} <span class="times">× {thousands(members.length)}</span></span>
    {states[Tone.Failed] > 0 && <span class="bad">{thousands(states[Tone.Failed])} failed</span>}
    {states[Tone.Failed] === 0 && inside > 0 && <span class="bad">{thousands(inside)} failed inside</span>}
    <span class="note">{[...counts, `median ${lasted(median, areSoFar)}`, `p99 ${lasted(p99, areSoFar)}`].join(', ')}</span>
  </>;
}

/** Returns how many matches are inside of a closed row. */
function matchesIn(store: Store, node: Node, isClosed: boolean): number {
  if (isSpan(node)) return isClosed ? store.matchesBelow(node) : 0;
  const group = groupIn(node);
  const members = membersOf(store.folds, group, store.filter.value);
  let sum = 0;
  for (const i of members) if (store.rows.value.at(i) < 0) sum += store.isMatch.value[i] + store.matchesBelow(i);
  return isRest(node) || !store.open.value.groups.has(group) ? sum : 0;
}
