// The page of package live: it shows what the stream of server-sent events says.

import { closeDetails, openDetails, renderDetails } from './details.js';
import { $ } from './dom.js';
import { find, model, part } from './model.js';
import { listen, setPaused } from './stream.js';
import { renderSummary, tickSummary } from './summary.js';
import { isFrozen } from './time.js';
import { move, onOpen, press, renderTree, rowOf, tickTree } from './tree.js';

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

/** Goes to a node that a lint has something to say of. */
function reveal(lint, path) {
  const is = (node) => node.warnings?.includes(lint);
  const way = find(model.state.roots, (n) => is(n) && n.path === path) ?? find(model.state.roots, is);
  if (!way) { // it is in another part, or was left out
    location.search = new URLSearchParams({ path });
    return;
  }
  setFilter('');
  way.slice(0, -1).forEach((node) => model.folded.delete(node.key));
  renderTree();
  openDetails(way.at(-1).key);
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
  if (press(e.key)) e.preventDefault();
});

$('part').hidden = part.size === 0;
for (const a of [$('as-text'), $('as-json'), $('as-stacks')]) {
  const query = new URLSearchParams(a.search);
  for (const [key, value] of part) query.set(key, value);
  a.search = query;
}
onOpen(openDetails);
listen(render);
