// The state of the page: what the server has sent, and what the user has selected.

import { number } from './dom.js';

export const model = {
  state: null, // the last one that the server has sent
  selected: null, // key of a row
  filter: '', // in lower case
  folded: new Set(), // keys of rows
};

/** The parameters of the page's URL that select a part of the tree. */
export const part = new URLSearchParams(
  [...new URLSearchParams(location.search)].filter(([key]) => key === 'scope' || key === 'path'),
);

/** Returns the nodes from a root down to the first one that passes, or null. */
export function find(nodes, passes, above = []) {
  for (const node of nodes ?? []) {
    if (passes(node)) return [...above, node];
    const found = find(node.below, passes, [...above, node]);
    if (found) return found;
  }
  return null;
}

/** Says in which other process a node is, or in how many; '' if it is in this one. */
export function processesOf(node) {
  if (node.processes) return `${number(node.processes)} processes`;
  return node.pid ? `process ${node.pid}` : '';
}

const texts = new WeakMap(); // node → its textOf

/** The text of a node in which the filter searches. */
function textOf(node) {
  let text = texts.get(node);
  if (text === undefined) {
    text = [node.name, node.state, node.cause, processesOf(node), ...(node.flags ?? []), ...(node.warnings ?? [])].join(' ').toLowerCase();
    texts.set(node, text);
  }
  return text;
}

export const isOpen = (key) => model.filter !== '' || !model.folded.has(key);

/**
 * Returns an entry for each visible row. With a filter these are the nodes that it finds,
 * and, dim, the nodes above them. An entry is {key, node, parent, depth, dim}. One with
 * more: true stands for the nodes below its node that were left out.
 */
export function list() {
  const entries = [];
  const taken = new Set();
  const visit = (node, parent, depth) => {
    const at = entries.length;
    let { key } = node;
    while (taken.has(key)) key += "'";
    taken.add(key);
    const hit = textOf(node).includes(model.filter);
    const entry = { key, node, parent, depth, dim: !hit };
    entries.push(entry);
    let some = hit;
    if (isOpen(key)) {
      for (const below of node.below ?? []) some = visit(below, entry, depth + 1) || some;
      if (node.more && !model.filter) entries.push({ key: `${key}+`, node, parent: entry, depth: depth + 1, more: true });
    }
    if (!some) entries.length = at;
    return some;
  };
  for (const root of model.state.roots) visit(root, null, 0);
  return entries;
}
