// The state of the page: the log, the selection, the search, and the visible part.
import { batch, computed, effect, signal } from '@preact/signals';
import { causesOf } from './causes.ts';
import { criticalPath } from './critical.ts';
import { layout, row } from './layout.ts';
import { none, scopeAbove, type Model, type Span } from './model.ts';
import { isEmpty, noQuery, search, step, type Query } from './search.ts';
import { storyOf } from './story.ts';
import { fit, fitAll, clamp, reveal, type Picture, type Window } from './window.ts';

export type Theme = 'light' | 'dark';
export type Store = ReturnType<typeof createStore>;

export function createStore(model: Model) {
  const placed = layout(model);
  const causes = causesOf(model);
  const story = storyOf(model);

  const selected = signal<Span>(none);
  const hovered = signal<Span>(none);
  const query = signal<Query>(noQuery);
  const longer = signal(''); // query.longerThan as the user has typed it
  const onlyMatches = signal(false);
  const collapsed = signal<ReadonlySet<Span>>(new Set());
  const showPath = signal(false);
  const help = signal(false);
  const size = signal({ width: 0, height: 0 });
  const moved = signal<Window | undefined>(undefined); // undefined: the whole log

  const systemTheme = matchMedia('(prefers-color-scheme: dark)');
  const system = signal<Theme>(systemTheme.matches ? 'dark' : 'light');
  systemTheme.addEventListener('change', (e) => { system.value = e.matches ? 'dark' : 'light'; });
  const chosen = signal<Theme | undefined>(undefined);
  const theme = computed(() => chosen.value ?? system.value);

  const searching = computed(() => !isEmpty(query.value));
  const matches = computed<Span[]>(() => (searching.value ? search(model, query.value) : []));
  const isMatch = computed(() => {
    const is = new Uint8Array(model.n);
    for (const i of matches.value) is[i] = 1;
    return is;
  });

  /** The rows of the tree, from top to bottom. */
  const rows = computed<Span[]>(() => {
    const shown = onlyMatches.value && searching.value ? withAncestors(model, matches.value) : undefined;
    const list: Span[] = [];
    for (let i = 0; i < model.n;) {
      if (shown && !shown[i]) { i++; continue; }
      list.push(i);
      i = collapsed.value.has(i) && !shown ? model.after[i] : i + 1;
    }
    return list;
  });

  /** The scope whose critical path is shown: the selected one, that of the selected task, or the longest root. */
  const pathOwner = computed<Span>(() => {
    if (!showPath.value) return none;
    const at = selected.value;
    if (at !== none) return model.isScope[at] ? at : scopeAbove(model, at);
    let longest = none;
    for (let i = 0; i < model.n; i = model.after[i]) {
      if (longest === none || model.end[i] - model.begin[i] > model.end[longest] - model.begin[longest]) longest = i;
    }
    return longest;
  });
  const paths = new Map<Span, ReturnType<typeof criticalPath>>();
  const path = computed(() => {
    const of = pathOwner.value;
    if (of === none) return [];
    if (!paths.has(of)) paths.set(of, criticalPath(model, of));
    return paths.get(of)!;
  });

  const picture = computed<Picture>(() => ({ ...size.value, end: model.logEnd, total: placed.total }));
  const view = computed<Window>(() => (moved.value ? clamp(picture.value, moved.value) : fitAll(picture.value)));

  function select(span: Span, how: 'stay' | 'show' | 'fit' = 'show') {
    batch(() => {
      selected.value = span;
      if (span === none) return;
      open(span);
      if (how === 'fit') fitTo(span);
      if (how === 'show') moved.value = reveal(picture.value, view.value, model.begin[span], model.end[span], placed.top[span]);
    });
  }

  function open(span: Span) {
    if (collapsed.value.size === 0) return;
    const rest = new Set(collapsed.value);
    for (let up = model.parent[span]; up !== none; up = model.parent[up]) rest.delete(up);
    if (rest.size < collapsed.value.size) collapsed.value = rest;
  }

  function setCollapsed(span: Span, is: boolean) {
    const next = new Set(collapsed.value);
    if (is) next.add(span); else next.delete(span);
    collapsed.value = next;
  }

  function fitTo(span: Span) {
    const height = model.isScope[span] ? placed.height[span] : Math.max(placed.height[span], 6 * row);
    const slack = height - placed.height[span];
    moved.value = fit(picture.value, model.begin[span], model.end[span], placed.top[span] - slack / 2, height);
  }

  function find(q: Partial<Omit<Query, 'longerThan'>>) {
    batch(() => {
      longer.value = '';
      query.value = { ...noQuery, ...q };
    });
  }

  function nextMatch(back = false) {
    const to = step(matches.value, selected.value, back);
    if (to !== undefined) select(to);
  }

  return {
    model, placed, causes, story,
    selected, hovered, query, longer, onlyMatches, collapsed, showPath, help, size, moved, theme, chosen,
    searching, matches, isMatch, rows, pathOwner, path, picture, view,
    select, setCollapsed, fitTo, find, nextMatch, effect,
    fitAll() { moved.value = undefined; },
    move(w: Window) { moved.value = clamp(picture.value, w); },
  };
}

function withAncestors(m: Model, spans: Span[]): Uint8Array {
  const is = new Uint8Array(m.n);
  for (const i of spans) for (let up = i; up !== none && !is[up]; up = m.parent[up]) is[up] = 1;
  return is;
}
