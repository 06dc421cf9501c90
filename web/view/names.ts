// The table by name: spans of one kind whose names differ at most in their digits.
import { count, foldName, type Numbers } from './folds.ts';
import type { Model, Span } from './model.ts';
import { Tone } from './model.ts';

export interface NameRow extends Numbers { key: string; name: string; isScope: boolean; failed: number; canceled: number; stopped: number }

export type Column = 'name' | 'kind' | 'count' | 'median' | 'p99' | 'longest' | 'failed' | 'unfinished' | 'canceled' | 'stopped';

export function namesOf(m: Model): NameRow[] {
  const folded = new Map<string, string>();
  const spans = new Map<string, Span[]>();
  for (let i = 0; i < m.n; i++) {
    let name = folded.get(m.names[i]);
    if (name === undefined) folded.set(m.names[i], name = foldName(m.names[i]));
    const key = (m.isScope[i] ? 's' : 't') + name;
    const same = spans.get(key);
    if (same) same.push(i); else spans.set(key, [i]);
  }
  return [...spans].map(([key, same]) => {
    const numbers = count(m, same);
    const name = same.length === 1 ? m.names[same[0]] : key.slice(1);
    return { key, name, isScope: key[0] === 's', ...numbers, failed: numbers.states[Tone.Failed], canceled: numbers.states[Tone.Canceled], stopped: numbers.states[Tone.Stopped] };
  });
}

export function sorted(rows: NameRow[], by: Column, isUp: boolean): NameRow[] {
  const value = (r: NameRow): string | number => (by === 'kind' ? Number(r.isScope) : r[by]);
  const order = (a: NameRow, b: NameRow) => {
    const [x, y] = [value(a), value(b)];
    return typeof x === 'string' ? x.localeCompare(y as string) : x - (y as number);
  };
  return [...rows].sort((a, b) => (isUp ? order(a, b) : order(b, a)) || a.name.localeCompare(b.name));
}
