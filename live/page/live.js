// The page of package live. It shows the states that the server sends as events.

import { closeDetails, openDetails, renderDetails } from './details.js';
import { $, point } from './dom.js';
import { find, model, part } from './model.js';
import { listen, setPaused } from './stream.js';
import { renderSide, tickSide } from './side.js';
import { renderCounters } from './summary.js';
import { isFrozen } from './time.js';
import { move, onOpen, handleKey, renderState, renderTree, rowOf, setOpen, tickTree } from './tree.js';

function render() {
  renderSide({ reveal, setFilter });
  renderCounters(model.state);
  renderState();
  renderDetails();
}

setInterval(() => {
  if (!model.state || isFrozen()) return;
  tickTree();
  tickSide();
  renderDetails();
}, 1000);

/** Selects and shows the node with the path, if possible one with a warning of the lint. */
function reveal(path, lint) {
  const is = (node) => !lint || node.warnings?.includes(lint);
  const { roots } = model.state;
  const nodes = find(roots, (n) => !n.count && n.path === path && is(n)) ?? find(roots, (n) => !n.count && n.path === path)
    ?? (lint && find(roots, is));
  if (!nodes) { // the node is in another part of the tree, or was left out
    location.search = new URLSearchParams({ path });
    return;
  }
  setFilter('');
  // From the root down: the row of a group has a key of its own, and opens before its members.
  const isOn = (slot) => nodes.includes(slot.node) || slot.node.members?.some((member) => nodes.includes(member));
  let parent = null;
  for (let slot = model.slots.find(isOn); slot; slot = slot.below.find(isOn)) {
    if (parent) setOpen(parent, true);
    parent = { key: slot.key, node: slot.node, parent };
  }
  renderTree();
  if (!parent) return;
  openDetails(parent.key);
  rowOf(model.selected)?.el.scrollIntoView({ block: 'center' });
}

const hint = $('filter').title;
function setFilter(text) {
  $('filter').value = text;
  $('filter').title = text || hint;
  model.filter = text.trim().toLowerCase();
  if (model.state) renderTree();
}
$('filter').addEventListener('input', () => setFilter($('filter').value));

for (const a of document.querySelectorAll('#counters a')) {
  a.addEventListener('click', (e) => {
    e.preventDefault();
    point($(a.hash.slice(1)));
  });
}

document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target.closest('input');
  if (e.key === 'Escape') {
    if (typing || model.filter) {
      setFilter('');
      $('filter').blur();
    } else {
      closeDetails();
    }
    return;
  }
  if (typing) {
    if (e.key === 'ArrowDown' || e.key === 'Enter') {
      e.preventDefault();
      $('tree').focus();
      move(0);
    }
    return;
  }
  if (e.key === '/') {
    e.preventDefault();
    $('filter').focus();
    $('filter').select();
    return;
  }
  if (e.target.closest('button, a')) return;
  if (e.key === ' ') {
    e.preventDefault();
    setPaused(!isFrozen());
    return;
  }
  if (handleKey(e.key)) e.preventDefault();
});

$('part').hidden = part.size === 0;
for (const a of [$('as-text'), $('as-json'), $('as-stacks')]) {
  const query = new URLSearchParams(a.search);
  for (const [key, value] of part) query.set(key, value);
  a.search = query;
}
onOpen(openDetails);
listen(render);
