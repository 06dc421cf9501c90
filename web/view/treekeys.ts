// The keys of a tree, as ARIA describes them.
import { isRest, isSpan, type Node } from './folds.ts';
import { none } from './model.ts';
import type { Store } from './store.ts';

export function treeKeys(store: Store, e: KeyboardEvent, page: number): void {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const { rows, cursor } = store;
  const { nodes, up, at: rowOf } = rows.value;
  if (nodes.length === 0) return;
  const node: Node = cursor.value;
  const at = rowOf(node);
  const go = (to: number) => store.select(nodes[Math.min(Math.max(to, 0), nodes.length - 1)], 'show');
  const isParent = at >= 0 && !isRest(node) && (!isSpan(node) || store.model.first[node] !== none);
  const isOpen = isParent && store.isNodeOpen(node);
  const keys: Record<string, () => void> = {
    ArrowDown: () => go(at + 1),
    ArrowUp: () => go(at < 0 ? 0 : at - 1),
    PageDown: () => go(at + page),
    PageUp: () => go(at - page),
    Home: () => go(0),
    End: () => go(nodes.length - 1),
    ArrowRight: () => {
      if (at < 0) go(0);
      else if (isOpen) go(at + 1);
      else store.toggle(node, true);
    },
    ArrowLeft: () => {
      if (isOpen) store.toggle(node, false);
      else if (at >= 0 && up[at] >= 0) go(up[at]);
    },
    Enter: () => {
      if (at < 0) return;
      if (isRest(node)) store.toggle(node); else store.fitTo(node);
    },
    ' ': () => { if (isParent || isRest(node)) store.toggle(node); },
  };
  if (!keys[e.key]) return;
  e.preventDefault();
  e.stopPropagation();
  keys[e.key]();
}
