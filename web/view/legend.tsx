import { isQuiet, toneNames } from './model.ts';
import type { Store } from './store.ts';
import { count, thousands } from './words.ts';

const entries: [string, string][] = [
  ['ok', 'ended well'], ['stopped', 'stopped with its scope'], ['failed', 'failed'], ['canceled', 'canceled'], ['unfinished', 'unfinished'],
  ['stuck', 'given up'], ['lost', 'unknown'], ['canceling', 'scope is canceling'], ['because', 'because of'], ['path', 'critical path'],
];
const ofStory: Record<string, string> = { stuck: 'hung', lost: 'missing' }; // where only a line of the story has the color

/** Explains the colors of those states that are in the log. */
export function Legend({ store }: { store: Store }) {
  const { model } = store;
  const has = new Set<string>();
  for (let i = 0; i < model.n; i++) has.add(toneNames[model.tone[i]]);
  if ([...model.cause.values()].some((cause) => !isQuiet(cause))) has.add('canceling').add('because');
  if (store.path.value.length > 0) has.add('path');
  const tones = new Set<string>(store.story.map((line) => line.tone).filter((tone) => tone in ofStory && !has.has(tone)));
  return (
    <div class="legend" aria-label="Legend">
      <Unprinted store={store} />
      {entries.filter(([key]) => has.has(key) || tones.has(key)).map(([key, text]) => <span><i class={`swatch ${key}`} />{tones.has(key) ? ofStory[key] : key === 'ok' && model.trioVis ? 'ended' : text}</span>)}
    </div>
  );
}

/** Says on paper how many rows are not there. */
function Unprinted({ store }: { store: Store }) {
  const { rows, top, size, geometry: { value: { row } }, table } = store;
  const above = Math.floor(top.value / row), below = Math.max(0, rows.value.nodes.length - Math.ceil((top.value + size.value.height) / row));
  if (table.value || size.value.height === 0 || above + below === 0) return null;
  const text = [above > 0 && `${thousands(above)} above`, below > 0 && `${thousands(below)} below`].filter(Boolean).join(' and ');
  return <span class="unprinted" data-testid="unprinted">{count(above + below, 'row is', 'rows are')} not on this sheet: {text}</span>;
}
