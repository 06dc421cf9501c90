// Search for spans by name, state and duration.
import { toneNames, type Model, type Span } from './model.ts';

export interface Query { text: string; state: '' | (typeof toneNames)[number]; longerThan: number }

export const noQuery: Query = { text: '', state: '', longerThan: 0 };

export const isEmpty = (q: Query): boolean => q.text === '' && q.state === '' && !(q.longerThan > 0);

/** Returns the spans that match the query, in the order of the tree. */
export function search(m: Model, q: Query): Span[] {
  const text = q.text.toLowerCase();
  const found: Span[] = [];
  const seen = new Map<string, boolean>();
  const has = (name: string): boolean => {
    let is = seen.get(name);
    if (is === undefined) seen.set(name, is = name.toLowerCase().includes(text));
    return is;
  };
  for (let i = 0; i < m.n; i++) {
    if (q.longerThan > 0 && m.end[i] - m.begin[i] < q.longerThan) continue;
    if (q.state !== '' && !isIn(m, i, q.state)) continue;
    if (text !== '' && !has(m.names[i])) continue;
    found.push(i);
  }
  return found;
}

/** Whether a span is in a state. Any span without an end is unfinished, also one whose tone is another. */
function isIn(m: Model, i: Span, state: (typeof toneNames)[number]): boolean {
  return state === 'unfinished' ? m.stop[i] < 0 : toneNames[m.tone[i]] === state;
}

/** Returns the next match after a span, or the one before it, going around the end. */
export function step(found: Span[], from: Span, back: boolean): Span | undefined {
  if (back) return found.findLast((i) => i < from) ?? found[found.length - 1];
  return found.find((i) => i > from) ?? found[0];
}
