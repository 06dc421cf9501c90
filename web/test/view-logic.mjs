// Tests of the modules of the page that need no browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { importPage } from './typescript.mjs';
import { wireOf } from './view-model.mjs';

const { modelOf, escapeControl, short, spanOf, keyOf, processNote, toneNames } = await importPage('model.ts');
const { layout } = await importPage('layout.ts');
const { causesOf, chainOf } = await importPage('causes.ts');
const { search, step } = await importPage('search.ts');
const { duration, tick, parseDuration, thousands } = await importPage('words.ts');
const { fitAll, zoom, pan, clamp } = await importPage('window.ts');
const { countAlive, columns } = await importPage('overview.ts');
const { ticks } = await import('d3-array');

const model = (end, rows, log) => modelOf(wireOf(end, rows, log));

/** Returns a tree of random scopes and tasks, in which children may outlive their parents. */
function randomModel(seed, n) {
  const random = () => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed / 0x80000000; };
  const rows = [[0, 's', 'root', 0, 1000]];
  for (let i = 1; i < n; i++) {
    const [level, kind, , begin] = rows[rows.length - 1];
    const deeper = random() < 0.4 ? level + 1 : Math.max(1, Math.ceil(random() * level));
    const parentIsTask = deeper === level + 1 && kind === 't';
    const at = deeper === level + 1 ? begin + random() * 50 : random() * 900;
    const isScope = parentIsTask || random() < 0.3;
    rows.push([deeper, isScope ? 's' : 't', `n${i}`, at, Math.min(at + random() * random() * 600, 1000)]);
  }
  // A task can have only scopes below it.
  for (let i = 1; i < rows.length; i++) {
    for (let k = i - 1; k >= 0; k--) {
      if (rows[k][0] < rows[i][0]) { if (rows[k][1] === 't') rows[i][1] = 's'; break; }
    }
  }
  return model(1000, rows);
}

test('no two blocks of a layout overlap, and each is inside of its parent', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const m = randomModel(seed, 20 + seed * 4);
    const placed = layout(m);
    const extent = (i) => {
      let [from, to] = [m.begin[i], m.end[i]];
      for (let k = i; k < m.after[i]; k++) [from, to] = [Math.min(from, m.begin[k]), Math.max(to, m.end[k])];
      return { from, to, top: placed.top[i], bottom: placed.top[i] + placed.height[i] };
    };
    for (let i = 0; i < m.n; i++) {
      const a = extent(i);
      const p = m.parent[i];
      if (p >= 0) assert.ok(placed.top[p] + 4 <= a.top && a.bottom <= placed.top[p] + placed.height[p], `seed ${seed}: ${i} in ${p}`);
      for (let k = m.next[i]; k !== -1; k = m.next[k]) {
        const b = extent(k);
        const apart = a.to <= b.from || b.to <= a.from || a.bottom <= b.top || b.bottom <= a.top;
        assert.ok(apart, `seed ${seed}: ${i} and ${k}`);
      }
    }
  }
});

test('500 tasks, ten at a time, share the lanes of ten', () => {
  const rows = [[0, 's', 'crawl', 0, 50_000]];
  for (let i = 0; i < 500; i++) rows.push([1, 't', `page ${i}`, Math.floor(i / 10) * 1000, Math.floor(i / 10) * 1000 + 1000]);
  assert.equal(layout(model(50_000, rows)).total, 4 + 10 * 4 + 1);
});

const failure = [
  [0, 's', 'server', 0, 4e9, { err: 'too many', cause: { at: 3.2e9, kind: 'task failed', by: 'accept', err: 'too many' } }],
  [1, 't', 'accept', 0, 3.2e9, { state: 'failed', err: 'too many' }],
  [1, 't', 'conn', 1e9, 3.5e9, { state: 'canceled', err: 'context canceled' }],
  [2, 's', 'session', 1e9, 3.4e9, { err: 'parent canceled', cause: { at: 3.2e9, kind: 'parent canceled' } }],
  [3, 't', 'read', 1e9, 3.3e9, { state: 'canceled' }],
  [1, 't', 'done', 1e9, 2e9],
];

test('what a scope stops when it ends without a failure is not canceled', () => {
  const m = model(10, [
    [0, 's', 'job', 0, 10, { cause: { at: 9, kind: 'completed' } }],
    [1, 't', 'work', 0, 9],
    [1, 't', 'heartbeat', 0, 10, { state: 'canceled', flags: 1 }],
  ]);
  assert.equal(search(m, { text: '', state: 'canceled', longerThan: 0 }).length, 0);
  assert.equal(search(m, { text: '', state: 'stopped', longerThan: 0 }).length, 1);
});

test('search finds by name, state and duration, and goes around', () => {
  const m = model(4e9, failure);
  assert.deepEqual(search(m, { text: 'CON', state: '', longerThan: 0 }), [2]);
  assert.deepEqual(search(m, { text: '', state: 'failed', longerThan: 0 }), [0, 1]);
  assert.deepEqual(search(m, { text: '', state: '', longerThan: 3e9 }), [0, 1]);
  assert.equal(step([2, 5, 9], 5, false), 9);
  assert.equal(step([2, 5, 9], 9, false), 2);
  assert.equal(step([2, 5, 9], 2, true), 9);
});

test('control characters of names are escaped, and names are cut between characters', () => {
  assert.equal(escapeControl('a\u202eb\u0000c'), 'a⟨U+202E⟩b␀c');
  assert.equal(short('ab👩c', 4), 'ab…');
  assert.equal(short('abc', 3), 'abc');
  const m = model(4e9, failure);
  for (let i = 0; i < m.n; i++) if (m.isScope[i]) assert.equal(spanOf(m, keyOf(m, i)), i);
  assert.equal(spanOf(m, 'nonsense'), -1);
});

test('times are read and written', () => {
  assert.deepEqual([0, 7, 1500, 45.6e6, 3.2e9, 123e9, 7384e9, 999.7e6].map(duration), ['0 s', '7 ns', '1.5 µs', '45.6 ms', '3.2 s', '2 m 03 s', '2 h 03 m', '1 s']);
  assert.deepEqual(['100 ms', '1.5s', '20', 'x'].map(parseDuration), [1e8, 1.5e9, 2e7, NaN]);
  assert.equal(tick(1.2e9, 2e8, 3e9), '1.2 s');
  assert.equal(thousands(1234567), '1,234,567');
});

test('zooming leaves the point under the pointer, and the picture in its frame', () => {
  const p = { width: 900, height: 600, end: 1e9, total: 4000 };
  const all = fitAll(p);
  const near = zoom(p, all, 300, 200, 4);
  const at = (w) => w.from + ((w.to - w.from) * 300) / 900;
  assert.ok(Math.abs(at(near) - at(all)) < 1);
  assert.ok(Math.abs((near.top + 200) / near.unit - (all.top + 200) / all.unit) < 1e-6);
  const far = clamp(p, zoom(p, near, 300, 200, 1 / 100));
  assert.deepEqual(far, all);
  const aside = pan(p, near, 1e9, 1e9);
  assert.ok(aside.to <= 1e9 * 1.026 && aside.top <= 4000 * near.unit);
});

test('tasks alive are counted, those that take no time too', () => {
  const m = model(10, [[0, 's', 'r', 0, 10], [1, 't', 'a', 0, 5], [1, 't', 'b', 2, -1], [1, 't', 'c', 5, 5]]);
  const counts = countAlive(m);
  assert.deepEqual([...counts.alive], [1, 2, 1]);
  assert.equal(counts.most, 3);
  assert.deepEqual([...columns(counts, 0, 10, 5)], [1, 2, 2, 1, 1]);
});

test('the zoom of a long run ends where its times can no longer be told apart', () => {
  const p = { width: 900, height: 600, end: 31536000e9, total: 40 };
  let w = fitAll(p);
  for (let i = 0; i < 200; i++) w = zoom(p, w, 880, 10, 1.4);
  const times = ticks(w.from, w.to, 9);
  assert.equal(new Set(times).size, times.length);
  for (const t of times) tick(t, times[1] - times[0], w.to);
  assert.deepEqual(zoom({ ...p, width: 0 }, w, 0, 0, 2), w, 'a window without a width shows nothing');
});

test('a task with many abandoned calls is read fast', () => {
  const abandoned = Array.from({ length: 100_000 }, (_, k) => [0, k]);
  const begin = performance.now();
  assert.equal(model(100_000, [[0, 's', 'pump', 0, 100_000]], { abandoned }).abandoned.get(0).length, 100_000);
  assert.ok(performance.now() - begin < 2000);
});

test('texts have a contrast of at least 4.5, as WCAG asks for, light and dark', () => {
  const css = readFileSync(new URL('../view/theme.css', import.meta.url), 'utf8');
  const [light, dark] = [...css.matchAll(/^:root[^{]*\{([^}]*)\}/gm)].map(([, block]) => Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, color]) => [name, color])));
  const brightness = (color) => {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16) / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [brightness(a), brightness(b)].sort((p, q) => p - q);
    return (high + 0.05) / (low + 0.05);
  };
  const tones = ['ok', 'stopped', 'failed', 'canceled', 'unfinished', 'stuck', 'lost'];
  const pairs = [
    ...['ink', 'muted', 'failed'].flatMap((text) => ['background', 'panel', 'hover', 'select'].map((on) => [text, on])),
    ...['accent', 'critical', 'cancellation'].map((text) => [text, 'background']),
    ...tones.flatMap((tone) => [[`on-${tone}`, tone], ['muted', `${tone}-dim`]]),
  ];
  for (const theme of [light, dark]) {
    for (const [text, on] of pairs) assert.ok(contrast(theme[text], theme[on]) >= 4.5, `${text} on ${on}: ${contrast(theme[text], theme[on])}`);
  }
});

/** Returns the model of a tree of processes: leaf was killed, for which mid failed, and root. Idle was asked to end by root. */
function processes(change = {}) {
  const gone = 'actor leaf is gone: signal: killed';
  const process = (pid, until, more) => ({ id: pid, pid, program: 'test', go: '', run: `run${pid}`, begin: 0, end: until, until, closed: true, died: false, segment: 0, truncated: false, ...more });
  const rows = [
    [0, 's', 'root', 0, 44, { err: gone, cause: { at: 40, kind: 'task failed', by: 'mid actor', err: gone } }],
    [1, 't', 'mid actor', 0, 40, { state: 'failed', err: gone }],
    [2, 's', 'mid', 1, 34, { err: gone, cause: { at: 31, kind: 'task failed', by: 'leaf actor', err: gone } }],
    [3, 't', 'leaf actor', 2, 30, { state: 'failed', err: gone }],
    [4, 's', 'leaf', 3, -1],
    [5, 't', 'compute', 4, -1],
    [1, 't', 'idle actor', 0, 43, { state: 'ok' }],
    [2, 's', 'idle', 1, 42, { err: 'canceled by root', cause: { at: 41, kind: 'requested', err: 'canceled by root' } }],
    [3, 't', 'tick', 1, 42, { state: 'canceled' }],
  ];
  return model(50, rows, {
    closed: false,
    processes: [process(71, 50), process(72, 36), process(73, 30, { end: 18, closed: false, died: true, truncated: true }), process(74, 43)],
    process: [[0, 0], [2, 1], [4, 2], [7, 3]], ...change,
  });
}

test('each span is in a process, and the first scope of each says which', () => {
  const m = processes();
  assert.deepEqual([...m.process], [0, 0, 1, 1, 2, 2, 0, 3, 3]);
  assert.deepEqual([0, 1, 2, 4, 5].map((i) => processNote(m, i)), [' · pid 71', '', ' · pid 72', ' · pid 73, crashed or killed', '']);
  assert.deepEqual([4, 5].map((i) => m.end[i]), [30, 30], 'what is unfinished ends with its process, not with the log');
  assert.equal(countAlive(m).alive.at(-1), 0);
  for (let i = 0; i < m.n; i++) assert.equal(spanOf(m, keyOf(m, i)), i);
  assert.equal(keyOf(m, 5), '73-5.6');
  assert.equal(spanOf(m, '99-5.6'), -1);
  assert.equal(processNote(model(4e9, failure), 0), '', 'a recording of one process need not say so');
});

test('a failure goes up from process to process, and the end of one down', () => {
  const m = processes();
  const why = (i) => chainOf(m, causesOf(m), i).map((steps) => steps.map((s) => s.text + (s.quote ? ` (${s.quote})` : '')).join(''));
  assert.deepEqual(why(8).slice(0, 3), [
    'task tick was canceled because its scope ended: scope idle',
    'scope idle was canceled because its scope ended: scope root',
    'scope root ended because a task failed',
  ]);
  assert.equal(toneNames[m.tone[7]], 'canceled', 'it was asked to end after root had failed');
  assert.equal(toneNames[model(50, [[0, 's', 'idle', 1, 42, { err: 'no', cause: { at: 41, kind: 'requested', err: 'no' } }]]).tone[0]], 'failed', 'in one process it is the cause itself');
});

