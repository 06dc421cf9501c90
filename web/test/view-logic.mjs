// Tests of the modules of the page that need no browser.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { importPage } from './typescript.mjs';
import { wireOf } from './view-model.mjs';

const { modelOf, escapeControl, short, spanOf, keyOf, processNote, toneNames } = await importPage('model.ts');
const { foldsOf, foldName, groupNode, restNode, isRest, isSpan, groupIn } = await importPage('folds.ts');
const { rowsOf, openWay, openAtFirst, nothingOpen } = await importPage('rows.ts');
const { innermost, failureOf, elidePath, elide, sayOnce } = await importPage('text.ts');
const { namesOf, sorted } = await importPage('names.ts');
const { alive } = await importPage('many.ts');
const { causesOf, chainOf, whyStopped } = await importPage('causes.ts');
const { search, step, queryOf } = await importPage('search.ts');
const { duration, lasted, tick, parseDuration, thousands } = await importPage('words.ts');
const { fitAll, zoom, pan, clamp, reveal } = await importPage('window.ts');
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

const everything = (m) => ({ spans: new Set(Array.from({ length: m.n }, (_, i) => i)), groups: new Map(), extra: new Set() });
const shownNames = (m, folds, rows) => rows.nodes.map((node, r) => '  '.repeat(rows.level[r]) + (isSpan(node) ? m.names[node] : isRest(node) ? '…' : `${folds.groups[groupIn(node)].name} ×${folds.groups[groupIn(node)].members.length}`));

test('names are alike if only their digits and serials differ', () => {
  assert.deepEqual(['conn 17', 'conn 3 of 9', 'job 6f1c9a0e', 'job 0xDEAD', '2f1c9a0e-1111-4222-8333-444455556666', 'thing.cached[0]', 'decade', 'v2'].map(foldName),
    ['conn #', 'conn # of #', 'job #', 'job #', '#', 'thing.cached[#]', 'decade', 'v#']);
});

test('alike siblings fold by name, whatever their states, at least five of them', () => {
  const rows = [[0, 's', 'root', 0, 100]];
  for (let i = 0; i < 4; i++) rows.push([1, 't', `four ${i}`, i, 50]);
  for (let i = 0; i < 6; i++) rows.push([1, 't', `six ${i}`, 10 + i, i === 3 ? -1 : 60, i === 2 ? { state: 'failed', err: 'x' } : {}]);
  for (let i = 0; i < 5; i++) rows.push([1, 's', `six ${i}`, 20 + i, 60]);
  const m = model(100, rows);
  const folds = foldsOf(m);
  const shown = rowsOf(m, folds, everything(m));
  assert.deepEqual(shownNames(m, folds, shown), ['root', '  four 0', '  four 1', '  four 2', '  four 3', '  six # ×6', '  six # ×5']);
  assert.deepEqual([...shown.shownAt.slice(5, 11)], [5, 5, 5, 5, 5, 5], 'each is in the row of its group');
  assert.deepEqual([shown.end[0], shown.end[5]], [7, 6]);
  assert.deepEqual(shown.size.slice(1), [6, 6, 6, 6, 6, 6]);
});

test('a group opens to what failed, is stuck or unfinished, then the slowest, then to all', () => {
  const rows = [[0, 's', 'root', 0, 1000]];
  for (let i = 0; i < 100; i++) rows.push([1, 't', `item ${i}`, i, i === 70 ? -1 : 200 + (i * 37) % 100, i === 80 ? { state: 'failed', err: 'x' } : i === 60 ? { state: 'stuck' } : {}]);
  const m = model(1000, rows);
  const folds = foldsOf(m);
  folds.below(0);
  const few = folds.outliersOf(0);
  assert.equal(few.length, 10);
  assert.deepEqual(few.slice(0, 3).map((i) => m.names[i]), ['item 80', 'item 60', 'item 70']);
  const times = few.slice(3).map((i) => m.end[i] - m.begin[i]);
  assert.deepEqual(times, [...times].sort((a, b) => b - a));
  const part = (how) => rowsOf(m, folds, { ...everything(m), groups: new Map([[0, how]]), extra: new Set([5]) });
  assert.equal(part('few').nodes.length, 2 + 10 + 1 + 1, 'the outliers, the one that was asked for, and the rest');
  assert.ok(isRest(part('few').nodes.at(-1)));
  assert.deepEqual(part('some').nodes, [0, groupNode(0), 5, restNode(0)]);
  assert.equal(part('all').nodes.length, 102);
});

test('a member with a failure inside is looked at before the slowest', () => {
  const rows = [[0, 's', 'root', 0, 1000]];
  for (let i = 0; i < 50; i++) rows.push([1, 't', 'conn', i, 500 + i], [2, 's', 'session', i, 400, i === 7 ? { err: 'x' } : {}]);
  const m = model(1000, rows);
  const folds = foldsOf(m);
  folds.below(0);
  assert.equal(folds.outliersOf(0)[0], 1 + 2 * 7);
  assert.equal(folds.numbersOf(0).inside, 1);
});

test('a failure that goes up counts once', () => {
  const rows = [[0, 's', 'root', 0, 1000]];
  for (let i = 0; i < 6; i++) {
    rows.push([1, 't', 'conn', i, 500], [2, 's', 'session', i, 400, { err: 'bad', cause: { at: 300, kind: 'task failed', by: `read ${i}`, err: 'bad' } }],
      [3, 't', `read ${i}`, i, 300, { state: 'failed', err: 'bad' }]);
  }
  const m = model(1000, rows);
  const folds = foldsOf(m);
  folds.below(0);
  assert.equal(folds.numbersOf(0).inside, 6);
});

test('the way to a span is opened, and no more', () => {
  const rows = [[0, 's', 'root', 0, 1000]];
  for (let i = 0; i < 50; i++) rows.push([1, 't', `conn ${i}`, i, 500], [2, 's', 'session', i, 500], [3, 't', 'read', i, 500]);
  const m = model(1000, rows);
  const folds = foldsOf(m);
  const target = m.names.indexOf('conn 33') + 2;
  const shown = rowsOf(m, folds, openWay(m, folds, nothingOpen, target));
  assert.deepEqual(shownNames(m, folds, shown), ['root', '  conn # ×50', '    conn 33', '      session', '        read', '    …']);
  assert.equal(shown.nodes[shown.at(target)], target);
});

test('at first is open what the headline names, and as many levels as there is room for', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const m = randomModel(seed, 300);
    const folds = foldsOf(m);
    const named = [m.n - 1, m.n >> 1];
    const shown = rowsOf(m, folds, openAtFirst(m, folds, named, 30));
    for (const i of named) assert.equal(shown.nodes[shown.at(i)], i, `seed ${seed}`);
    const none = rowsOf(m, folds, openAtFirst(m, folds, [], 30));
    assert.ok(none.nodes.length <= 30, `seed ${seed}: ${none.nodes.length} rows`);
  }
  const small = model(4e9, failure);
  assert.equal(rowsOf(small, foldsOf(small), openAtFirst(small, foldsOf(small), [], 30)).nodes.length, small.n, 'all of a small log');
});

test('rows are in the order of the tree, and each span is in one of them', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const m = randomModel(seed, 20 + seed * 4);
    const folds = foldsOf(m);
    const some = { ...everything(m), spans: new Set(Array.from({ length: m.n }, (_, i) => i).filter((i) => (i * seed) % 3)) };
    const rows = rowsOf(m, folds, some);
    for (let i = 0; i < m.n; i++) {
      const at = rows.shownAt[i];
      assert.ok(at >= 0 && at < rows.nodes.length);
      const p = m.parent[i];
      if (p >= 0) assert.ok(rows.shownAt[p] <= at && at < rows.end[rows.shownAt[p]], `seed ${seed}: ${i} in ${p}`);
    }
  }
});

test('100,000 siblings and 50,000 levels are rows in no time', () => {
  const wide = [[0, 's', 'root', 0, 1e6]], deep = [];
  for (let i = 0; i < 100_000; i++) wide.push([1, 't', 'item', i, i + 10]);
  for (let i = 0; i < 50_000; i++) deep.push([i, 's', 'level', 0, 1e6]);
  for (const rows of [wide, deep]) {
    const m = modelOf(bigWire(1e6, rows));
    const begin = performance.now();
    const folds = foldsOf(m);
    rowsOf(m, folds, openAtFirst(m, folds, [m.n - 1], 30));
    rowsOf(m, folds, everything(m));
    assert.ok(performance.now() - begin < 3000, `${performance.now() - begin} ms`);
  }
});

/** As wireOf, for many rows of one or two names. */
function bigWire(end, rows) {
  const wire = wireOf(end, [rows[0]]);
  const path = [];
  rows.forEach(([level, kind, , begin, stop], i) => {
    path[level] = i;
    if (i === 0) return;
    wire.kind += kind;
    wire.id.push(i + 1);
    wire.parent.push(path[level - 1] ?? -1);
    for (const [column, value] of [['name', 1], ['state', wire.state[0]], ['flags', 5], ['begin', begin], ['start', begin], ['stop', stop], ['err', 0]]) wire[column].push(value);
  });
  return wire;
}

test('one bar for many has each state in the columns in which it was alive', () => {
  const m = model(1000, [[0, 's', 'root', 0, 1000], [1, 't', 'a 1', 0, 500], [1, 't', 'a 2', 300, 301, { state: 'failed', err: 'x' }], [1, 't', 'a 3', 900, 1000]]);
  const { counts, columns } = alive({ view: { from: 0, to: 1000 }, width: 100, store: { model: m } }, [1, 2, 3]);
  const row = (tone) => [...counts.slice(tone * (columns + 1), tone * (columns + 1) + columns)];
  assert.deepEqual(row(6).flatMap((n, k) => (n > 0 ? [k] : [])), [30], 'a failure is as wide as it was long');
  assert.equal(row(0).reduce((a, b) => a + b), 60);
  const near = alive({ view: { from: 300, to: 301 }, width: 100, store: { model: m } }, [1, 2, 3]);
  assert.equal(near.counts.slice(6 * 101, 6 * 101 + 100).reduce((a, b) => a + b), 100);
});

test('errors are told from the inside', () => {
  const table = JSON.parse(readFileSync(new URL('../../record/story/testdata/innermost.json', import.meta.url), 'utf8'));
  for (const { error, innermost: want } of table) assert.equal(innermost(error), want, error);
  const long = 'scope "level 1": task "x": sco…';
  const m = model(10, [
    [0, 's', 'root', 0, 10, { err: long, cause: { at: 5, kind: 'task failed', by: 'outer', err: long } }],
    [1, 't', 'outer', 0, 5, { state: 'failed', err: long }],
    [2, 's', 'inner', 0, 4, { err: long, cause: { at: 3, kind: 'task failed', by: 'leaf', err: 'bottom reached' } }],
    [3, 't', 'leaf', 0, 3, { state: 'failed', err: 'bottom reached' }],
  ]);
  assert.deepEqual(failureOf(m, 0), { message: 'bottom reached', from: 3 });
  assert.deepEqual(failureOf(m, 3), { message: 'bottom reached', from: -1 });
  assert.equal(sayOnce('task task 60'), 'task 60');
  assert.equal(sayOnce('task taskforce'), 'task taskforce');
});

test('paths are cut in the middle, and keep their last element', () => {
  const path = ['root', ...Array.from({ length: 60 }, (_, k) => `level ${k + 1}`)];
  assert.equal(elidePath(path, 40), 'root/level 1/…/level 58/level 59/level 60'.slice(0, 13) + '…/level 59/level 60');
  for (let room = 12; room < 700; room++) {
    const text = elidePath(path, room);
    assert.ok(text.length <= room && text.endsWith('level 60'), `${room}: ${text}`);
  }
  assert.equal(elidePath(['a', 'b'], 40), 'a/b');
  assert.ok(elidePath(['a/b', 'x'.repeat(99)], 30).length <= 30);
  assert.ok(elide('x'.repeat(99), 20).length <= 20);
});

test('the table by name has the times alive of each name', () => {
  const rows = [[0, 's', 'root', 0, 1000]];
  for (let i = 0; i < 100; i++) rows.push([1, 't', `item ${i}`, 0, i + 1, i < 3 ? { state: 'failed', err: 'x' } : i < 5 ? { state: 'canceled' } : {}]);
  const table = namesOf(model(1000, rows));
  const { name, count, median, p99, longest, failed, canceled } = table[1];
  assert.deepEqual({ name, count, median, p99, longest, failed, canceled }, { name: 'item #', count: 100, median: 50, p99: 99, longest: 100, failed: 3, canceled: 2 });
  assert.deepEqual(sorted(table, 'longest', false).map((r) => r.name), ['root', 'item #']);
  assert.deepEqual(sorted(table, 'name', true).map((r) => r.name), ['item #', 'root']);
});

test('medians are those of what has ended, or else of the times so far', () => {
  const rows = (ended) => [[0, 's', 'root', 0, 1000], ...Array.from({ length: 10 }, (_, i) => [1, 't', `item ${i}`, 1000 - 100 * (i + 1), i < ended ? 1000 - 100 * (i + 1) + 10 : -1])];
  const numbers = (ended) => namesOf(model(1000, rows(ended)))[1];
  const some = numbers(3), no = numbers(0);
  assert.deepEqual([some.median, some.p99, some.areSoFar, some.longest, some.isLongestSoFar, some.unfinished], [10, 10, false, 1000, true, 7]);
  assert.deepEqual([no.median, no.p99, no.areSoFar, lasted(no.median, no.areSoFar)], [500, 1000, true, '≥500 ns']);
  assert.deepEqual([numbers(10).isLongestSoFar, numbers(10).unfinished], [false, 0]);
});

test('what was stopped is told apart, with the reason', () => {
  const m = model(400, [
    [0, 's', 'root', 0, 400, { cause: { at: 390, kind: 'completed' } }],
    [1, 's', 'Race', 0, 310, { cause: { at: 300, kind: 'master ended', by: 'fast' } }],
    [2, 't', 'fast', 0, 300], [2, 't', 'slow', 0, 305, { state: 'canceled' }],
    [2, 's', 'inner', 0, 308, { cause: { at: 301, kind: 'parent canceled' } }], [3, 't', 'leaf', 0, 307, { state: 'canceled' }],
    [1, 's', 'served', 0, 310, { cause: { at: 300, kind: 'master ended', by: 'main' } }],
    [2, 't', 'main', 0, 300, { flags: 7 }], [2, 't', 'helper', 0, 305, { state: 'canceled' }],
    [1, 't', 'tick', 0, 395, { state: 'canceled', flags: 1 }],
  ]);
  assert.deepEqual(['slow', 'inner', 'leaf', 'helper', 'tick'].map((name) => whyStopped(m, m.names.indexOf(name))),
    ['stopped: another had won', 'stopped: another had won', 'stopped: another had won', 'stopped: the master of its scope had ended', 'stopped: all else was done']);
  const row = namesOf(m).find((r) => r.name === 'slow');
  assert.deepEqual([row.canceled, row.stopped], [0, 1]);
});

test('a number in the story leads to what it counts', () => {
  const m = model(4e9, failure, { canceled: [[2, 0], [3, 0], [4, 0]] });
  const causes = causesOf(m);
  const find = (word) => search(m, { text: '', state: '', longerThan: 0, alike: '', ...queryOf(m, causes, word) });
  assert.deepEqual(find({ text: '2 tasks and 1 scope', find: 'canceled', of: [0] }), [2, 3, 4]);
  assert.equal(queryOf(m, causes, { text: '', find: 'canceled', of: [0] }).counted.what, 'canceled because of server');
  assert.deepEqual(find({ text: '1 failure', find: 'failed', of: [1] }), [1], 'not the scope that failed with it');
  assert.deepEqual(find({ text: '2', find: 'failed' }), [0, 1], 'all of them');
});

test('paths and errors are found', () => {
  const m = model(4e9, failure);
  const find = (text) => search(m, { text, state: '', longerThan: 0, alike: '' }).map((i) => m.names[i]);
  assert.deepEqual(find('server/conn'), ['conn']);
  assert.deepEqual(find('ver/session/re'), ['read']);
  assert.deepEqual(find('session/conn'), []);
  assert.deepEqual(find('TOO MANY'), ['server', 'accept']);
  assert.deepEqual(find('/server'), ['server']);
  const named = model(10, [[0, 's', 'job', 0, 10, { err: 'scope "a/quote": task "quote": boom' }]]);
  assert.deepEqual(search(named, { text: 'quote', state: '', longerThan: 0, alike: '' }), [], 'where an error was is no error');
  assert.deepEqual(search(m, { text: '', state: '', longerThan: 0, alike: 'tconn' }), [2]);
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
  assert.equal(search(m, { text: '', state: 'canceled', longerThan: 0, alike: '' }).length, 0);
  assert.equal(search(m, { text: '', state: 'stopped', longerThan: 0, alike: '' }).length, 1);
});

test('search finds by name, state and duration, and goes around', () => {
  const m = model(4e9, failure);
  assert.deepEqual(search(m, { text: 'CON', state: '', longerThan: 0, alike: '' }), [2]);
  assert.deepEqual(search(m, { text: '', state: 'failed', longerThan: 0, alike: '' }), [0, 1]);
  assert.deepEqual(search(m, { text: '', state: '', longerThan: 3e9, alike: '' }), [0, 1]);
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

test('zooming leaves the time under the pointer, and the picture in its frame', () => {
  const p = { width: 900, end: 1e9 };
  const all = fitAll(p);
  const near = zoom(p, all, 300, 4);
  const at = (w) => w.from + ((w.to - w.from) * 300) / 900;
  assert.ok(Math.abs(at(near) - at(all)) < 1);
  assert.deepEqual(clamp(p, zoom(p, near, 300, 1 / 100)), all);
  assert.ok(pan(p, near, 1e9).to <= 1e9 * 1.026);
  assert.equal(reveal(p, near, near.from + 1, near.to - 1), near, 'what is seen moves nothing');
  const there = reveal(p, near, 9e8, 9.1e8);
  assert.ok(there.from < 9e8 && there.to > 9.1e8 && Math.abs(there.to - there.from - (near.to - near.from)) < 1);
});

test('tasks alive are counted, those that take no time too', () => {
  const m = model(10, [[0, 's', 'r', 0, 10], [1, 't', 'a', 0, 5], [1, 't', 'b', 2, -1], [1, 't', 'c', 5, 5]]);
  const counts = countAlive(m);
  assert.deepEqual([...counts.alive], [1, 2, 1]);
  assert.equal(counts.most, 3);
  assert.deepEqual([...columns(counts, 0, 10, 5)], [1, 2, 2, 1, 1]);
});

test('the zoom of a long run ends where its times can no longer be told apart', () => {
  const p = { width: 900, end: 31536000e9 };
  let w = fitAll(p);
  for (let i = 0; i < 200; i++) w = zoom(p, w, 880, 1.4);
  const times = ticks(w.from, w.to, 9);
  assert.equal(new Set(times).size, times.length);
  for (const t of times) tick(t, times[1] - times[0], w.to);
  assert.deepEqual(zoom({ ...p, width: 0 }, w, 0, 2), w, 'a window without a width shows nothing');
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
    [2, 's', 'idle', 1, 42, { err: 'canceled by root', cause: { at: 41, kind: 'requested', err: 'canceled by root', with: 'root' } }],
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

