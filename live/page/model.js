// The state of the page: what the server has sent, and what the user has selected.

import { placeOf, processesOf, stateWord } from './words.js';

export const model = {
  state: null, // the last one that the server has sent
  slots: [], // the rows that its nodes have: see slots.js
  selected: null, // key of a row
  filter: '', // in lower case
  folded: new Set(), // keys of rows that the user has folded
  opened: new Set(), // keys of groups, and of members of one, that the user has opened
};

/** The parameters of the page's URL that select a part of the tree. */
export const part = new URLSearchParams(
  [...new URLSearchParams(location.search)].filter(([key]) => ['scope', 'path', 'full'].includes(key)),
);

/** Returns the nodes from a root down to the first one that passes, or null. */
export function find(nodes, passes, above = []) {
  for (const node of nodes ?? []) {
    if (passes(node)) return [...above, node];
    const found = find(node.members ?? node.below, passes, [...above, node]);
    if (found) return found;
  }
  return null;
}

const texts = new WeakMap(); // node → its textOf

/** The text of a node in which the filter searches. */
function textOf(node) {
  let text = texts.get(node);
  if (text === undefined) {
    text = [
      node.name, node.path, node.cause, processesOf(node),
      ...Object.keys(node.states ?? { [node.state]: 1 }).flatMap((state) => [state, stateWord(state)]),
      placeOf(node), ...(node.standing ?? []).map(placeOf),
      ...(node.flags ?? []), ...(node.warnings ?? []),
    ].join('\n').toLowerCase();
    texts.set(node, text);
  }
  return text;
}

/** Reports whether a row is closed until the user opens it: that of a group, or of a member. */
export const isShut = ({ node, parent }) => Boolean(node.count || parent?.node.count);

export function isOpen(entry) {
  return model.filter !== '' || (isShut(entry) ? model.opened.has(entry.key) : !model.folded.has(entry.key));
}

/** Reports whether the filter finds all members of a closed group: the row of the group will do. */
function isFoundWhole({ key, node, dim }) {
  return model.filter !== '' && !dim && node.members?.every((member) => textOf(member).includes(model.filter)) && !model.opened.has(key);
}

/**
 * Returns an entry for each visible row. With a filter these are the nodes that it finds,
 * and, dim, the nodes above them. An entry is {key, node, parent, depth, fresh, dim, gone,
 * isParent}. One with more stands for so many nodes below its node that were left out.
 */
export function list() {
  const entries = [];
  const taken = new Set();
  const visit = (slot, parent, depth) => {
    const at = entries.length;
    let { key } = slot;
    while (taken.has(key)) key += "'"; // it is shown twice, as a part and in it
    taken.add(key);
    const { node, goneAt, fresh } = slot;
    const hit = textOf(node).includes(model.filter);
    const more = moreOf(slot);
    const entry = { key, node, parent, depth, fresh, dim: !hit, gone: goneAt > 0, isParent: slot.below.length + more > 0 };
    entries.push(entry);
    const visitAll = (slots) => slots.map((below) => visit(below, entry, depth + 1)).includes(true);
    let some = hit;
    if (isOpen(entry) && !isFoundWhole(entry)) {
      some = visitAll(slot.below) || some;
      // What is in those of a group that were left out is found in the sum of all.
      if (model.filter && !some) some = visitAll(slot.inside);
      if (more && !model.filter) entries.push({ key: `${key}+`, node, parent: entry, depth: depth + 1, more });
    }
    if (!some) entries.length = at;
    return some;
  };
  for (const slot of model.slots) visit(slot, null, 0);
  return entries;
}

/** Returns how many nodes below that of a slot were left out. */
function moreOf({ node, goneAt }) {
  if (goneAt) return 0;
  return node.count ? node.count - (node.members ?? []).length : node.more ?? 0;
}
