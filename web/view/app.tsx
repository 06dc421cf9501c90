// The page: the story on top, below it the picture, and at the bottom the details of what is
// selected, so that they never move the picture under the pointer.
import { useSignal } from '@preact/signals';
import { none } from './model.ts';
import { Details } from './details.tsx';
import { Help } from './help.tsx';
import { Legend } from './legend.tsx';
import { NameTable } from './table.tsx';
import { Sheet } from './sheet.tsx';
import { Story } from './banner.tsx';
import { Strip } from './strip.tsx';
import { Toolbar } from './toolbar.tsx';
import type { Store } from './store.ts';

export function App({ store }: { store: Store }) {
  const chosen = useSignal(0);
  const side = store.isNarrow.value ? 0 : Math.min(chosen.value || Math.min(420, store.pageWidth.value * 0.3), store.pageWidth.value * 0.6);
  return (
    <div class={`page ${store.isNarrow.value ? 'narrow' : ''}`}>
      <Toolbar store={store} />
      <Story store={store} />
      <main class="work">
        <div class="head">
          <div class="corner" style={side > 0 ? { width: `${side}px` } : {}}><Tabs store={store} /></div>
          <Strip store={store} />
        </div>
        {store.table.value ? <NameTable store={store} /> : <Sheet store={store} side={side} setSide={(to) => { chosen.value = Math.max(to, 140); }} />}
        {store.cursor.value !== none && !store.table.value && <Details store={store} />}
        <Legend store={store} />
      </main>
      {store.help.value && <Help store={store} />}
    </div>
  );
}

function Tabs({ store }: { store: Store }) {
  const tab = (text: string, is: boolean) => (
    <button role="tab" aria-selected={store.table.value === is} onClick={() => { store.table.value = is; }}>{text}</button>
  );
  return <div class="tabs" role="tablist" aria-label="View">{tab('Time line', false)}{tab('By name', true)}</div>;
}
