// The panel with all facts about one node, its warnings, and its stack.

import { $, make, makeButton, number, setText } from './dom.js';
import { find, model } from './model.js';
import { fitSide, pointAtWarning } from './side.js';
import { ages } from './time.js';
import { entryOf, rowOf, select } from './tree.js';
import { explanations, forOf, placeOf, processesOf, statesOf, stateWord } from './words.js';

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
  const title = make('h1');
  head.append(title, close);
  const facts = make('dl');
  const says = make('div', 'says');
  says.hidden = true;
  const bar = make('div', 'bar');
  const stack = make('pre');
  stack.hidden = true;
  stack.tabIndex = 0;
  stack.setAttribute('aria-label', 'Stack');
  aside.replaceChildren(head, facts, says, bar, stack);
  aside.hidden = false;
  fitSide();
  $('side').scrollTop = 0;
  panel = { key, node, title, facts, says, stack, bar };

  const of = node.count ? ' of the oldest' : '';
  bar.append(makeButton(node.kind === 'task' ? (of ? `Stack${of}` : 'Stack again') : `Stack of its body${of}`, () => fetchStack(false)));
  if (node.kind === 'scope' && !node.count) {
    const only = make('a', '', 'Show only this scope');
    only.href = `?${new URLSearchParams({ scope: node.id })}`;
    bar.append(only);
  }
  renderDetails();
  select(key, true); // scroll again: the panel may cover the row
  if (node.kind === 'task' && !node.count) fetchStack(false);
}

export function closeDetails() {
  panel = null;
  $('details').hidden = true;
  fitSide();
}

/** Updates the facts and warnings. A node that is gone keeps those it had. */
export function renderDetails() {
  if (!panel) return;
  const entry = rowOf(panel.key)?.entry;
  const node = entry?.node ?? panel.node;
  panel.node = node;
  setText(panel.title, node.count ? `${node.name} ×${number(node.count)}` : node.name);
  const gone = entry ? entry.gone : !find(model.state.roots, (n) => n.key === node.key);
  const facts = factsOf(node, gone).filter(([, value]) => value);
  const text = JSON.stringify(facts);
  if (panel.shown !== text) {
    panel.shown = text;
    panel.facts.replaceChildren(...facts.flatMap(([name, value]) => [make('dt', '', name), make('dd', '', value)]));
  }
  const lints = (node.warnings ?? []).join(' ');
  if (panel.lints !== lints) {
    panel.lints = lints;
    panel.says.hidden = !lints;
    panel.says.replaceChildren('see the warning ', ...(node.warnings ?? []).map((name) => makeButton(name, () => pointAtWarning(name))));
  }
}

/** Returns what is known about a node: [[name, value], …]. */
function factsOf(node, gone) {
  const states = statesOf(node).map(([state, n]) => (node.count ? `${number(n)} ${stateWord(state)}` : stateWord(state))).join(', ');
  const place = (p) => [placeOf(p), forOf(p)].filter(Boolean).join(', ');
  return [
    ['state', gone ? `was ${states}, is gone` : states],
    ['', !gone && !node.count && explanations[node.state]],
    ['path', node.path],
    [node.count ? 'oldest' : 'id', node.scope ? `task ${node.id ?? '–'} of scope ${node.scope}` : `${node.kind} ${node.id}`],
    ['process', processesOf(node).replace('process ', '')],
    ['age', gone ? '' : ages(node)],
    ['since', node.since],
    ['deadline', node.deadline],
    ['waits', place(node)],
    ...(node.standing ?? []).map((s, i) => [i ? '' : 'waits', `${number(s.count)} × ${place(s)}`]),
    ['flags', node.flags?.join(', ')],
    ['not awaited', node.unawaited?.join(', ')],
    ['limit', node.limit && `${number(node.limit)}${node.waiting ? `, ${number(node.waiting)} waiting` : ''}`],
    ['held by', node.holders?.join('\n')],
    ['waiting', node.blocked?.join('\n')],
    ['cause', node.cause],
  ];
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
