// The rows of the picture: which spans and groups are shown, from top to bottom.
import { fewest, groupIn, groupNode, isRest, isSpan, restNode, type Folds, type Node } from './folds.ts';
import { none, type Model, type Span } from './model.ts';

/** What is open. Of a group are shown the members that were asked for, its outliers as well, or all. */
export type Part = 'some' | 'few' | 'all';

export interface Open {
  spans: ReadonlySet<Span>;
  groups: ReadonlyMap<number, Part>;
  extra: ReadonlySet<Span>; // members that were asked for
}

export const nothingOpen: Open = { spans: new Set(), groups: new Map(), extra: new Set() };

export interface Rows {
  nodes: Node[];
  level: number[]; // 0 at the left
  up: number[]; // the row that a row is below; -1 at the left
  end: number[]; // the row after those below it
  place: number[]; size: number[]; // among the rows with the same row above, from 1
  at: (node: Node) => number; // the row of a node; -1 if it is not shown
  readonly shownAt: Int32Array; // by span: the row in which it is, itself or inside of something closed
}

/** What is searched for: only these and what they are in are shown. shut has what has been closed in spite of it. */
export interface Filter { shown: Uint8Array; matchesBelow: (i: Span) => number; shut: ReadonlySet<Span> }

export function rowsOf(m: Model, folds: Folds, open: Open, filter?: Filter): Rows {
  const nodes: Node[] = [], level: number[] = [], up: number[] = [], end: number[] = [], place: number[] = [], size: number[] = [];
  const rowOfSpan = new Int32Array(m.n).fill(-1);
  const rowOfNode = new Map<Node, number>();
  const stack: { list: ArrayLike<Node>; k: number; above: number }[] = [{ list: below(none), k: 0, above: -1 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    if (top.k === top.list.length) {
      if (top.above >= 0) end[top.above] = nodes.length;
      stack.pop();
      continue;
    }
    const node = top.list[top.k++];
    const row = nodes.length;
    nodes.push(node);
    level.push(top.above < 0 ? 0 : level[top.above] + 1);
    up.push(top.above);
    end.push(row + 1);
    place.push(top.k);
    size.push(top.list.length);
    if (isSpan(node)) rowOfSpan[node] = row; else rowOfNode.set(node, row);
    const inside = isSpan(node) ? isOpen(m, open, filter, node) && below(node) : groupRows(node);
    if (inside && inside.length > 0) stack.push({ list: inside, k: 0, above: row });
  }

  let shownAt: Int32Array | undefined; // not all rows are drawn
  return {
    nodes, level, up, end, place, size,
    get shownAt() { return shownAt ??= findAll(); },
    at: (node) => (isSpan(node) ? rowOfSpan[node] ?? -1 : rowOfNode.get(node) ?? -1),
  };

  function findAll(): Int32Array {
    const at = new Int32Array(m.n);
    for (let i = 0; i < m.n; i++) {
      at[i] = rowOfSpan[i];
      if (at[i] >= 0) continue;
      const group = folds.groupOf[i];
      const parent = m.parent[i];
      const isListed = group !== none && (parent === none || (rowOfSpan[parent] >= 0 && isOpen(m, open, filter, parent)));
      at[i] = (isListed ? rowOfNode.get(groupNode(group)) : undefined) ?? (parent === none ? -1 : at[parent]);
    }
    return at;
  }

  function below(parent: Span): Node[] {
    const list = folds.below(parent);
    if (!filter) return list;
    return list.flatMap((node) => {
      if (isSpan(node)) return filter.shown[node] ? [node] : [];
      const members = membersOf(folds, groupIn(node), filter);
      return members.length >= fewest ? [node] : [...members];
    });
  }

  function groupRows(node: Node): ArrayLike<Node> | undefined {
    const id = groupIn(node);
    const how = open.groups.get(id);
    if (isRest(node) || !how) return undefined;
    const members = membersOf(folds, id, filter);
    if (how === 'all') return members;
    const few = how === 'some' ? [] : folds.outliersOf(id).filter((i) => !filter || filter.shown[i]);
    const more = members.filter((i) => open.extra.has(i) && !few.includes(i));
    const list: Node[] = [...few, ...more];
    if (list.length < members.length) list.push(restNode(id));
    return list;
  }
}

/** Returns the members of a group that are shown, now or when it is opened. */
export function membersOf(folds: Folds, group: number, filter?: Filter): Int32Array {
  const { members } = folds.groups[group];
  return filter ? members.filter((i) => filter.shown[i]) : members;
}

export function isOpen(m: Model, open: Open, filter: Filter | undefined, i: Span): boolean {
  if (m.first[i] === none) return false;
  return filter ? filter.matchesBelow(i) > 0 && !filter.shut.has(i) : open.spans.has(i);
}

/** Returns what has to be open for a span to have a row. */
export function openWay(m: Model, folds: Folds, open: Open, span: Span): Open {
  const spans = new Set(open.spans), groups = new Map(open.groups), extra = new Set(open.extra);
  for (let i = span; i !== none; i = m.parent[i]) {
    if (i !== span) spans.add(i);
    const group = folds.group(i);
    if (group === none) continue;
    const how = groups.get(group) ?? 'some';
    groups.set(group, how);
    if (how !== 'all') extra.add(i);
  }
  return { spans, groups, extra };
}

/**
 * Returns what is open at first: the way to what the headline names, then level by level as
 * much as fits into a number of rows; a group only where all else is open.
 */
export function openAtFirst(m: Model, folds: Folds, named: Span[], room: number): Open {
  let open = nothingOpen;
  for (const i of named) open = openWay(m, folds, open, i);
  const spans = new Set(open.spans), groups = new Map(open.groups);
  const isTried = new Set<Node>();
  for (;;) {
    const rows = rowsOf(m, folds, { ...open, spans, groups });
    let left = room - rows.nodes.length;
    let opened = false;
    const byLevel = rows.nodes.map((_, r) => r).sort((a, b) => rows.level[a] - rows.level[b] || a - b);
    for (const r of byLevel) {
      const i = rows.nodes[r];
      if (!isSpan(i) || m.first[i] === none || spans.has(i) || isTried.has(i)) continue;
      const more = folds.below(i).length;
      if (more > left) { isTried.add(i); continue; }
      spans.add(i);
      left -= more;
      opened = true;
    }
    if (opened) continue;
    const next = byLevel.map((r) => rows.nodes[r]).find((node) => !isSpan(node) && !isRest(node) && groups.get(groupIn(node)) !== 'few' && folds.outliersOf(groupIn(node)).length + 1 <= left);
    if (next === undefined) return { ...open, spans, groups };
    groups.set(groupIn(next), 'few');
  }
}
