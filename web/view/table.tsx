// The table by name. A click on a row shows only those spans in the picture.
import { useSignal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { namesOf, sorted, type Column } from './names.ts';
import { short } from './model.ts';
import type { Store } from './store.ts';
import { count, lasted, thousands } from './words.ts';

const columns: [Column, string, string][] = [
  ['name', 'name', 'numbers in names are a #'], ['kind', 'kind', ''], ['count', 'count', ''],
  ['median', 'p50', 'half of those that ended were alive no longer'], ['p99', 'p99', '99 of 100 that ended were alive no longer'], ['longest', 'max', 'how long the slowest was alive'],
];
const states = ['failed', 'unfinished', 'canceled', 'stopped'] as const;
const about: Record<(typeof states)[number], string> = { failed: '', unfinished: '', canceled: 'because of a failure, or alone', stopped: 'when their scope ended without a failure' };

const most = 500; // rows, so that a log in which each name is another can be shown

export function NameTable({ store }: { store: Store }) {
  const rows = useMemo(() => namesOf(store.model), [store]);
  const shown = states.filter((state) => state === 'failed' || state === 'canceled' || rows.some((r) => r[state] > 0)); // the others are columns only if there are some
  const order = useSignal<{ by: Column; isUp: boolean }>({ by: 'count', isUp: false });
  const { by, isUp } = order.value;
  const text = store.query.value.text.toLowerCase();
  const found = sorted(text ? rows.filter((r) => r.name.toLowerCase().includes(text)) : rows, by, isUp);
  const show = (key: string) => {
    store.table.value = false;
    store.find({ alike: key }, true);
    store.scroll(0);
  };
  return (
    <div class="byname" data-testid="names" tabIndex={0}>
      <table>
        <thead><tr>
          {[...columns, ...shown.map((state): [Column, string, string] => [state, state, about[state]])].map(([column, text, title]) => (
            <th scope="col" class={column} aria-sort={column === by ? (isUp ? 'ascending' : 'descending') : undefined}>
              <button title={title || undefined} onClick={() => { order.value = { by: column, isUp: column === by ? !isUp : column === 'name' }; }}>{text}{column === by ? (isUp ? ' ▴' : ' ▾') : ''}</button>
            </th>
          ))}
        </tr></thead>
        <tbody>
          {found.slice(0, most).map((r) => (
            <tr key={r.key} onClick={() => show(r.key)}>
              <th scope="row"><button class="link" title={short(r.name, 300)}>{short(r.name, 120)}</button></th>
              <td class="kind">{r.isScope ? 'scope' : 'task'}</td>
              <td>{thousands(r.count)}</td>
              <td>{lasted(r.median, r.areSoFar)}</td>
              <td>{lasted(r.p99, r.areSoFar)}</td>
              <td class="longest">{lasted(r.longest, r.isLongestSoFar)}</td>
              {shown.map((state) => <td class={r[state] > 0 ? state : 'none'}>{thousands(r[state])}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
      {found.length > most && <p class="muted empty">and {count(found.length - most, 'more name')}: search for them</p>}
      {found.length === 0 && <p class="muted empty">no such name</p>}
    </div>
  );
}
