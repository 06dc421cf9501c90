// Tests of the modules of the page that need no browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { importPage } from './typescript.mjs';
import { wireOf } from './view-model.mjs';

const { modelOf, escapeControl, short, spanOf, keyOf, processNote, toneNames } = await importPage('model.ts');
const { layout } = await importPage('layout.ts');
const { criticalPath, shares } = await importPage('critical.ts');
const { causesOf, chainOf } = await importPage('causes.ts');
const { storyOf, textOf } = await importPage('story.ts');
const { search, step } = await importPage('search.ts');
const { duration, tick, parseDuration, thousands } = await importPage('words.ts');
const { fitAll, zoom, pan, clamp } = await importPage('window.ts');
const { countAlive, columns } = await importPage('overview.ts');
const { ticks } = await import('d3-array');

const model = (end, rows, log) => modelOf(wireOf(end, rows, log));
const story = (m) => storyOf(m, causesOf(m)).map(textOf);

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

test('the critical path is as long as the scope, and made of what ended last', () => {
  const m = model(100, [
    [0, 's', 'root', 0, 100],
    [1, 't', 'short', 0, 30],
    [1, 't', 'long', 10, 60],
    [2, 's', 'inner', 12, 58],
    [3, 't', 'leaf', 20, 58],
    [1, 't', 'second', 60, 95],
    [1, 't', 'nobody waits', 0, 100, { flags: 1 }],
  ]);
  const pieces = criticalPath(m, 0).map((p) => [m.names[p.span], p.from, p.to]);
  assert.deepEqual(pieces, [
    ['root', 0, 10], ['long', 10, 12], ['inner', 12, 20], ['leaf', 20, 58], ['long', 58, 60], ['second', 60, 95], ['root', 95, 100],
  ]);
  assert.deepEqual(shares(criticalPath(m, 0)).slice(0, 2).map((s) => [m.names[s.span], s.time]), [['leaf', 38], ['second', 35]]);
  for (let seed = 1; seed <= 40; seed++) {
    const random = randomModel(seed, 200);
    for (const of of [0, 5, 9]) {
      const pieces = criticalPath(random, of);
      const sum = pieces.reduce((n, p) => n + p.to - p.from, 0);
      assert.ok(Math.abs(sum - (random.end[of] - random.begin[of])) < 1e-6, `seed ${seed}, span ${of}`);
      pieces.forEach((p, k) => k > 0 && assert.ok(Math.abs(p.from - pieces[k - 1].to) < 1e-9, 'without holes'));
    }
  }
});

const failure = [
  [0, 's', 'server', 0, 4e9, { err: 'too many', cause: { at: 3.2e9, kind: 'task failed', by: 'accept', err: 'too many' } }],
  [1, 't', 'accept', 0, 3.2e9, { state: 'failed', err: 'too many' }],
  [1, 't', 'conn', 1e9, 3.5e9, { state: 'canceled', err: 'context canceled' }],
  [2, 's', 'session', 1e9, 3.4e9, { err: 'parent canceled', cause: { at: 3.2e9, kind: 'parent canceled' } }],
  [3, 't', 'read', 1e9, 3.3e9, { state: 'canceled' }],
  [1, 't', 'done', 1e9, 2e9],
];

test('the story names the first failure, and counts what was canceled because of it', () => {
  assert.deepEqual(story(model(4e9, failure)), ['server failed after 3.2 s: task accept returned “too many”; 2 tasks and 1 scope were canceled because of it.']);
});

test('the story names the failure that canceled most, too', () => {
  const lost = (at) => ({ err: 'no', cause: { at, kind: 'timeout', err: 'no' } });
  const below = failure.map(([level, ...rest]) => [level + 1, ...rest]);
  const m = model(9e9, [[0, 's', 'app', 0, 9e9], [1, 's', 'early', 0, 1e9, lost(1e9)], ...below, [1, 's', 'late', 5e9, 6e9, lost(6e9)]]);
  assert.deepEqual(story(m), [
    'early failed after 1 s: its deadline passed.',
    'server failed after 3.2 s: task accept returned “too many”; 2 tasks and 1 scope were canceled because of it.',
    '1 more scope failed, late: its deadline passed.',
  ]);
});

test('the chain of causes leads back to the failure', () => {
  const m = model(4e9, failure);
  const chain = chainOf(m, causesOf(m), 4).map((steps) => steps.map((s) => s.text + (s.quote ? ` (${s.quote})` : '')).join(''));
  assert.deepEqual(chain, [
    'task read was canceled because its scope ended: scope session',
    'scope session was canceled because its scope ended: scope server',
    'scope server ended because a task failed',
    'task accept failed (too many)',
  ]);
  assert.deepEqual(chainOf(m, causesOf(m), 5), [], 'what ended well needs no reason');
});

test('what a scope stops when it ends without a failure is not canceled', () => {
  const m = model(10, [
    [0, 's', 'job', 0, 10, { cause: { at: 9, kind: 'completed' } }],
    [1, 't', 'work', 0, 9],
    [1, 't', 'heartbeat', 0, 10, { state: 'canceled', flags: 1 }],
  ]);
  assert.deepEqual(story(m), ['job ended well after 10 ns: 2 tasks in 1 scope.']);
  assert.equal(search(m, { text: '', state: 'canceled', longerThan: 0 }).length, 0);
  assert.equal(search(m, { text: '', state: 'stopped', longerThan: 0 }).length, 1);
});

test('the story does not hide what is missing', () => {
  const cut = { closed: false, truncated: true, damaged: 2, losses: [{ at: 5e7, lines: 812, why: 'the writer was too slow' }] };
  assert.deepEqual(story(model(1e9, [[0, 's', 'a', 0, -1], [1, 't', 'b', 0, -1]], cut)), [
    'The log stops after 1 s without its last line: the program crashed, was killed, or still runs. 1 task and 1 scope had not ended.',
    '812 lines of the log are lost after 50 ms: the writer was too slow. What was going on then is drawn as far as it is known.',
    'The log is cut in the middle of a line.',
    '2 lines of the log make no sense and were left out.',
  ]);
  assert.match(story(model(0, []))[0], /Nothing happened/);
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

test('a scope was canceled by its parent, or by a context in between', () => {
  const rows = (canceled, err) => [
    [0, 's', 'server', 0, 10, { err: 'full', cause: { at: 9, kind: 'task failed', by: 'accept', err: 'full' } }],
    [1, 't', 'worker', 0, 10, { state: 'canceled' }],
    [2, 's', 'query', 0, canceled + 1, { err: 'parent canceled', cause: { at: canceled, kind: 'parent canceled', err } }],
    [3, 't', 'db', 0, canceled + 1, { state: 'canceled' }],
    [1, 't', 'accept', 0, 9, { state: 'failed', err: 'full' }],
  ];
  const before = model(10, rows(2, '"worker" timed out'));
  assert.deepEqual(story(before), ['server failed after 9 ns: task accept returned “full”; 1 task was canceled because of it.']);
  assert.deepEqual(causesOf(before).canceled.get(0), [1]);
  const why = (m, i) => chainOf(m, causesOf(m), i).map((steps) => steps.map((s) => s.text + (s.quote ? ` (${s.quote})` : '')).join(''));
  assert.deepEqual(why(before, 3).slice(0, 2), [
    'task db was canceled because its scope ended: scope query',
    'scope query was canceled with the task that opened it: task worker',
  ]);
  const alone = model(10, rows(2, '"worker" timed out').map((row) => (row[2] === 'worker' ? [1, 't', 'worker', 0, 5] : row)));
  assert.deepEqual(why(alone, 2), ['scope query was canceled by a context between it and its parent ("worker" timed out)']);
  const after = model(10, rows(9, ''));
  assert.deepEqual(story(after), ['server failed after 9 ns: task accept returned “full”; 2 tasks and 1 scope were canceled because of it.']);
});

test('a task that has survived a failure below it may fail with another', () => {
  const session = [2, 's', 'session', 0, 2, { err: 'scope "session": task "talk": reset', cause: { at: 1, kind: 'task failed', by: 'talk', err: 'reset' } }];
  const rows = (flags, end, err) => [[0, 's', 'server', 0, 61, end], [1, 't', 'serve', 0, 60, { state: 'failed', flags, err }], session, [3, 't', 'talk', 0, 1, { state: 'failed', err: 'reset' }]];
  const failing = (err) => rows(5, { err, cause: { at: 60, kind: 'task failed', by: 'serve', err } }, err);
  assert.deepEqual(story(model(61, failing('out of memory'))), [
    'session failed after 1 ns: task talk returned “reset”.',
    'server failed after 60 ns: task serve returned “out of memory”.',
  ]);
  assert.deepEqual(story(model(61, failing('serving: scope "session": task "talk": reset'))), [
    'session failed after 1 ns: task talk returned “reset”. That ended server as well.',
  ]);
  assert.deepEqual(story(model(61, rows(4, { cause: { at: 60, kind: 'completed' } }, 'out of memory'))), [
    'session failed after 1 ns: task talk returned “reset”.',
    '1 task failed without ending a scope: serve with “out of memory”.',
  ]);
});

test('a scope has failed if its outcome is an error, whatever its cause', () => {
  assert.deepEqual(story(model(9, [[0, 's', 'job', 0, 9, { err: 'boom' }]])), ['job failed after 9 ns: its outcome was “boom”.'], 'the line that says why is lost');
  const stuck = [[0, 's', 'job', 0, 9, { err: 'deaf did not end', cause: { at: 2, kind: 'requested' } }], [1, 't', 'deaf', 0, 9]];
  assert.deepEqual(story(model(9, stuck)), ['job failed after 9 ns: its outcome was “deaf did not end”.']);
  assert.deepEqual(story(model(9, [[0, 's', 'job', 0, 9, { err: 'x', cause: { at: 2, kind: 'panicked' } }]])), ['job failed after 2 ns: its body panicked.']);
});

test('a chain of causes of any length ends at the culprit', () => {
  const rows = [[0, 's', 'root', 0, 10, { err: 'bad', cause: { at: 5, kind: 'task failed', by: 'culprit', err: 'bad' } }]];
  for (let i = 1; i < 1000; i++) rows.push([i, 's', `level ${i}`, 0, 9, { err: 'bad', cause: { at: 6, kind: 'parent canceled' } }]);
  rows.push([1, 't', 'culprit', 0, 5, { state: 'failed', err: 'bad' }]);
  const m = model(10, rows);
  const chain = chainOf(m, causesOf(m), 999);
  assert.equal(chain.length, 1001);
  assert.equal(chain.at(-1)[0].text, 'task culprit');
});

test('the critical path has what a scope waits for after its end, and until it gives up', () => {
  const pieces = (m) => criticalPath(m, 0).map((p) => [m.names[p.span], p.from, p.to]);
  assert.deepEqual(pieces(model(90, [
    [0, 's', 'job', 0, 90, { cause: { at: 10, kind: 'completed' } }],
    [1, 't', 'work', 0, 10],
    [1, 't', 'gone', 0, 5, { flags: 1 }],
    [1, 't', 'sweep', 0, 80, { flags: 1, state: 'canceled' }],
  ])), [['work', 0, 10], ['sweep', 10, 80], ['job', 80, 90]]);
  assert.deepEqual(pieces(model(90, [
    [0, 's', 'job', 0, 31, { err: 'stuck', cause: { at: 20, kind: 'requested' } }],
    [1, 't', 'deaf', 1, 90, { state: 'stuck' }],
  ], { stuck: [[1, 30]] })), [['job', 0, 1], ['deaf', 1, 30], ['job', 30, 31]]);
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

test('the failure of a root is told from where it began', () => {
  const m = model(90, [
    [0, 's', 'app', 0, 90, { err: 'bad row', cause: { at: 50, kind: 'task failed', by: 'import', err: 'bad row' } }],
    [1, 's', 'early', 0, 9, { err: 'no', cause: { at: 5, kind: 'timeout', err: 'no' } }],
    [1, 't', 'import', 0, 49, { state: 'failed', err: 'bad row' }],
    [2, 's', 'batch', 0, 48, { err: 'bad row', cause: { at: 41, kind: 'task failed', by: 'row', err: 'bad row' } }],
    [3, 't', 'row', 0, 40, { state: 'failed', err: 'bad row' }],
  ]);
  assert.deepEqual(story(m), ['early failed after 5 ns: its deadline passed.', 'batch failed after 41 ns: task row returned “bad row”. That ended app as well.']);
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
  assert.deepEqual(story(m).slice(0, 1), ['mid failed after 30 ns: task leaf actor returned “actor leaf is gone: signal: killed”. That ended root as well, and 1 task and 1 scope were canceled because of it.']);
  const why = (i) => chainOf(m, causesOf(m), i).map((steps) => steps.map((s) => s.text + (s.quote ? ` (${s.quote})` : '')).join(''));
  assert.deepEqual(why(8).slice(0, 3), [
    'task tick was canceled because its scope ended: scope idle',
    'scope idle was canceled because its scope ended: scope root',
    'scope root ended because a task failed',
  ]);
  assert.equal(toneNames[m.tone[7]], 'canceled', 'it was asked to end after root had failed');
  assert.equal(toneNames[model(50, [[0, 's', 'idle', 1, 42, { err: 'no', cause: { at: 41, kind: 'requested', err: 'no' } }]]).tone[0]], 'failed', 'in one process it is the cause itself');
});

test('the story says which process died, and what is left out', () => {
  const m = processes({ truncated: true, skipped: ['app.jsonl: no log'], losses: [{ at: 5, lines: 1, why: 'slow', process: 1 }] });
  assert.deepEqual(story(m).slice(1), [
    'The log of process 73, leaf, stops after 18 ns without its last line: it crashed or was killed. 1 task and 1 scope in it had not ended.',
    '1 line of the log is lost after 5 ns in process 72: slow. What was going on then is drawn as far as it is known.',
    '1 log is cut in the middle of a line.',
    '1 file is left out: app.jsonl: no log.',
  ]);
});
