// Loads the log that is in the page, and shows it.
import { render } from 'preact';
import './theme.css';
import { App } from './app.tsx';
import { followHash } from './hash.ts';
import { followKeys } from './keys.ts';
import { load } from './load.ts';
import { createStore } from './store.ts';
import { expose } from './hook.ts';
import { followPrinting } from './print.ts';
import { countSteps } from './words.ts';

const root = document.getElementById('app')!;

async function show() {
  const data = document.getElementById('log')!;
  const model = await load(data.textContent!);
  data.remove();
  countSteps(model.ordinal);
  const store = createStore(model);
  document.title = `${model.program || 'recording'} · traigo`;
  store.effect(() => { document.documentElement.dataset.theme = store.theme.value; });
  expose(store);
  render(<App store={store} />, root);
  followKeys(store);
  followPrinting();
  followHash(store);
}

show().catch((err: unknown) => {
  render(<p class="broken" role="alert">This recording cannot be shown: {err instanceof Error ? err.message : String(err)}</p>, root);
});
