// The lists beside the tree: warnings, places where tasks stand, limits, and what has ended.

import { $, make, makeButton, number, point, setText } from './dom.js';
import { model } from './model.js';
import { failedOf, hasFailed } from './summary.js';
import { since } from './time.js';
import { blockedPlaces, forOf, placeOf } from './words.js';

let actions; // of the page: reveal(path, lint) and setFilter(text)

/** Shows all lists. */
export function renderSide(onClick) {
  actions = onClick;
  const { state } = model;
  renderWarnings(state);
  const blocked = blockedPlaces(state.roots);
  const places = state.places?.map((place) => ({ ...place, blocked: blocked.has(placeOf(place)) })) ?? [];
  show('places', places.sort((a, b) => b.blocked - a.blocked), placeItem);
  show('limits', [...(state.limiters ?? []), ...limitsOf(state.roots)], limitItem);
  const ended = state.ended ?? [];
  show('failed-list', ended.filter(hasFailed).sort((a, b) => (b.weight ?? 0) - (a.weight ?? 0)), endedItem);
  show('ended', ended.filter((e) => !hasFailed(e)), endedItem);
  setText($('n-failed-list'), number(failedOf(state)));
  fitSide();
}

/** Hides the column if there is nothing in it. */
export function fitSide() {
  $('side').hidden = ![...$('side').children].some((section) => !section.hidden);
}

/** Updates the times. */
export function tickSide() {
  for (const el of document.querySelectorAll('#side [data-since]')) setText(el, since(el.dataset.since));
  for (const el of document.querySelectorAll('#side [data-from]')) setText(el, forOf(el.dataset));
}

const atFirst = 8; // items of a list that are shown until the user asks for the rest
const shown = new Map(); // ID of a section → JSON of what it shows
const unfolded = new Set(); // IDs of sections that show all

/** Shows the values as items of the list in a section; none hides the section. */
function show(id, values, item) {
  const section = $(id);
  const some = unfolded.has(id) || values.length <= atFirst ? values : values.slice(0, atFirst);
  const rest = values.length - some.length;
  const text = JSON.stringify([some, rest]);
  if (shown.get(id) === text) return;
  shown.set(id, text);
  section.hidden = values.length === 0;
  const list = section.querySelector('ul');
  list.replaceChildren(...some.map(item));
  if (rest) {
    const li = list.appendChild(make('li', 'rest'));
    li.append(makeButton(`… ${number(rest)} more`, () => {
      unfolded.add(id);
      show(id, values, item);
    }));
  }
  tickSide();
}

function renderWarnings({ warnings, recheck }) {
  show('warnings', warnings, warningItem);
  setText($('recheck'), recheck ? `${number(recheck)} more may become one.` : '');
}

function warningItem(w) {
  const li = make('li', w.level);
  li.dataset.lint = w.lint;
  const head = li.appendChild(make('div'));
  head.append(make('b', '', w.count > 1 ? `${w.lint} ×${number(w.count)}` : w.lint), ` ${w.says}, for ${w.atLeast ? 'at least ' : ''}`);
  head.appendChild(make('span')).dataset.since = w.since;
  li.append(pathsOf(w.at, w.count, w), make('div', 'do', w.do));
  li.addEventListener('click', () => li.classList.toggle('open')); // on a phone, where it is cut
  return li;
}

/** Shows the warning of a lint in the list. */
export function pointAtWarning(lint) {
  const li = document.querySelector(`#warnings li[data-lint="${CSS.escape(lint)}"]`);
  if (!li) return;
  li.classList.add('open');
  point(li);
}

/**
 * Returns paths as buttons, and how many of count there are besides. Those of a warning may
 * have details, one for each.
 */
function pathsOf(paths = [], count = paths.length, { lint, details } = {}) {
  const el = make('div', details ? 'paths detailed' : 'paths');
  paths.forEach((path, i) => {
    const item = el.appendChild(make('span'));
    item.append(makeButton(path, () => actions.reveal(path, lint)));
    if (details?.[i]) item.append(' ', details[i]);
  });
  if (count > paths.length) el.append(`and ${number(count - paths.length)} more`);
  return el;
}

/** A place where tasks stand. A click shows only those. */
function placeItem(place) {
  const li = make('li', place.blocked ? 'blocked' : '');
  const text = placeOf(place);
  const button = makeButton('', () => actions.setFilter(text));
  button.title = 'Show only these';
  button.append(make('b', '', number(place.count)), ` × ${text}`);
  const age = make('span', 'age', forOf(place));
  if (place.from) age.dataset.from = place.from;
  li.append(button, make('span', 'names', (place.names ?? []).join(', ')), age);
  return li;
}

/** Returns the scopes with a limit for which spawns wait. */
function limitsOf(nodes, found = []) {
  for (const node of nodes ?? []) {
    if (node.waiting) found.push({ path: node.path, limit: node.limit, holders: node.holders, waiting: node.waiting, waiters: node.blocked });
    limitsOf(node.below, found);
  }
  return found;
}

function limitItem({ path, limit, inUse, holders, waiting, waiters }) {
  const li = make('li');
  const head = li.appendChild(make('div'));
  if (path) head.append(makeButton(path, () => actions.reveal(path)), ': ');
  head.append(make('b', '', `limit ${number(limit)}`), inUse === undefined ? '' : `, ${number(inUse)} in use`, waiting ? `, ${number(waiting)} waiting` : '');
  for (const [label, paths, count] of [['held by', holders, inUse ?? limit], ['waiting', waiters, waiting]]) {
    if (!paths?.length) continue;
    const line = li.appendChild(make('div', 'line'));
    line.append(make('span', 'label', label), pathsOf(paths, count));
  }
  return li;
}

/** Says what one scope has canceled, or at most each of several. */
const canceledBy = ({ weight, count }) => (
  `canceled ${count > 1 ? 'up to ' : ''}${number(weight)} ${weight === 1 ? 'other' : 'others'}${count > 1 ? ' each' : ''}`
);

/** Scopes that have ended: one, or several alike. */
function endedItem(e) {
  const li = make('li');
  const head = li.appendChild(make('div', 'head'));
  const path = head.appendChild(make('span', 'path', e.path));
  path.title = e.path;
  if (e.count > 1) head.append(make('span', 'times', `×${number(e.count)}`));
  if (e.weight) head.append(make('span', 'weight', canceledBy(e)));
  if (e.above) head.append(make('span', 'above', `and ${number(e.above)} ${e.above === 1 ? 'scope' : 'scopes'} above`));
  const age = head.appendChild(make('span', 'age'));
  age.dataset.since = e.ended;
  age.title = `ended ${e.ended}, opened ${e.opened}${e.first ? `, the first ended ${e.first}` : ''}`;
  if (e.err) {
    const own = `scope "${e.path}": `; // which the line above says
    const err = li.appendChild(make('div', 'err', e.err.startsWith(own) ? e.err.slice(own.length) : e.err));
    err.title = e.err;
  }
  return li;
}
