// One row of the tree: a scope, a task, or a group of them, with what it does beside its name.

import { make, number, setText } from './dom.js';
import { standing, warningsIn } from './fold.js';
import { isOpen } from './model.js';
import { ages, brief, now } from './time.js';
import { blockedPlaces, explanations, forOf, isBlocked, placeOf, processesOf, statesOf, stateWord, waitOf } from './words.js';

const lateAfter = 1000; // longer than streamInterval in Go, and when the lint deadline-passed warns

let serial = 0; // for element IDs

export class Row {
  constructor(entry) {
    const el = make('div', 'row');
    el.id = `row-${++serial}`;
    el.setAttribute('role', 'treeitem');
    el.dataset.key = entry.key;
    this.el = el;
    const part = (name) => el.appendChild(make('span', name));
    part('guides');
    this.twisty = part('twisty');
    this.twisty.setAttribute('aria-hidden', 'true');
    this.dot = part('dot');
    this.level = part('level');
    this.name = part('name');
    this.times = part('times');
    this.state = part('state');
    this.age = part('age');
    this.due = part('due');
    this.lints = part('lints');
    this.places = part('places');
    this.flags = part('flags');
    this.cause = part('cause');
  }

  update(entry) {
    const { node, depth, gone, more } = entry;
    const el = this.el;
    if (this.entry?.depth !== depth) {
      el.style.setProperty('--depth', depth);
      el.setAttribute('aria-level', depth + 1);
      setText(this.level, String(depth + 1));
    }
    this.entry = entry;
    el.classList.toggle('dim', Boolean(entry.dim));
    el.classList.toggle('gone', Boolean(gone));
    if (more) {
      el.classList.add('more');
      this.dot.hidden = true;
      setText(this.name, `… ${number(more)} more`);
      return;
    }
    this.updateTwisty(entry);
    el.dataset.kind = node.kind;
    el.dataset.state = worstState(node);
    el.classList.toggle('group', Boolean(node.count));
    setText(this.name, node.name);
    setText(this.times, node.count ? `×${number(gone ? 0 : node.count)}` : '');
    el.title = node.path;
    const parts = gone ? [{ text: 'ended' }] : statesOf(node).map(([state, n], i, all) => ({
      text: all.length > 1 ? `${number(n)} ${stateWord(state)}` : stateWord(state),
      className: `is-${state.replace(' ', '-')}`,
      title: explanations[state],
    }));
    this.fill(this.state, parts);
    this.state.classList.toggle('usual', !gone && parts.length === 1 && usual.has(node.state));
    // A closed row says what there is in it to warn about, and where that stands.
    const isClosed = entry.isParent && !isOpen(entry);
    this.fill(this.lints, (gone ? [] : isClosed ? warningsIn([node]) : node.warnings ?? []).map((text) => ({ text, className: `lint is-${text}` })), ' ');
    this.fillPlaces(gone ? [] : placesOf(entry, isClosed));
    this.fill(this.flags, gone ? [] : flagsOf(node).map((text) => ({ text })), ' · ');
    setText(this.cause, node.cause ?? '');
    this.tick();
  }

  updateTwisty(entry) {
    const open = isOpen(entry);
    setText(this.twisty, entry.isParent ? (open ? '▾' : '▸') : '');
    if (entry.isParent) this.el.setAttribute('aria-expanded', String(open));
    else this.el.removeAttribute('aria-expanded');
  }

  /** Sets the parts of an element: {text, className, title}. */
  fill(el, parts, separator = ', ') {
    const is = JSON.stringify(parts);
    if (el.shown === is) return;
    el.shown = is;
    el.hidden = parts.length === 0;
    el.replaceChildren(...parts.flatMap(({ text, className, title }, i) => {
      const span = make('span', className, text);
      if (title) span.title = title;
      return i ? [separator, span] : [span];
    }));
  }

  /** Sets the places: of each what is waited for, which is cut first, where, and for how long. */
  fillPlaces(places) {
    const is = JSON.stringify(places);
    if (this.places.shown === is) return;
    this.places.shown = is;
    this.places.hidden = places.length === 0;
    this.lasting = places.map((place, i) => ({ place, at: make('span', 'at'), lasted: make('span', 'lasted'), end: i < places.length - 1 ? ',' : '' }));
    this.places.replaceChildren(...this.lasting.map(({ place, at, lasted }) => {
      const el = make('span', place.blocked ? 'place blocked' : 'place');
      el.append(make('span', 'wait', (place.times ? `${number(place.times)} × ` : '') + waitOf(place)), at, lasted);
      return el;
    }));
  }

  tickPlaces() {
    for (const { place, at, lasted, end } of this.lasting ?? []) {
      const text = forOf(place);
      setText(at, (place.at ? ` at ${place.at}` : '') + (text ? ',' : end));
      setText(lasted, text && ` ${text}${end}`);
    }
  }

  /** Updates the times. */
  tick() {
    const { node, more, gone } = this.entry;
    if (more) return;
    this.tickPlaces();
    setText(this.age, gone ? '' : ages(node));
    if (!node.deadline || node.state === 'closed' || gone) {
      setText(this.due, '');
      return;
    }
    const left = Date.parse(node.deadline) - now();
    // A node that ends at its deadline is still shown until the next state comes. It must
    // not look late.
    const late = left < -lateAfter;
    const first = node.count ? 'earliest ' : ''; // not all of a group may have one
    setText(this.due, first + (late ? `${brief(-left)} late` : `${brief(left)} left`));
    this.due.className = late ? 'due late' : left < 5000 && !first ? 'due soon' : 'due';
  }
}

/** The states of which the dot says enough where there is little room. */
const usual = new Set(['open', 'finalizing', 'running']);

/** Returns the state that the dot shows: of a group the one that says most. */
function worstState(node) {
  const has = (state) => statesOf(node).some(([other]) => other === state);
  return ['given up', 'abandoned', 'canceling'].find(has) ?? node.state;
}

const flagsOf = (node) => [
  ...(processesOf(node) ? [processesOf(node)] : []),
  ...(node.flags ?? []),
  ...(node.limit ? [`limit ${number(node.limit)}`] : []),
  ...(node.waiting ? [`${number(node.waiting)} waiting for a slot`] : []),
  ...(node.unawaited?.length ? [`failed and not awaited: ${node.unawaited.join(', ')}`] : []),
];

const maxPlaces = 3; // in a row

/**
 * Returns what a node waits for, or the places where most of a group stand, and of what is
 * in a closed row. What waits for something below it says nothing: that does.
 */
function placesOf({ node, isParent }, isClosed) {
  const shown = ({ waits, at, from, for: ns }, times, isOne) => ({ waits, at, from, for: ns, times, blocked: isOne });
  if (!node.count && !isParent) return node.waits ? [shown(node, 0, isBlocked(node))] : [];
  if (!node.count && !isClosed) return [];
  const blocked = blockedPlaces([node]);
  return standing([node])
    .map((place) => shown(place, node.count || place.count > 1 ? place.count : 0, blocked.has(placeOf(place))))
    .sort((a, b) => b.blocked - a.blocked)
    .slice(0, maxPlaces);
}
