// The state of the page: the log, what is open, the selection, the search, and the visible part.
import { batch, computed, effect, signal } from '@preact/signals';
import { causesOf } from './causes.ts';
import { criticalPath } from './critical.ts';
import { count, foldsOf, groupIn, isRest, isSpan, type Node, type Numbers } from './folds.ts';
import { none, scopeAbove, Tone, type Model, type Span } from './model.ts';
import { isOpen, membersOf, openAtFirst, openWay, rowsOf, type Filter, type Open } from './rows.ts';
import { isEmpty, noQuery, search, step, type Query } from './search.ts';
import { storyOf } from './story.ts';
import { failedItself } from './text.ts';
import { fit, fitAll, clamp, reveal, type Picture, type Window } from './window.ts';

export type Theme = 'light' | 'dark';
export type Store = ReturnType<typeof createStore>;

/** How a span is selected: only that, with its row and time in sight, or so that it is large or readable among others. */
export type Way = 'stay' | 'show' | 'fit' | 'go';

/** What undo brings back. */
export interface Moment { cursor: Node; moved: Window | undefined; top: number; open: Open }

/** The heights of a row and of its parts. A narrow page has the names above the bars. */
export const wide = { row: 20, bar: 14, barTop: 3 };
export const narrow = { row: 32, bar: 11, barTop: 18 };

export function createStore(model: Model) {
  const causes = causesOf(model);
  const story = storyOf(model);
  const folds = foldsOf(model);

  const isNarrow = followed(matchMedia('(max-width: 699px)'));
  const geometry = computed(() => (isNarrow.value ? narrow : wide));
  const named = story.slice(0, 3).flatMap((line) => line.words.flatMap((w) => (w.span === undefined || w.span === none ? [] : [w.span]))).slice(0, 8);
  const room = Math.floor((innerHeight - 220) / geometry.value.row);

  const cursor = signal<Node>(none); // the row that the keys move
  const selected = computed<Span>(() => (isSpan(cursor.value) ? cursor.value : none));
  const hovered = signal<Node>(none);
  const query = signal<Query>(noQuery);
  const longer = signal(''); // query.longerThan as the user has typed it
  const onlyMatches = signal(false);
  const open = signal<Open>(openAtFirst(model, folds, named, room));
  const shut = signal<ReadonlySet<Span>>(new Set()); // closed while only matches are shown
  const showPath = signal(false);
  const help = signal(false);
  const table = signal(false);
  const size = signal({ width: 0, height: 0 }); // of the bars
  const pageWidth = signal(innerWidth);
  addEventListener('resize', () => { if (!matchMedia('print').matches) pageWidth.value = innerWidth; });
  const moved = signal<Window | undefined>(undefined); // undefined: the whole log
  const top = signal(0); // the scroll position in pixels

  const isSystemDark = followed(matchMedia('(prefers-color-scheme: dark)'));
  const chosen = signal<Theme | undefined>(undefined);
  const theme = computed<Theme>(() => chosen.value ?? (isSystemDark.value ? 'dark' : 'light'));

  const searching = computed(() => !isEmpty(query.value));
  const matches = computed<Span[]>(() => (searching.value ? search(model, query.value) : []));
  const isMatch = computed(() => {
    const is = new Uint8Array(model.n);
    for (const i of matches.value) is[i] = 1;
    return is;
  });
  const matchSums = computed(() => sums(model.n, (i) => isMatch.value[i] === 1));
  const failedSums = sums(model.n, (i) => failedItself(model, i));
  /** Returns how many of the spans below one match, or failed by themselves. */
  const matchesBelow = (i: Span) => matchSums.value[model.after[i]] - matchSums.value[i + 1];
  const failedBelow = (i: Span) => failedSums[model.after[i]] - failedSums[i + 1];
  const failed = Int32Array.from({ length: model.n }, (_, i) => i).filter((i) => model.tone[i] === Tone.Failed);

  const filter = computed<Filter | undefined>(() => (onlyMatches.value && searching.value ? { shown: withAncestors(model, matches.value), matchesBelow, shut: shut.value } : undefined));
  /** Returns the numbers of the members of a group that are shown. */
  const numbersOf = (group: number): Numbers => (filter.value ? count(model, membersOf(folds, group, filter.value)) : folds.numbersOf(group));
  const rows = computed(() => rowsOf(model, folds, open.value, filter.value));

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

  /** By span: whether it is on the path that is shown, or around it. */
  const onPath = computed<Uint8Array | undefined>(() => (path.value.length > 0 ? withAncestors(model, path.value.map((p) => p.span)) : undefined));

  const picture = computed<Picture>(() => ({ width: size.value.width, end: model.logEnd }));
  const view = computed<Window>(() => (moved.value ? clamp(picture.value, moved.value) : fitAll(picture.value)));
  const lowest = () => Math.max(0, rows.value.nodes.length * geometry.value.row + 8 - size.value.height);

  // Undo has each deliberate step, and the state before each series of small ones. The history
  // of the browser has the deliberate ones: onJump puts them there.
  const past: Moment[] = [];
  let lastStep = -Infinity;
  let onJump = () => {};
  const now = (): Moment => ({ cursor: cursor.value, moved: moved.value, top: top.value, open: open.value });
  function remember(isJump: boolean) {
    const at = performance.now();
    const isSeries = !isJump && at - lastStep < 700;
    lastStep = isJump ? -Infinity : at;
    if (isSeries) return;
    past.push(now());
    if (past.length > 50) past.shift();
    if (isJump) onJump();
  }

  function restore(to: Moment) {
    batch(() => {
      cursor.value = to.cursor;
      moved.value = to.moved;
      open.value = to.open;
      top.value = to.top;
    });
  }

  function select(node: Node, how: Way = 'go') {
    if (node === cursor.value && (how === 'stay' || node === none)) return;
    remember(how === 'go' || how === 'fit');
    batch(() => {
      cursor.value = node;
      if (node === none) return;
      table.value = false;
      if (isSpan(node)) {
        open.value = openWay(model, folds, open.value, node);
        if (filter.value && !filter.value.shown[node]) onlyMatches.value = false; // else it would stay hidden
        for (let up = model.parent[node]; up !== none; up = model.parent[up]) if (shut.value.has(up)) shut.value = new Set();
      }
      if (how === 'stay') return;
      const [begin, end] = timesOf(node);
      if (how === 'show') moved.value = reveal(picture.value, view.value, begin, end);
      else moved.value = fit(picture.value, begin, end, how === 'go' ? 0.5 : 0.06);
      scrollTo(node, how === 'show' ? 'near' : 'middle');
    });
  }

  function timesOf(node: Node): [number, number] {
    if (isSpan(node)) return [model.begin[node], model.end[node]];
    const { members } = folds.groups[groupIn(node)];
    return [model.begin[members[0]], members.reduce((last, i) => Math.max(last, model.end[i]), 0)];
  }

  /** Scrolls so that the row of a node is in sight. */
  function scrollTo(node: Node, where: 'near' | 'middle') {
    const row = rows.value.at(node);
    if (row < 0) return;
    const { row: height } = geometry.value;
    const y = row * height - top.value;
    const most = size.value.height - height;
    if (where === 'near' && y >= 0 && y <= most) return;
    if (where === 'middle' && y >= 3 * height && y <= most - height) return;
    const to = where === 'middle' ? 0.35 * size.value.height : y < 0 ? 2 * height : most - height;
    top.value = Math.min(Math.max(0, row * height - to), lowest());
  }

  /** Sets the size of the bars. The row of the cursor stays in sight when they become lower, as they do when the details appear. */
  function resize(width: number, height: number) {
    const y = rows.value.at(cursor.value) * geometry.value.row - top.value;
    const wasSeen = y >= 0 && y < size.value.height;
    batch(() => {
      size.value = { width, height };
      if (wasSeen) scrollTo(cursor.value, 'near');
    });
  }

  /** Opens or closes a row. The rest of a group opens all of it. */
  function toggle(node: Node, is?: boolean) {
    if (isSpan(node)) {
      if (model.first[node] === none) return;
      const to = is ?? !isOpen(model, open.value, filter.value, node);
      const changed = new Set(filter.value ? shut.value : open.value.spans);
      if (to === (filter.value === undefined)) changed.add(node); else changed.delete(node);
      if (filter.value) shut.value = changed; else open.value = { ...open.value, spans: changed };
      return;
    }
    const groups = new Map(open.value.groups);
    const id = groupIn(node);
    if (isRest(node)) groups.set(id, groups.get(id) === 'some' ? 'few' : 'all');
    else if (is ?? !groups.has(id)) groups.set(id, groups.get(id) ?? 'few');
    else groups.delete(id);
    open.value = { ...open.value, groups };
  }

  const isNodeOpen = (node: Node): boolean => (isSpan(node) ? isOpen(model, open.value, filter.value, node) : !isRest(node) && open.value.groups.has(groupIn(node)));

  function find(q: Partial<Omit<Query, 'longerThan'>>, only = false) {
    batch(() => {
      longer.value = '';
      query.value = { ...noQuery, ...q };
      onlyMatches.value = only;
      shut.value = new Set();
      top.value = Math.min(top.value, lowest());
    });
  }

  return {
    model, folds, causes, story,
    cursor, selected, hovered, query, longer, onlyMatches, open, showPath, help, table, size, pageWidth, moved, top, theme, chosen, isNarrow, geometry,
    searching, matches, isMatch, matchesBelow, failedBelow, failed, filter, rows, pathOwner, path, onPath, numbersOf, picture, view,
    select, scrollTo, resize, toggle, isNodeOpen, find, now, restore, effect,
    fitTo(node: Node) { select(node, 'fit'); },
    nextMatch(back = false) {
      const to = step(matches.value, selected.value, back);
      if (to !== undefined) select(to, 'show');
    },
    fitAll() {
      remember(true);
      moved.value = undefined;
    },
    move(w: Window) {
      remember(false);
      moved.value = clamp(picture.value, w);
    },
    scroll(to: number) { top.value = Math.min(Math.max(0, to), lowest()); },
    undo() {
      const last = past.pop();
      lastStep = -Infinity;
      if (last) restore(last);
    },
    setOnJump(fn: () => void) { onJump = fn; },
  };
}

function followed(list: MediaQueryList) {
  const is = signal(list.matches);
  list.addEventListener('change', (e) => { is.value = e.matches; });
  return is;
}

/** Returns how many of the spans before each one are something. */
function sums(n: number, is: (i: Span) => boolean): Int32Array {
  const sum = new Int32Array(n + 1);
  for (let i = 0; i < n; i++) sum[i + 1] = sum[i] + Number(is(i));
  return sum;
}

function withAncestors(m: Model, spans: Span[]): Uint8Array {
  const is = new Uint8Array(m.n);
  for (const i of spans) for (let up = i; up !== none && !is[up]; up = m.parent[up]) is[up] = 1;
  return is;
}
