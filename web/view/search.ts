// Search for spans by name, path, error, state and duration.
import type { Causes } from './causes.ts';
import { foldName } from './folds.ts';
import { none, scopeAbove, toneNames, type Model, type Span, type Word } from './model.ts';
import { count } from './words.ts';

/**
 * alike is a name with its digits folded, as in the table, after an s for scopes and a t for
 * tasks. counted are the spans that a number in the story counts, with what they are.
 */
export interface Query { text: string; state: '' | (typeof toneNames)[number]; longerThan: number; alike: string; counted?: { what: string; spans: ReadonlySet<Span> } }

export const noQuery: Query = { text: '', state: '', longerThan: 0, alike: '' };

export const isEmpty = (q: Query): boolean => q.text === '' && q.state === '' && !(q.longerThan > 0) && q.alike === '' && !q.counted;

/** Returns the query for what a word of the story counts. */
export function queryOf(m: Model, causes: Causes, word: Word): Partial<Query> {
  const { find, of } = word;
  if (!find || !of) return { state: find ?? '' };
  if (find !== 'canceled') return { counted: { what: word.text, spans: new Set(of) } };
  const because = of.length === 1 ? `because of ${m.names[of[0]]}` : `in ${count(of.length, 'failure')}`;
  return { counted: { what: `canceled ${because}`, spans: new Set(of.flatMap((scope) => causes.toll(scope))) } };
}

/** Returns the spans that match the query, in the order of the tree. */
export function search(m: Model, q: Query): Span[] {
  const parts = q.text.toLowerCase().split('/');
  const last = parts.length - 1;
  const has = remembered((name) => (last > 0 ? name.toLowerCase().startsWith(parts[last]) : name.toLowerCase().includes(parts[0])));
  const tells = remembered((err) => err !== '' && withoutPlaces(err).toLowerCase().includes(q.text.toLowerCase()));
  const folded = remembered(foldName);
  const found: Span[] = [];
  for (let i = 0; i < m.n; i++) {
    if (q.counted && !q.counted.spans.has(i)) continue;
    if (q.longerThan > 0 && m.end[i] - m.begin[i] < q.longerThan) continue;
    if (q.state !== '' && !isIn(m, i, q.state)) continue;
    if (q.alike !== '' && (m.isScope[i] ? 's' : 't') + folded(m.names[i]) !== q.alike) continue;
    if (q.text !== '' && !(has(m.names[i]) && isBelow(m, i, parts)) && !tells(m.err[i])) continue;
    found.push(i);
  }
  return found;
}

/** Whether the names of the scopes above a span end in all but the last part of a path. */
function isBelow(m: Model, i: Span, parts: string[]): boolean {
  let up = i;
  for (let k = parts.length - 2; k >= 0; k--) {
    up = scopeAbove(m, up);
    if (up === none) return k === 0 && parts[0] === ''; // a path that begins with / begins at a root
    const name = m.names[up].toLowerCase();
    if (k > 0 ? name !== parts[k] : !name.endsWith(parts[0])) return false;
  }
  return true;
}

// An error also says where it was: that would be found in whatever is called so.
const withoutPlaces = (err: string): string => err.replace(/(scope|task) "(?:[^"\\]|\\.)*"|"[^"/]*\/[^"]*"(?= timed out)/g, '');

function remembered<T>(fn: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    let value = known.get(text);
    if (value === undefined) known.set(text, value = fn(text));
    return value;
  };
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
