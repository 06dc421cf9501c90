// What the page knows, and which part of it is wanted.

export const model = {
  state: null, // the last that the stream has sent
  selected: null, // key
  filter: '', // in lower case
  folded: new Set(), // keys
};

/** The query of this page, as far as it picks a part of the tree. */
export const part = new URLSearchParams(
  [...new URLSearchParams(location.search)].filter(([key]) => key === 'scope' || key === 'path'),
);

/** Returns the way from a root down to the first node that passes, or null. */
export function find(nodes, passes, above = []) {
  for (const node of nodes ?? []) {
    if (passes(node)) return [...above, node];
    const way = find(node.below, passes, [...above, node]);
    if (way) return way;
  }
  return null;
}

const texts = new WeakMap();

/** What the filter looks at. */
function textOf(node) {
  let text = texts.get(node);
  if (text === undefined) {
    text = [node.name, node.state, node.cause, ...(node.flags ?? []), ...(node.warnings ?? [])].join(' ').toLowerCase();
    texts.set(node, text);
  }
  return text;
}

export const isOpen = (key) => model.filter !== '' || !model.folded.has(key);

/**
 * Lists what is visible, a line each: with a filter what it finds, and what leads there.
 * An entry is {key, node, parent, depth, dim}; one with more stands for what was left out.
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
