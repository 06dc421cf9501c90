// The panel with all facts about one node, its warnings, and its stack.

import { $, make, makeButton, number, setText } from './dom.js';
import { find, model, processesOf } from './model.js';
import { ages } from './time.js';
import { entryOf, rowOf, select } from './tree.js';

let panel = null; // the open panel: {key, node} and its elements

/** Opens the panel for the row with this key, and selects the row. */
export function openDetails(key) {
  select(key, true);
  const entry = entryOf(key);
  if (!entry || entry.more) return;
  const aside = $('details');
  const { node } = entry;
  const close = makeButton('×', closeDetails);
  close.title = 'Close (esc)';
  close.setAttribute('aria-label', 'Close details');
  const head = make('header');
  head.append(make('h1', '', node.count ? `${node.name} ×${number(node.count)}` : node.name), close);
  const facts = make('dl');
  const says = make('div');
  const bar = make('div', 'bar');
  const stack = make('pre');
  stack.hidden = true;
  stack.tabIndex = 0;
  stack.setAttribute('aria-label', 'Stack');
  aside.replaceChildren(head, facts, says, bar, stack);
  aside.hidden = false;
  panel = { key, node, facts, says, stack, bar };

  bar.append(makeButton(node.kind === 'task' ? 'Stack again' : 'Stack of its body', () => fetchStack(false)));
  if (node.kind === 'scope') {
    const only = make('a', '', 'Show only this scope');
    only.href = `?${new URLSearchParams({ scope: node.id })}`;
    bar.append(only);
  }
  renderDetails();
  select(key, true); // scroll again: the panel may cover the row
  if (node.kind === 'task') fetchStack(false);
}

export function closeDetails() {
  panel = null;
  $('details').hidden = true;
}

/** Updates the facts and warnings. A node that is gone keeps those it had. */
export function renderDetails() {
  if (!panel) return;
  const entry = rowOf(panel.key)?.entry;
  const node = entry?.node ?? panel.node;
  panel.node = node;
  const gone = !entry && !find(model.state.roots, (n) => n.key === node.key);
  const facts = [
    ['state', gone ? `was ${node.state}, is gone` : node.state],
    ['path', node.path],
    [node.count ? 'oldest' : 'id', node.scope ? `task ${node.id ?? '–'} of scope ${node.scope}` : `${node.kind} ${node.id}`],
    ['process', processesOf(node).replace('process ', '')],
    ['age', gone ? '' : ages(node)],
    ['since', node.since],
    ['deadline', node.deadline],
    ['flags', node.flags?.join(', ')],
    ['not awaited', node.unawaited?.join(', ')],
    ['limit', node.limit && `${number(node.limit)}${node.waiting ? `, ${number(node.waiting)} waiting` : ''}`],
    ['cause', node.cause],
  ].filter(([, value]) => value);
  const text = JSON.stringify(facts);
  if (panel.shown !== text) {
    panel.shown = text;
    panel.facts.replaceChildren(...facts.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
  }
  const lints = (node.warnings ?? []).join(' ');
  if (panel.lints !== lints) {
    panel.lints = lints;
    panel.says.replaceChildren(...(node.warnings ?? []).map((name) => {
      const w = model.state.warnings.find((x) => x.lint === name);
      const p = make('p', 'says');
      p.append(make('b', '', name), ` ${w?.says ?? ''}. ${w?.do ?? ''}`);
      return p;
    }));
  }
}

/** Fetches and shows the stack. force asks for it although the dump takes long. */
async function fetchStack(force) {
  const mine = panel;
  const { node } = mine;
  const query = new URLSearchParams({ scope: node.kind === 'task' ? node.scope : node.id });
  if (node.kind === 'task') query.set('task', node.id ?? 0);
  if (node.state === 'abandoned') query.set('call', 1); // the stack of the call, not that of its task
  if (force) query.set('stacks', 'force');
  mine.stack.hidden = false;
  mine.stack.setAttribute('aria-busy', 'true');
  if (!mine.stack.textContent) setText(mine.stack, '…');
  let text;
  let refused = false;
  try {
    const answer = await fetch(`stack?${query}`);
    text = (await answer.text()).trimEnd();
    refused = answer.status === 409;
  } catch {
    text = 'The program does not answer.';
  }
  if (panel !== mine) return;
  mine.stack.removeAttribute('aria-busy');
  setText(mine.stack, text);
  if (refused && !mine.forced) {
    mine.forced = makeButton('Dump nevertheless', () => fetchStack(true));
    mine.bar.append(mine.forced);
  }
}
