// The page: the story on top, below it the tree and the picture, with the same selection.
// The details are below the tree, so that they never move the picture under the pointer.
import { useSignal } from '@preact/signals';
import { none } from './model.ts';
import { Details } from './details.tsx';
import { Help } from './help.tsx';
import { Legend } from './legend.tsx';
import { Story } from './banner.tsx';
import { Strip } from './strip.tsx';
import { Timeline } from './timeline.tsx';
import { Toolbar } from './toolbar.tsx';
import { Tree } from './tree.tsx';
import type { Store } from './store.ts';

export function App({ store }: { store: Store }) {
  const tree = useSignal(Math.min(360, innerWidth * 0.29));
  return (
    <div class="page">
      <Toolbar store={store} />
      <Story store={store} />
      <main class="work">
        <div class="side" style={{ width: `${tree.value}px` }}>
          <Tree store={store} />
          {store.selected.value !== none && <Details store={store} />}
        </div>
        <Splitter size={tree} />
        <div class="picture">
          <Strip store={store} />
          <Timeline store={store} />
          <Legend store={store} />
        </div>
      </main>
      {store.help.value && <Help store={store} />}
    </div>
  );
}

function Splitter({ size }: { size: { value: number } }) {
  const drag = (down: PointerEvent) => {
    if (down.button !== 0) return;
    const bar = down.currentTarget as HTMLElement;
    const from = size.value - down.clientX;
    bar.setPointerCapture(down.pointerId);
    bar.onpointermove = (e) => { size.value = Math.min(Math.max(from + e.clientX, 120), innerWidth * 0.6); };
    bar.onpointerup = bar.onpointercancel = () => { bar.onpointermove = null; };
  };
  return <div class="splitter" role="separator" aria-orientation="vertical" aria-label="Width of the tree" onPointerDown={drag} />;
}
