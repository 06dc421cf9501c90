// The toolbar: facts about the recording, search, and buttons.
import { useComputed } from '@preact/signals';
import { toneNames } from './model.ts';
import type { Query } from './search.ts';
import type { Store } from './store.ts';
import { count, duration, parseDuration, thousands } from './words.ts';

export function Toolbar({ store }: { store: Store }) {
  const { model, query, longer, matches, searching, selected, onlyMatches } = store;
  const change = (part: Partial<Query>) => { query.value = { ...query.value, ...part }; };
  const position = useComputed(() => {
    if (!searching.value) return '';
    const at = matches.value.indexOf(selected.value);
    return at >= 0 ? `${thousands(at + 1)} of ${thousands(matches.value.length)}` : count(matches.value.length, 'match', 'matches');
  });
  const chip = query.value.counted?.what ?? query.value.alike.slice(1);
  const scopes = model.isScope.reduce((n, is) => n + is, 0);
  const keys = (e: KeyboardEvent) => {
    if (e.key === 'Enter' && !(e.target instanceof HTMLButtonElement)) {
      store.nextMatch(e.shiftKey);
      (e.target as HTMLElement).blur(); // so that n and p are no longer typed into the field
      e.preventDefault();
    }
    if (e.key === 'Escape') { store.find({}); (e.target as HTMLElement).blur(); e.stopPropagation(); }
  };
  return (
    <header class="toolbar">
      <h1 title={model.program}>{model.program.split('/').pop() || 'recording'}</h1>
      <p class="facts">{[duration(model.logEnd), count(model.n - scopes, 'task'), count(scopes, 'scope'), model.processes.length > 1 && count(model.processes.length, 'process', 'processes'), startedAt(model.facts.started)].filter(Boolean).join(' · ')}</p>
      <search class="search" onKeyDown={keys}>
        <input id="search" type="search" placeholder="search  /" title="Search for a name, a path like service/conn, or an error" aria-label="Search for names, paths and errors" value={query.value.text} onInput={(e) => change({ text: e.currentTarget.value })} />
        <select aria-label="State" value={query.value.state} onChange={(e) => change({ state: e.currentTarget.value as Query['state'] })}>
          <option value="">any state</option>
          {[...toneNames].reverse().map((name) => <option value={name}>{name}</option>)}
        </select>
        <input class="longer" type="text" placeholder="≥ 100 ms" aria-label="At least this long" value={longer.value} aria-invalid={longer.value !== '' && Number.isNaN(parseDuration(longer.value))}
          onInput={(e) => { longer.value = e.currentTarget.value; change({ longerThan: parseDuration(longer.value) || 0 }); }} />
        {chip && <button class="chip" title={`Only ${chip}. Show all again`} onClick={() => store.find({})}>{chip} ×</button>}
        <output class="position" data-testid="matches">{position}</output>
        {searching.value && <>
          <button class="icon" title="Previous match (p)" aria-label="Previous match" onClick={() => store.nextMatch(true)}>↑</button>
          <button class="icon" title="Next match (n)" aria-label="Next match" onClick={() => store.nextMatch()}>↓</button>
          <label class="only"><input type="checkbox" checked={onlyMatches.value} onChange={(e) => { onlyMatches.value = e.currentTarget.checked; }} />only these</label>
        </>}
      </search>
      <button class="toggle" aria-pressed={store.showPath.value} title="Critical path (c): what the end of the scope waited for" onClick={() => { store.showPath.value = !store.showPath.value; }}>Critical path</button>
      <button class="icon" title="Undo zoom or selection (u)" aria-label="Undo" onClick={() => store.undo()}>↶</button>
      <button class="icon" title="Fit all (f)" aria-label="Fit all" onClick={() => store.fitAll()}>⤢</button>
      <button class="icon" title="Light or dark (t)" aria-label="Light or dark" onClick={() => { store.chosen.value = store.theme.value === 'dark' ? 'light' : 'dark'; }}>◐</button>
      <button class="icon" title="Help (?)" aria-label="Help" onClick={() => { store.help.value = true; }}>?</button>
    </header>
  );
}

function startedAt(started: string): string {
  const date = new Date(started);
  return date.getUTCFullYear() > 1 ? date.toISOString().replace('T', ' ').replace(/\.\d+Z/, ' UTC') : '';
}
