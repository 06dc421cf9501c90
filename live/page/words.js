// The words for states, places and processes.

import { number } from './dom.js';
import { brief, now } from './time.js';

/** The states in the order in which a group names them. */
const states = ['open', 'finalizing', 'queued', 'running', 'canceling', 'given up', 'abandoned', 'ended', 'closed'];

/** Returns the word for a state. A scope is finalizing for most of its life, which the word must not hide. */
export const stateWord = (state) => (state === 'finalizing' ? 'open until done' : state);

export const explanations = {
  finalizing: 'Finalizing: its body has returned, or Finalize was called. It still accepts tasks, and ends when all that is awaited in it has ended.',
  'given up': 'It has not ended within its CancelTimeout after it was canceled. Its scope no longer waits for it.',
  abandoned: 'A call that Blocking no longer waits for, and that still runs.',
};

/** Returns the states of a node with how many have each, in a fixed order: [[state, n], …]. */
export function statesOf(node) {
  if (!node.states) return [[node.state, 1]];
  return Object.entries(node.states).sort(([a], [b]) => states.indexOf(a) - states.indexOf(b));
}

/** Says what is waited for, and where; '' if that is not known. The filter finds this text. */
export const placeOf = ({ waits, at }) => (at ? `${waitOf({ waits })} at ${at}` : waitOf({ waits }));

/** Says what is waited for; '' if that is not known. */
export const waitOf = ({ waits = '' }) => ({ running: 'on a processor', runnable: 'waits for a processor' }[waits] ?? waits);

/** Says for how long at least; '' if nothing is known of it. */
export function forOf({ from, for: ns }) {
  const ms = from ? now() - Date.parse(from) : (ns ?? 0) / 1e6;
  return ms < 1000 ? '' : `≥ ${brief(ms)}`;
}

/** Says in which other process a node is, or in how many; '' if it is in this one. */
export function processesOf(node) {
  if (node.processes) return `${number(node.processes)} processes`;
  return node.pid ? `process ${node.pid}` : '';
}

/** Reports whether the lint blocked has found something in a node. */
export const isBlocked = (node) => Boolean(node.warnings?.includes('blocked'));

/** Returns the places of nodes, and of those below them, in which that lint has found something. */
export function blockedPlaces(nodes, found = new Set()) {
  for (const node of nodes ?? []) {
    if (isBlocked(node) && node.waits) found.add(placeOf(node));
    blockedPlaces(node.below, found);
    blockedPlaces(node.members, found);
  }
  return found;
}
