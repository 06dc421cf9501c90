// One row of the tree.

import { make, number, setText } from './dom.js';
import { isOpen, processesOf } from './model.js';
import { ages, brief, now } from './time.js';

const lateAfter = 1000; // longer than streamInterval in Go, and when the lint deadline-passed warns

let serial = 0; // for element IDs

export class Row {
  constructor(entry) {
    const el = make('div', 'row');
    el.id = `row-${++serial}`;
    el.setAttribute('role', 'treeitem');
    el.dataset.key = entry.key;
    this.el = el;
    this.what = el.appendChild(make('div', 'what'));
    this.twisty = this.what.appendChild(make('span', 'twisty'));
    this.twisty.setAttribute('aria-hidden', 'true');
    this.dot = this.what.appendChild(make('span', 'dot'));
    this.name = this.what.appendChild(make('span', 'name'));
    this.times = this.what.appendChild(make('span', 'times'));
    this.chips = [];
    this.cause = this.what.appendChild(make('span', 'cause'));
    this.state = el.appendChild(make('span', 'state'));
    this.age = el.appendChild(make('span', 'age'));
    this.due = el.appendChild(make('span', 'due'));
  }

  update(entry) {
    const { node, depth } = entry;
    const el = this.el;
    if (this.entry?.depth !== depth) {
      el.style.setProperty('--depth', depth);
      el.setAttribute('aria-level', depth + 1);
    }
    this.entry = entry;
    el.classList.toggle('dim', Boolean(entry.dim));
    if (entry.more) {
      el.classList.add('more');
      this.dot.hidden = true;
      setText(this.name, `… and ${number(node.more)} more`);
      return;
    }
    if (el.dataset.kind !== node.kind) el.dataset.kind = node.kind;
    if (el.dataset.state !== node.state) el.dataset.state = node.state;
    const open = isOpen(entry.key);
    const parent = Boolean(node.below?.length || node.more);
    setText(this.twisty, parent ? (open ? '▾' : '▸') : '');
    if (parent) el.setAttribute('aria-expanded', String(open));
    else el.removeAttribute('aria-expanded');
    setText(this.name, node.name);
    setText(this.times, node.count ? `×${number(node.count)}` : '');
    this.times.hidden = !node.count;
    this.label([
      ...(processesOf(node) ? [processesOf(node)] : []),
      ...(node.flags ?? []),
      ...(node.limit ? [`limit ${number(node.limit)}`] : []),
      ...(node.waiting ? [`${number(node.waiting)} waiting`] : []),
    ], node.warnings ?? []);
    setText(this.cause, node.cause ?? '');
    this.cause.hidden = !node.cause;
    setText(this.state, node.state);
    this.tick();
  }

  label(flags, warnings) {
    const chips = [...flags.map((text) => ({ text })), ...warnings.map((text) => ({ text, lint: true }))];
    chips.forEach(({ text, lint }, i) => {
      const chip = this.chips[i] ?? this.what.insertBefore(make('span'), this.cause);
      this.chips[i] = chip;
      chip.className = lint ? 'chip lint' : 'chip';
      setText(chip, text);
    });
    for (const chip of this.chips.splice(chips.length)) chip.remove();
  }

  /** Updates the times. */
  tick() {
    const { node, more } = this.entry;
    if (more) return;
    setText(this.age, ages(node));
    if (!node.deadline || node.state === 'closed') {
      setText(this.due, '');
      return;
    }
    const left = Date.parse(node.deadline) - now();
    // A node that ends at its deadline is still shown until the next state comes. It must
    // not look late.
    const late = left < -lateAfter;
    setText(this.due, late ? `${brief(-left)} late` : `${brief(left)} left`);
    this.due.className = late ? 'due late' : left < 5000 ? 'due soon' : 'due';
  }
}
