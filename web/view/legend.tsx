import { isQuiet, toneNames } from './model.ts';
import type { Store } from './store.ts';

const entries: [string, string][] = [
  ['ok', 'ended well'], ['stopped', 'stopped with its scope'], ['failed', 'failed'], ['canceled', 'canceled'], ['unfinished', 'unfinished'],
  ['stuck', 'given up'], ['lost', 'unknown'], ['canceling', 'scope is canceling'], ['because', 'because of'],
];

/** Explains the colors of those states that are in the log. */
export function Legend({ store }: { store: Store }) {
  const { model } = store;
  const has = new Set<string>();
  for (let i = 0; i < model.n; i++) has.add(toneNames[model.tone[i]]);
  if ([...model.cause.values()].some((cause) => !isQuiet(cause))) has.add('canceling').add('because');
  return (
    <div class="legend" aria-label="Legend">
      {entries.filter(([key]) => has.has(key)).map(([key, text]) => <span><i class={`swatch ${key}`} />{key === 'ok' && model.trioVis ? 'ended' : text}</span>)}
    </div>
  );
}
