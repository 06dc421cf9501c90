import { named } from './causes.ts';
import { stateOf } from './details.tsx';
import { groupIn, isSpan, type Node } from './folds.ts';
import { none, short, toneNames } from './model.ts';
import type { Pointer } from './pointers.ts';
import { membersOf } from './rows.ts';
import type { Store } from './store.ts';
import { elidePath, failureOf, pathNames, sayOnce } from './text.ts';
import { count, duration, lasted, thousands } from './words.ts';

export function Tooltip({ store, at, side }: { store: Store; at: Pointer; side: number }) {
  const { size, hovered } = store;
  const node: Node = hovered.value;
  const right = at.x > size.value.width - 330;
  const low = at.y > size.value.height - 140;
  return (
    <div class="tooltip" role="tooltip" data-testid="tooltip" style={{
      [right ? 'right' : 'left']: `${right ? size.value.width - at.x + 14 : side + at.x + 14}px`,
      [low ? 'bottom' : 'top']: `${low ? size.value.height - at.y + 8 : at.y + 18}px`,
    }}>
      {isSpan(node) ? <OfSpan store={store} i={node} /> : <OfGroup store={store} node={node} at={at.x} />}
    </div>
  );
}

function OfSpan({ store, i }: { store: Store; i: number }) {
  const { model } = store;
  const below = model.after[i] - i - 1;
  const failure = model.err[i] === '' ? undefined : failureOf(model, i);
  return <>
    <b>{short(sayOnce(named(model, i)), 120)}</b>
    <div><i class={`swatch ${model.isScope[i] ? '' : 'dot'} ${stateOf(model, i).tone}`} />{stateOf(model, i).text}, {duration(model.end[i] - model.begin[i])}{model.stop[i] < 0 && !model.processes[model.process[i]]?.died ? ' so far' : ''}</div>
    <div class="muted">began at {duration(model.begin[i])}{below > 0 ? ` · ${count(below, 'span')} below` : ''}{model.processes.length > 1 ? ` · pid ${model.processes[model.process[i]].pid}` : ''}</div>
    <div class="muted">in {elidePath(pathNames(model, i), 60)}</div>
    {failure && <div class="error">{short(failure.message, 240)}</div>}
    {failure && failure.from !== none && <div class="muted">from {elidePath(pathNames(model, failure.from), 56)}</div>}
  </>;
}

function OfGroup({ store, node, at }: { store: Store; node: Node; at: number }) {
  const { model, folds, view, size } = store;
  const group = folds.groups[groupIn(node)];
  const { states, median, p99, areSoFar, longest, isLongestSoFar } = store.numbersOf(group.id);
  const members = membersOf(folds, group.id, store.filter.value);
  const time = view.value.from + (at * (view.value.to - view.value.from)) / size.value.width;
  const alive = members.reduce((n, i) => n + Number(model.begin[i] <= time && time <= model.end[i]), 0);
  return <>
    <b>{short(group.name, 100)} × {thousands(members.length)}</b>
    <div>{toneNames.flatMap((name, tone) => (states[tone] > 0 ? [<span class="state"><i class={`swatch ${name}`} />{thousands(states[tone])} {name} </span>] : []))}</div>
    <div class="muted">median {lasted(median, areSoFar)}, p99 {lasted(p99, areSoFar)}, at most {lasted(longest, isLongestSoFar)}</div>
    <div class="muted">{thousands(alive)} alive at {duration(Math.max(time, 0))}</div>
  </>;
}
