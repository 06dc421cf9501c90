// The tree. Its rows are changed in place, so that selection, folding and scrolling survive
// a new state.

import { $, make } from './dom.js';
import { list, model, part } from './model.js';
import { Row } from './row.js';

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

/** Updates the rows to the state. */
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
  let at = tree.firstChild;
  for (const entry of shown) {
    let row = rows.get(entry.key);
    if (!row) {
      row = new Row(entry);
      rows.set(entry.key, row);
      if (!first && !model.filter) row.el.classList.add('new');
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

/** Updates the times. */
export function tickTree() {
  for (const row of rows.values()) row.tick();
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

function toggle(key, fold) {
  if (fold) model.folded.add(key);
  else model.folded.delete(key);
  renderTree();
}

tree.addEventListener('click', (e) => {
  const row = rows.get(e.target.closest('.row')?.dataset.key);
  if (!row) return;
  const { key, node, more } = row.entry;
  if (more) {
    showMore(node);
  } else if (e.target === row.twisty) {
    toggle(key, !model.folded.has(key));
  } else {
    openRow(key);
  }
});

/** Loads the page of a node below which rows were left out, or the text of all of it. */
function showMore(node) {
  if (node.kind !== 'scope' || node.count || String(node.id) === part.get('scope')) {
    location.search = new URLSearchParams([...part, ['format', 'text'], ['all', '1']]);
  } else {
    location.search = new URLSearchParams({ scope: node.id });
  }
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
  ArrowLeft: ({ key, node, parent }) => {
    if (node.below?.length && !model.folded.has(key)) toggle(key, true);
    else if (parent) select(parent.key, true);
  },
  ArrowRight: ({ key }) => {
    if (model.folded.has(key)) toggle(key, false);
    else move(1);
  },
  Enter: ({ key, node, more }) => (more ? showMore(node) : openRow(key)),
};

/** Handles a key, and reports whether the tree has a use for it. */
export function handleKey(key) {
  const entry = entryOf(model.selected);
  if (!keys[key] || !(entry || key.startsWith('Arrow'))) return false;
  keys[key](entry ?? {});
  return true;
}
