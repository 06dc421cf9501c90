// The parts above and below the tree: counters, warnings, and scopes that have ended.

import { $, make, makeButton, number, setText } from './dom.js';
import { model } from './model.js';
import { since } from './time.js';

/** Shows all parts. A click on a path of a warning calls reveal(lint, path). */
export function renderSummary(reveal) {
  renderCounters(model.state);
  renderWarnings(model.state, reveal);
  renderEnded(model.state);
}

/** Updates the times. */
export function tickSummary() {
  for (const el of document.querySelectorAll('#warnings .for, #ended .age')) setText(el, since(el.dataset.since));
}

function renderCounters(state) {
  const counters = { scopes: state.scopes, tasks: state.tasks, canceling: state.canceling, warnings: state.warnings.length };
  for (const [name, n] of Object.entries(counters)) {
    setText($(`n-${name}`), number(n));
    if (name !== 'canceling') setText($(`n-${name}`).previousElementSibling, n === 1 ? name.slice(0, -1) : name);
    $(`n-${name}`).parentElement.classList.toggle('some', n > 0 && (name === 'canceling' || name === 'warnings'));
  }
  const marks = state.warnings.length ? `(${state.warnings.length}!) ` : '';
  document.title = `${marks}${number(state.scopes)} scopes · ${number(state.tasks)} tasks`;
  const notes = [];
  if (state.cut) notes.push(`${number(state.cut)} lines are left out here, and the filter does not see them: show a part, or all as text.`);
  if (state.note) notes.push(state.note);
  setText($('note'), notes.join(' '));
  $('note').hidden = notes.length === 0;
}

let warningsShown = '';
function renderWarnings(state, reveal) {
  const { warnings, recheck } = state;
  $('warnings').hidden = warnings.length === 0;
  setText($('recheck'), recheck ? `${number(recheck)} more may become one.` : '');
  const text = JSON.stringify(warnings);
  if (text === warningsShown) return;
  warningsShown = text;
  $('warnings').querySelector('ul').replaceChildren(...warnings.map((w) => {
    const li = make('li', w.level);
    li.dataset.lint = w.lint;
    const head = li.appendChild(make('div'));
    head.append(make('b', '', w.count > 1 ? `${w.lint} ×${number(w.count)}` : w.lint), `${w.says}, for `);
    head.appendChild(make('span', 'for')).dataset.since = w.since;
    const paths = li.appendChild(make('div', 'paths'));
    for (const path of w.at) {
      paths.append(makeButton(path, () => reveal(w.lint, path)));
    }
    if (w.count > w.at.length) paths.append(`and ${number(w.count - w.at.length)} more`);
    li.append(make('div', 'do', w.do));
    return li;
  }));
  tickSummary();
}

let endedShown = '';
function renderEnded(state) {
  const ended = state.ended ?? [];
  $('ended').hidden = ended.length === 0;
  const failed = ended.filter((e) => e.err).length;
  setText($('n-failed'), number(failed));
  $('failed').hidden = failed === 0;
  const text = JSON.stringify(ended);
  if (text === endedShown) return;
  endedShown = text;
  $('ended').querySelector('ul').replaceChildren(...ended.map((e) => {
    const li = make('li');
    li.appendChild(make('span', 'age')).dataset.since = e.ended;
    li.append(make('span', 'path', e.path), make('span', 'err', e.err ?? ''));
    return li;
  }));
  tickSummary();
}
