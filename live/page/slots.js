// The slots of the tree: which rows there are, and in which order. The server knows only what
// lives at a moment. The rows of a busy program must not move all the time, so:
//
//   - a slot keeps its place among its siblings, whatever the order in later states
//   - what has ended stays for a moment; a new sibling of a like name takes its slot, with
//     the slots below it
//   - siblings that were once shown as a group stay one, until the last of them has ended
//
// A slot is {key, like, node, goneAt, fresh, below, inside}: goneAt is when its node ended, 0
// while it lives; inside has the slots of what is below all of a group, below those of its
// members.

import { fold, likeOf } from './fold.js';

const linger = 2000; // ms for which a slot stays without a node
const lingerGroup = 5000; // the same for a group, whose members come and go

/**
 * Returns the slots of siblings, from those that they had before and their nodes in a new
 * state. now is the time in milliseconds; above the key of their parent.
 */
export function settle(before, nodes, now, above = '') {
  const items = itemsOf(before, nodes ?? [], above);
  const grouped = new Set(items.filter(({ node }) => node.count).map(({ like }) => like));
  const slots = place(before, items, now).filter(({ goneAt, node, like }) => (
    !goneAt || (!grouped.has(like) && now - goneAt < (node.count ? lingerGroup : linger))
  ));
  for (const slot of slots) {
    const { node, goneAt, key } = slot;
    const inside = node.count && !goneAt ? node.below : [];
    slot.below = settle(slot.below, goneAt ? [] : node.count ? node.members : node.below, now, key);
    slot.inside = settle(slot.inside, inside, now, `${key}/all`);
  }
  return slots;
}

/** Returns the nodes with their keys. Those like a group that is shown are one. */
function itemsOf(before, nodes, above) {
  const groups = new Map(before.filter(({ node }) => node.count).map(({ like, node }) => [like, node]));
  const items = new Map();
  for (const node of nodes) {
    const like = likeOf(node);
    const isGroup = node.count || groups.has(like);
    const key = isGroup ? `${above}/${like}` : node.key;
    const item = items.get(key);
    if (item && isGroup) item.nodes.push(node);
    else items.set(key, { key, like, nodes: [node], isGroup });
  }
  return [...items.values()].map(({ key, like, nodes: those, isGroup }) => (
    { key, like, node: isGroup ? fold(those, groups.get(like)?.name) : those[0] }
  ));
}

/** Returns the slots with the items in them, and with new slots after those of the items before. */
function place(before, items, now) {
  const byKey = new Map(before.map((slot) => [slot.key, slot]));
  const lives = new Set(items.map(({ key }) => key));
  const free = Map.groupBy(before.filter(({ key }) => !lives.has(key)), ({ like }) => like);
  for (const slot of before) if (!lives.has(slot.key)) slot.goneAt ||= now;
  const added = new Map(); // slot, or null for the beginning → new slots that come after it
  let last = null;
  for (const item of items) {
    let slot = byKey.get(item.key) ?? free.get(item.like)?.shift();
    if (slot) {
      if (Boolean(slot.node.count) !== Boolean(item.node.count)) slot.below = [];
      Object.assign(slot, item, { goneAt: 0, fresh: false });
      last = slot;
    } else {
      slot = { ...item, goneAt: 0, fresh: true, below: [], inside: [] };
      if (!added.has(last)) added.set(last, []);
      added.get(last).push(slot);
    }
  }
  const after = (slot) => added.get(slot) ?? [];
  return [...after(null), ...before.flatMap((slot) => [slot, ...after(slot)])];
}
