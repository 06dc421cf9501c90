// Folds: alike siblings as one row. Alike are spans of one kind below the same parent whose
// names differ at most in their digits. Neither states nor times count, so that a fold stays
// what it is while a program runs. They are computed when a parent is opened.
import { none, Tone, type Model, type Span } from './model.ts';
import { failedItself } from './text.ts';

/** A row of the picture: a span, or a group of alike siblings, or the rest of one that is not shown. */
export type Node = number;

export const fewest = 5; // alike siblings that are folded

const outliers = 10; // shown of a group that is opened, where more than these and two are in it
const notable = 7; // of them that failed, are stuck, are unfinished, or have a failure inside; the others are the slowest

export interface Group { id: number; parent: Span; name: string; isScope: boolean; members: Int32Array } // by the time of their beginning

// Spans are their own nodes. Those of groups begin below none.
export const isSpan = (node: Node): boolean => node >= 0;
export const groupNode = (group: number): Node => -2 - 2 * group;
export const restNode = (group: number): Node => -3 - 2 * group;
export const isRest = (node: Node): boolean => node < none && (-2 - node) % 2 === 1;
export const groupIn = (node: Node): number => (node < none ? (-2 - node) >> 1 : none);

const serial = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}\b|\d+/gi;

/** Returns a name in which numbers and serials are a # each. */
export const foldName = (name: string): string => name.replace(serial, '#');

export type Folds = ReturnType<typeof foldsOf>;

export function foldsOf(m: Model) {
  const groups: Group[] = [];
  const groupOf = new Int32Array(m.n).fill(none); // of spans whose parents have been asked for
  const lists = new Map<Span, Node[]>();
  const few = new Map<number, Span[]>();
  const numbers = new Map<number, Numbers>();

  const nameOf = (i: Span): string => foldName(m.names[i]);
  const keyOf = (i: Span): string => (m.isScope[i] ? 's' : 't') + nameOf(i);

  /** Returns the rows directly below a span, or the roots, each group in the place of its first member. */
  function below(parent: Span): Node[] {
    let list = lists.get(parent);
    if (list) return list;
    const alike = [new Map<string, Span[]>(), new Map<string, Span[]>()]; // of tasks, and of scopes
    for (let c = parent === none ? (m.n > 0 ? 0 : none) : m.first[parent]; c !== none; c = m.next[c]) {
      const [kind, name] = [alike[m.isScope[c]], nameOf(c)];
      const same = kind.get(name);
      if (same) same.push(c); else kind.set(name, [c]);
    }
    list = [];
    for (const same of [...alike[0].values(), ...alike[1].values()]) {
      if (same.length < fewest) { for (const i of same) list.push(i); continue; }
      const id = groups.length;
      const [first] = same;
      const name = same.every((i) => m.names[i] === m.names[first]) ? m.names[first] : nameOf(first);
      groups.push({ id, parent, name, isScope: m.isScope[first] === 1, members: Int32Array.from(same) });
      for (const i of same) groupOf[i] = id;
      list.push(groupNode(id));
    }
    const at = (node: Node) => (isSpan(node) ? node : groups[groupIn(node)].members[0]);
    list.sort((a, b) => at(a) - at(b)); // siblings are numbered in the order of their beginnings
    lists.set(parent, list);
    return list;
  }

  /** Returns the group that a span is in; none if it is in none. */
  function group(i: Span): number {
    below(m.parent[i]);
    return groupOf[i];
  }

  /** Returns the members of a group to look at first: what failed, is stuck or unfinished, or has a failure inside, then the slowest. */
  function outliersOf(id: number): Span[] {
    let list = few.get(id);
    if (list) return list;
    const { members } = groups[id];
    if (members.length <= outliers + 2) {
      list = [...members];
    } else {
      const rank = (i: Span) => Math.max(m.tone[i], Tone.Canceled); // any other has a failure inside
      const worst = members.filter((i) => m.tone[i] >= Tone.Unfinished || failedInside(m, i) > 0).sort((a, b) => rank(b) - rank(a) || m.end[a] - m.end[b]);
      list = [...worst.subarray(0, notable)];
      const slowest: Span[] = []; // of all members as many as can be needed, the slowest first
      const time = (i: Span) => m.end[i] - m.begin[i];
      for (const i of members) {
        if (slowest.length === outliers && time(i) <= time(slowest[outliers - 1])) continue;
        let at = slowest.length;
        while (at > 0 && time(slowest[at - 1]) < time(i)) at--;
        slowest.splice(at, 0, i);
        if (slowest.length > outliers) slowest.pop();
      }
      list = [...list, ...slowest.filter((i) => !list!.includes(i))].slice(0, outliers);
    }
    few.set(id, list);
    return list;
  }

  function numbersOf(id: number): Numbers {
    let found = numbers.get(id);
    if (!found) numbers.set(id, found = count(m, groups[id].members));
    return found;
  }

  return { groups, groupOf, below, group, outliersOf, numbersOf, keyOf };
}

/**
 * Times alive: the median and p99 of those that have ended, or, if none has, of the times so
 * far. These are not the whole, nor is the longest if it has not ended. States are by tone, and
 * inside is how many failed below them.
 */
export interface Numbers { count: number; median: number; p99: number; areSoFar: boolean; longest: number; isLongestSoFar: boolean; states: number[]; inside: number; unfinished: number }

/** Returns the numbers of a group. */
export function count(m: Model, members: ArrayLike<Span>): Numbers {
  const states = new Array<number>(Tone.Failed + 1).fill(0);
  const times = { ended: [] as number[], soFar: [] as number[] };
  let inside = 0, longest = 0, isLongestSoFar = false;
  for (let k = 0; k < members.length; k++) {
    states[m.tone[members[k]]]++;
    inside += failedInside(m, members[k]);
    const time = m.end[members[k]] - m.begin[members[k]], isSoFar = m.stop[members[k]] < 0;
    (isSoFar ? times.soFar : times.ended).push(time);
    if (time >= longest) [longest, isLongestSoFar] = [time, isSoFar];
  }
  const areSoFar = times.ended.length === 0;
  const sorted = Float64Array.from(areSoFar ? times.soFar : times.ended).sort();
  const at = (part: number) => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
  return { count: members.length, median: at(0.5), p99: at(0.99), areSoFar, longest, isLongestSoFar, states, inside, unfinished: times.soFar.length };
}

/** Returns how many of the spans below one failed by themselves. */
function failedInside(m: Model, i: Span): number {
  let failed = 0;
  for (let below = i + 1; below < m.after[i]; below++) if (failedItself(m, below)) failed++;
  return failed;
}
