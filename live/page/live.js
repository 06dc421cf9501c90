// The page of package live. It shows the states that the server sends as events.

import { closeDetails, openDetails, renderDetails } from './details.js';
import { $ } from './dom.js';
import { find, model, part } from './model.js';
import { listen, setPaused } from './stream.js';
import { renderSummary, tickSummary } from './summary.js';
import { isFrozen } from './time.js';
import { move, onOpen, handleKey, renderTree, rowOf, tickTree } from './tree.js';

function render() {
  renderTree();
  renderSummary(reveal);
  renderDetails();
}

setInterval(() => {
  if (!model.state || isFrozen()) return;
  tickTree();
  tickSummary();
  renderDetails();
}, 1000);

/** Selects and shows a node with a warning of the lint, if possible the one with the path. */
function reveal(lint, path) {
  const is = (node) => node.warnings?.includes(lint);
  const nodes = find(model.state.roots, (n) => is(n) && n.path === path) ?? find(model.state.roots, is);
  if (!nodes) { // the node is in another part of the tree, or was left out
    location.search = new URLSearchParams({ path });
    return;
  }
  setFilter('');
  nodes.slice(0, -1).forEach((node) => model.folded.delete(node.key));
  renderTree();
  openDetails(nodes.at(-1).key);
  rowOf(model.selected)?.el.scrollIntoView({ block: 'center' });
}

function setFilter(text) {
  $('filter').value = text;
  model.filter = text.trim().toLowerCase();
  if (model.state) renderTree();
}
$('filter').addEventListener('input', () => setFilter($('filter').value));

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
