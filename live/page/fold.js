// Folding siblings of like names, as package live does in shorten.go. The server folds from
// five on; the page folds fewer where it has shown a group.

import { number } from './dom.js';
import { placeOf } from './words.js';

/** Numbers in names, as in package internal/serials: UUIDs, words of hexadecimal digits, and digits. */
const numbers = /#?(?:\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b0x[0-9a-fA-F]+\b|\b[0-9a-fA-F]{6,}\b|[0-9]+)/g;

/** Returns a name with # in place of each number. */
export const foldName = (name) => name.replace(numbers, (text) => (/[0-9]/.test(text) ? '#' : text)); // a word such as "facade" stays

/** Returns what siblings have in common that may be folded. */
export const likeOf = (node) => `${node.kind[0]}${node.pid ? '+' : ''}:${foldName(node.name)}`;

/**
 * Returns one node for siblings of like names, which are one already if the server has folded
 * them. A group whose name was "conn #" keeps it when all that are left are "conn 17".
 */
export function fold(nodes, nameBefore) {
  const nameOf = (names) => (names.size > 1 || nameBefore?.includes('#') ? foldName([...names][0]) : [...names][0]);
  const group = nodes.find((node) => node.count);
  if (group) return { ...group, name: nameOf(new Set([group.name])) };
  const by = (key) => [...nodes].sort((a, b) => Date.parse(a[key]) - Date.parse(b[key]));
  const [oldest] = by('since');
  return {
    ...oldest,
    name: nameOf(new Set(nodes.map((node) => node.name))),
    count: nodes.length,
    newest: by('since').at(-1).since,
    deadline: by('deadline').find((node) => node.deadline)?.deadline,
    states: tally(nodes, (node) => node.state),
    standing: standing(nodes),
    waits: undefined,
    from: undefined,
    for: undefined,
    at: undefined,
    waiting: nodes.reduce((sum, node) => sum + (node.waiting ?? 0), 0),
    warnings: [...new Set(nodes.flatMap((node) => node.warnings ?? []))],
    flags: (oldest.flags ?? []).filter((flag) => nodes.every((node) => node.flags?.includes(flag))),
    cause: causeOf(nodes),
    members: nodes,
    below: [],
    more: 0,
  };
}

/** Returns the first cause, with how many have it unless all do. */
function causeOf(nodes) {
  const cause = nodes.find((node) => node.cause)?.cause;
  const count = nodes.filter((node) => node.cause === cause).length;
  return cause && count < nodes.length ? `${number(count)} × ${cause}` : cause;
}

/** Returns how often each key occurs. */
function tally(nodes, keyOf) {
  const counts = {};
  for (const node of nodes) counts[keyOf(node)] = (counts[keyOf(node)] ?? 0) + 1;
  return counts;
}

/**
 * Returns where nodes stand, and what is below those that wait for it: [{waits, at, from, for,
 * count}], the most frequent place first.
 */
export function standing(nodes) {
  const places = new Map();
  const add = (place, count) => {
    const text = placeOf(place);
    const sum = places.get(text) ?? { waits: place.waits, at: place.at, for: 0, count: 0 };
    const from = [sum.from, place.from].filter(Boolean).sort((a, b) => Date.parse(a) - Date.parse(b))[0];
    places.set(text, { ...sum, from, for: Math.max(sum.for, place.for ?? 0), count: sum.count + count });
  };
  const visit = (node) => {
    if (node.count) for (const place of node.standing ?? []) add(place, place.count);
    else if (node.below?.length) node.below.forEach(visit);
    else if (node.waits) add(node, 1);
  };
  nodes.forEach(visit);
  return [...places.values()].sort((a, b) => b.count - a.count);
}

/** Returns the warnings of nodes, and of what is below them. */
export function warningsIn(nodes, found = new Set()) {
  for (const node of nodes ?? []) {
    for (const name of node.warnings ?? []) found.add(name);
    warningsIn(node.below, found);
    if (node.count) warningsIn(node.members, found); // the page itself may have folded it
  }
  return [...found];
}
