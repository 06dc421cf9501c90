// The tree. Its rows are changed in place, so that selection, folding and scrolling survive
// a new state.

import { $, make } from './dom.js';
import { isOpen, isShut, list, model, part } from './model.js';
import { Row } from './row.js';
import { settle } from './slots.js';

const tree = $('tree');
const rows = new Map(); // key → Row
let shown = []; // the entries of the rows
let openRow = () => {}; // see onOpen

export const rowOf = (key) => rows.get(key);
export const entryOf = (key) => shown.find((entry) => entry.key === key);

/** From now on calls open with the key of each row that the user opens. */
export function onOpen(open) {
  openRow = open;
}

/** Takes a new state, and updates the rows. */
export function renderState() {
  model.slots = settle(model.slots, model.state.roots, performance.now());
  renderTree();
}

/** Updates the rows. */
export function renderTree() {
  const first = rows.size === 0;
  shown = list();
  const keep = new Set(shown.map((e) => e.key));
  for (const [key, row] of rows) {
    if (!keep.has(key)) {
      row.el.remove();
      rows.delete(key);
    }
  }
  setStep();
  let at = tree.firstChild;
  for (const entry of shown) {
    let row = rows.get(entry.key);
    if (!row) {
      row = new Row(entry);
      rows.set(entry.key, row);
      if (!first && !model.filter && entry.fresh) row.el.classList.add('new');
    }
    row.update(entry);
    if (row.el === at) at = at.nextSibling;
    else tree.insertBefore(row.el, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
  if (shown.length === 0) {
    tree.append(make('p', 'empty', model.filter ? 'Nothing here has that in it.' : part.size ? 'What is asked for does not live now.' : 'No scope is open.'));
  }
  markSelected();
}

/** Sets how far a level is indented: less if the tree is deep, so that names have room. */
function setStep() {
  const deepest = shown.reduce((most, entry) => Math.max(most, entry.depth), 1);
  const step = Math.max(2.5, Math.min(16, (tree.clientWidth * 0.4) / deepest));
  tree.style.setProperty('--step', `${step}px`);
  tree.classList.toggle('deep', step < 8);
}
addEventListener('resize', setStep);

/** Updates the times, and removes rows that ended a while ago. */
export function tickTree() {
  for (const row of rows.values()) row.tick();
  if (shown.some((entry) => entry.gone)) renderState();
}

function markSelected() {
  const row = rows.get(model.selected);
  for (const el of tree.querySelectorAll('[aria-selected="true"]')) {
    if (el !== row?.el) el.removeAttribute('aria-selected');
  }
  row?.el.setAttribute('aria-selected', 'true');
  if (row) tree.setAttribute('aria-activedescendant', row.el.id);
  else tree.removeAttribute('aria-activedescendant');
}

export function select(key, scroll) {
  model.selected = key;
  markSelected();
  if (scroll) rows.get(key)?.el.scrollIntoView({ block: 'nearest' });
}

/** Opens a row, or closes it. */
export function setOpen(entry, open) {
  if (isShut(entry)) model.opened[open ? 'add' : 'delete'](entry.key);
  else model.folded[open ? 'delete' : 'add'](entry.key);
}

function toggle(entry, open) {
  setOpen(entry, open);
  renderTree();
}

tree.addEventListener('click', (e) => {
  const row = rows.get(e.target.closest('.row')?.dataset.key);
  if (!row) return;
  const { entry } = row;
  if (entry.more) {
    showMore(entry);
  } else if (e.target === row.twisty) {
    toggle(entry, !isOpen(entry));
  } else {
    if (entry.node.count && !isOpen(entry)) toggle(entry, true);
    openRow(entry.key);
  }
});

const maxRows = 2000; // that the page shows unfolded; of more it shows the text

/**
 * Loads the page, or the text, with the nodes that were left out. For members of a group that
 * is what is below their scope, unfolded; for others what is below their parent.
 */
function showMore({ node, parent, more }) {
  let scope = parent.parent;
  while (scope && (scope.node.kind !== 'scope' || scope.node.count)) scope = scope.parent;
  const within = node.count ? scope?.node : node.kind === 'scope' ? node : scope?.node;
  const query = new URLSearchParams(part);
  if (within && String(within.id) !== part.get('scope')) {
    query.set('scope', within.id);
    query.delete('path');
  } else if (!node.count) {
    query.set('all', '1');
    query.set('format', 'text');
  }
  if (node.count) query.set('full', '1');
  if (more > maxRows) query.set('format', 'text');
  location.search = query;
}

export function move(step) {
  const at = shown.findIndex((e) => e.key === model.selected);
  const next = shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + step))];
  if (next) select(next.key, true);
}

const keys = {
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  PageDown: () => move(20),
  PageUp: () => move(-20),
  Home: () => move(-shown.length),
  End: () => move(shown.length),
  ArrowLeft: (entry) => {
    if (entry.isParent && isOpen(entry)) toggle(entry, false);
    else if (entry.parent) select(entry.parent.key, true);
  },
  ArrowRight: (entry) => {
    if (entry.isParent && !isOpen(entry)) toggle(entry, true);
    else move(1);
  },
  Enter: (entry) => (entry.more ? showMore(entry) : openRow(entry.key)),
};

/** Handles a key, and reports whether the tree has a use for it. */
export function handleKey(key) {
  const entry = entryOf(model.selected);
  if (!keys[key] || !(entry || key.startsWith('Arrow'))) return false;
  keys[key](entry ?? { node: {} });
  return true;
}
