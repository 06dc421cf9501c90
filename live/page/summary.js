// The counters in the header, the title of the document, and the note below the tree.

import { $, number, setText } from './dom.js';

export function renderCounters(state) {
  const warnings = state.warnings.filter((w) => w.level === 'warning').length; // hints are in the list
  const counters = { scopes: state.scopes, tasks: state.tasks, canceling: state.canceling, warnings };
  for (const [name, n] of Object.entries(counters)) {
    setText($(`n-${name}`), number(n));
    if (name !== 'canceling') setText($(`n-${name}`).parentElement.querySelector('.what'), n === 1 ? name.slice(0, -1) : name);
    $(`n-${name}`).parentElement.classList.toggle('some', n > 0 && (name === 'canceling' || name === 'warnings'));
  }
  const failed = failedOf(state);
  setText($('n-failed'), number(failed));
  $('failed').hidden = failed === 0;
  const marks = warnings ? `(${warnings}!) ` : '';
  document.title = `${marks}${number(state.scopes)} scopes · ${number(state.tasks)} tasks`;
  const notes = [];
  if (state.cut) notes.push(`${number(state.cut)} lines are left out here, and the filter does not see them: show a part, or all as text.`);
  if (state.note) notes.push(state.note);
  setText($('note'), notes.join(' '));
  $('note').hidden = notes.length === 0;
}

/** Returns how many scopes have failed: in all, or of those that are listed. */
export const failedOf = (state) => (
  state.failedTotal ?? (state.ended ?? []).filter(hasFailed).reduce((sum, e) => sum + (e.count ?? 1), 0)
);

/** Reports whether a scope that has ended has failed, and not only because its parent was canceled. */
export const hasFailed = (ended) => Boolean(ended.err && !ended.canceled);
