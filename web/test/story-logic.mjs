// Tests of causes and of the critical path, which need no browser.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importPage } from './typescript.mjs';
import { wireOf } from './view-model.mjs';

const { modelOf, toneNames } = await importPage('model.ts');
const { criticalPath, shares } = await importPage('critical.ts');
const { causesOf, chainOf } = await importPage('causes.ts');
const { failedItself, failureOf } = await importPage('text.ts');
const { storyOf, textOf } = await importPage('story.ts');

const model = (end, rows, log) => modelOf(wireOf(end, rows, log));
const pieces = (m, of = 0) => criticalPath(m, of).map((p) => [m.names[p.span], p.from, p.to]);
const why = (m, i) => chainOf(m, causesOf(m), i).map((steps) => steps.map((s) => s.text + (s.quote ? ` (${s.quote})` : '')).join(''));

const failure = [
  [0, 's', 'server', 0, 4e9, { err: 'too many', cause: { at: 3.2e9, kind: 'task failed', by: 'accept', err: 'too many' } }],
  [1, 't', 'accept', 0, 3.2e9, { state: 'failed', err: 'too many' }],
  [1, 't', 'conn', 1e9, 3.5e9, { state: 'canceled', err: 'context canceled' }],
  [2, 's', 'session', 1e9, 3.4e9, { err: 'parent canceled', cause: { at: 3.2e9, kind: 'parent canceled' } }],
  [3, 't', 'read', 1e9, 3.3e9, { state: 'canceled' }],
  [1, 't', 'done', 1e9, 2e9],
];

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

test('a chain of causes of any length ends at the culprit', () => {
  const rows = [[0, 's', 'root', 0, 10, { err: 'bad', cause: { at: 5, kind: 'task failed', by: 'culprit', err: 'bad' } }]];
  for (let i = 1; i < 1000; i++) rows.push([i, 's', `level ${i}`, 0, 9, { err: 'bad', cause: { at: 6, kind: 'parent canceled' } }]);
  rows.push([1, 't', 'culprit', 0, 5, { state: 'failed', err: 'bad' }]);
  const m = model(10, rows);
  const chain = chainOf(m, causesOf(m), 999);
  assert.equal(chain.length, 1001);
  assert.equal(chain.at(-1)[0].text, 'task culprit');
});

test('a scope was canceled by its parent, or by a context in between', () => {
  const rows = (canceled, err, by) => [
    [0, 's', 'server', 0, 10, { err: 'full', cause: { at: 9, kind: 'task failed', by: 'accept', err: 'full' } }],
    [1, 't', 'worker', 0, 10, { state: 'canceled' }],
    [2, 's', 'query', 0, canceled + 1, { err: 'parent canceled', cause: { at: canceled, kind: 'parent canceled', err, with: by } }],
    [3, 't', 'db', 0, canceled + 1, { state: 'canceled' }],
    [1, 't', 'accept', 0, 9, { state: 'failed', err: 'full' }],
  ];
  const before = model(10, rows(2, '"worker" timed out', 'worker'));
  assert.deepEqual(causesOf(before).canceled.get(0), [1]);
  const why = (m, i) => chainOf(m, causesOf(m), i).map((steps) => steps.map((s) => s.text + (s.quote ? ` (${s.quote})` : '')).join(''));
  assert.deepEqual(why(before, 3).slice(0, 2), [
    'task db was canceled because its scope ended: scope query',
    'scope query was canceled with the task that opened it: task worker',
  ]);
  const alone = model(10, rows(2, '"worker" timed out', '').map((row) => (row[2] === 'worker' ? [1, 't', 'worker', 0, 5] : row)));
  assert.deepEqual(why(alone, 2), ['scope query was canceled by a context between it and its parent ("worker" timed out)']);
});

test('a task that was canceled alone is said to be so, also if its scope ended before it returned', () => {
  const wire = wireOf(10, [[0, 's', 'job', 0, 10, { cause: { at: 5, kind: 'requested' } }], [1, 't', 'alone', 0, 7, { state: 'canceled' }], [1, 't', 'other', 0, 7, { state: 'canceled' }]], { canceled: [[2, 0]] });
  wire.alone = [{ row: 1, at: -1, kind: wire.strings.push('requested') - 1, by: -1, err: 0, place: wire.strings.push('main.go:50') - 1 }];
  const m = modelOf(wire);
  assert.deepEqual(why(m, 1), ['task alone was canceled alone at main.go:50']);
  assert.deepEqual(causesOf(m).canceled.get(0), [2]);
  assert.equal(why(m, 2)[0], 'task other was stopped because its scope ended: scope job');
});

test('a task that returned something else after its scope had ended was told to end', () => {
  const m = model(10, [
    [0, 's', 'job', 0, 10, { cause: { at: 5, kind: 'parent canceled', err: 'terminated' } }],
    [1, 't', 'nil', 0, 7], [1, 't', 'own', 0, 8, { state: 'failed', err: 'disk full' }], [1, 't', 'before', 0, 4],
  ]);
  const outside = 'scope job was canceled from outside the log (terminated)';
  assert.deepEqual(why(m, 1), ['task nil was told to end because its scope ended: scope job', outside]);
  assert.deepEqual(why(m, 2), ['task own was told to end because its scope ended: scope job; then it failed (disk full)', outside]);
  assert.deepEqual(why(m, 3), []);
});

test('a chain says who won, who was the master, and where it was canceled', () => {
  const rows = (flags) => [
    [0, 's', 'Race', 0, 310, { cause: { at: 300, kind: 'master ended', by: 'market' } }],
    [1, 't', 'market', 0, 300, { flags }],
    [1, 't', 'cache', 0, 305, { state: 'canceled' }],
  ];
  assert.deepEqual(why(model(310, rows(5)), 2).slice(1), ['scope Race ended because a task had won', 'task market returned nil']);
  assert.deepEqual(why(model(310, rows(7)), 2).slice(1), ['scope Race ended with its master', 'task market returned nil']);
  const wire = wireOf(10, [[0, 's', 'job', 0, 10, { cause: { at: 5, kind: 'requested' } }], [1, 't', 'alone', 0, 4, { state: 'canceled' }]]);
  wire.causes[0].place = wire.strings.push('main.go:45') - 1;
  wire.alone = [{ row: 1, at: -1, kind: wire.strings.push('requested') - 1, by: -1, err: 0, place: wire.strings.push('main.go:50') - 1 }];
  const m = modelOf(wire);
  assert.deepEqual([...why(m, 0), ...why(m, 1)], ['scope job was canceled by the program at main.go:45', 'task alone was canceled alone at main.go:50']);
});

test('the story, the waits and the places come from the log, and its control characters are shown', () => {
  const wire = wireOf(9, failure, { story: [{ tone: 'failed', words: [{ text: 'a\u202eb', row: 2 }, { text: ' and ', row: -1 }, { text: '2 tasks', row: -1, find: 'canceled' }] }], told: [] });
  const text = (s) => wire.strings.push(s) - 1;
  wire.waits = [{ row: 2, what: text('sync.Mutex.Lock at main.go:45'), for: 60e9, at: 9, of: 4 }];
  wire.site = [[2, text('main.go:12')]];
  const m = modelOf(wire);
  assert.deepEqual(storyOf(m).map(textOf), ['a⟨U+202E⟩b and 2 tasks']);
  assert.deepEqual(m.story[0].words.map((w) => [w.span, w.find]), [[2, undefined], [undefined, undefined], [undefined, 'canceled']]);
  assert.equal(m.waits.get(2), 'sync.Mutex.Lock at main.go:45');
  assert.equal(m.site.get(2), 'main.go:12');
  assert.deepEqual(model(9, failure).story, [], 'a model without one');
});

test('what was canceled because of a scope, and of those that failed with it, is counted one way', () => {
  const m = model(90, [
    [0, 's', 'app', 0, 90, { err: 'bad row', cause: { at: 50, kind: 'task failed', by: 'import', err: 'bad row' } }],
    [1, 't', 'import', 0, 49, { state: 'failed', err: 'bad row' }],
    [2, 's', 'batch', 0, 48, { err: 'bad row', cause: { at: 41, kind: 'task failed', by: 'row', err: 'bad row' } }],
    [3, 't', 'row', 0, 40, { state: 'failed', err: 'bad row' }],
    [3, 't', 'cut short', 0, 45],
    [1, 't', 'tick', 0, 60, { state: 'canceled' }],
    [1, 's', 'carries', 0, 60, { err: '1 task did not end', cause: { at: 55, kind: 'completed' } }],
  ], { canceled: [[4, 2], [5, 0]], failedWith: [[2, 0]], carries: [6] });
  const { toll, canceled } = causesOf(m);
  assert.deepEqual([toll(2), toll(0), toll(6)], [[4, 5], [5], []]);
  assert.deepEqual([canceled.get(2), canceled.get(0)], [[4], [5]]);
  assert.deepEqual([toneNames[m.tone[4]], toneNames[m.tone[6]]], ['canceled', 'canceled'], 'it returned nil, and it has not failed');
});

test('a chain goes down to the task that panicked, through bodies and tasks that passed it on', () => {
  const err = { err: 'nil map' };
  const rows = [
    [0, 's', 'nest', 0, 90, { ...err, cause: { at: 60, kind: 'panicked', err: 'nil map' } }],
    [1, 's', 'level 2', 0, 58, { ...err, cause: { at: 55, kind: 'body failed', err: 'nil map' } }],
    [2, 's', 'level 3', 0, 54, { ...err, cause: { at: 50, kind: 'task failed', by: 'outer', ...err } }],
    [3, 't', 'outer', 0, 49, { ...err, state: 'failed' }],
    [4, 's', 'level 4', 0, 48, { ...err, cause: { at: 41, kind: 'panicked', by: 'boom', ...err } }],
    [5, 't', 'boom', 0, 40, { ...err, state: 'panicked' }],
    [1, 't', 'helper', 0, 61, { state: 'canceled' }],
  ];
  const m = model(90, rows, { canceled: [[6, 0]], failedWith: [[4, 2], [2, 1], [1, 0]] });
  const down = [
    'scope nest ended because its body panicked with the failure of scope level 2',
    'scope level 2 ended because its body returned the failure of scope level 3',
    'scope level 3 ended because task outer returned the failure of scope level 4',
    'scope level 4 ended because of a panic',
    'task boom panicked (nil map)',
  ];
  assert.deepEqual(why(m, 0), down);
  assert.deepEqual(why(m, 6), ['task helper was canceled because its scope ended: scope nest', ...down]);
  assert.deepEqual(why(m, 3), ['task outer returned the failure of scope level 4', ...down.slice(3)]);
  assert.deepEqual(failureOf(m, 0), { message: 'nil map', from: 5 });
  assert.deepEqual([0, 1, 2, 3, 4, 5].filter((i) => failedItself(m, i)), [5], 'it counts once');
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
});

/** Returns a tree of random scopes and tasks with random causes, in which children may outlive their parents. */
function randomModel(seed, n) {
  const random = () => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed / 0x80000000; };
  const pick = (all) => all[Math.floor(random() * all.length)];
  const rows = [[0, 's', 'root', 0, 1000, {}]];
  const path = [rows[0]];
  for (let i = 1; i < n; i++) {
    path.length = random() < 0.4 ? path.length : Math.max(1, Math.ceil(random() * path.length));
    const above = path[path.length - 1];
    const isScope = above[1] === 't' || random() < 0.3; // a task can have only scopes below it
    const at = Math.min(above[3] + random() * (random() < 0.5 ? 50 : 900), 1000);
    rows.push([path.length, isScope ? 's' : 't', `n${i}`, at, Math.min(at + random() * random() * 600, 1000), {}]);
    path.push(rows[i]);
  }
  rows.forEach((row, i) => {
    const [level, kind, , begin, end, more] = row;
    if (kind === 't') { more.state = pick(['ok', 'failed', 'canceled']); more.flags = pick([5, 5, 1]); return; }
    const tasks = [];
    for (let k = i + 1; k < rows.length && rows[k][0] > level; k++) if (rows[k][0] === level + 1 && rows[k][1] === 't') tasks.push(rows[k][2]);
    if (random() < 0.8) more.cause = { at: begin + random() * (end - begin), kind: pick(['task failed', 'timeout', 'parent canceled', 'parent canceled', 'completed', 'requested', 'body failed']), by: tasks.length > 0 && random() < 0.4 ? pick(tasks) : undefined };
  });
  return model(1000, rows);
}

test('the pieces of any critical path are in order, without holes, and add up', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const m = randomModel(seed, 150);
    for (let of = 0; of < m.n; of++) {
      if (!m.isScope[of]) continue;
      const path = criticalPath(m, of);
      const sum = path.reduce((n, p) => n + p.to - p.from, 0);
      assert.ok(Math.abs(sum - (m.end[of] - m.begin[of])) < 1e-6, `seed ${seed}, span ${of}: ${sum}`);
      path.forEach((p, k) => {
        if (k > 0) assert.ok(Math.abs(p.from - path[k - 1].to) < 1e-9, 'without holes');
        assert.ok(p.from >= m.begin[p.span] - 1e-9 && p.to <= m.end[p.span] + 1e-9, `seed ${seed}: a piece is within its span`);
        // Who was canceled is on the path from then on only.
        const up = m.parent[p.span];
        if (!m.isScope[p.span] && m.isScope[up] && m.state[p.span] === 'canceled' && m.cause.has(up) && m.end[p.span] >= m.cause.get(up).at && m.cause.get(up).by !== p.span) {
          assert.ok(p.from >= m.cause.get(up).at - 1e-9, `seed ${seed}, span ${of}: ${m.names[p.span]} only waited`);
        }
        if (p.span !== of && !m.isScope[p.span] && m.state[p.span] === 'canceled' && m.cause.get(up)?.by !== p.span) {
          const times = [m.end[p.span], m.cause.get(up)?.at ?? Infinity];
          for (let c = m.first[p.span]; c >= 0; c = m.next[c]) if (m.cause.get(c)?.kind === 'parent canceled') times.push(m.cause.get(c).at);
          assert.ok(p.from >= Math.min(...times) - 1e-9, `seed ${seed}, span ${of}: ${m.names[p.span]} only waited, canceled alone`);
        }
      });
    }
  }
});

test('the critical path goes on with what spawned a task', () => {
  const names = (rows) => pieces(model(600e6, rows)).map(([name]) => name);
  const done = { cause: { at: 502.27e6, kind: 'completed' }, start: 0.3e6 };
  const running = { ...done, start: -1 };
  const g = [1, 't', 'g', 421.876e6, 502.24e6];
  for (const scope of [done, running]) {
    assert.deepEqual(names([[0, 's', 'inner', 0, 502.28e6, scope], [1, 't', 'e', 0, 351.5e6], [1, 't', 'f', 0, 421.896e6], g]), ['f', 'g', 'inner'], 'f spawns g as its last act');
    assert.deepEqual(names([[0, 's', 'inner', 0, 502.28e6, scope], [1, 't', 'e', 0, 421.895e6], [1, 't', 'f', 0, 421.87e6], g]), ['f', 'inner', 'g', 'inner'], 'f, of which the end is closer');
    assert.deepEqual(names([[0, 's', 'inner', 0, 502.28e6, scope], [1, 't', 'other', 0, 490e6], [1, 't', 'f', 0, 421.8e6], g]), ['f', 'inner', 'g', 'inner'], 'the body, or another, waits for f and then spawns g');
  }
  const on = (scope) => names([[0, 's', 'inner', 0, 502.28e6, scope], [1, 't', 'e', 0, 351.5e6], [1, 't', 'on', 0, 490e6], g]);
  assert.deepEqual(on(done), ['on', 'g', 'inner'], 'it spawns and lives on');
  assert.deepEqual(on(running), ['e', 'inner', 'g', 'inner'], 'the body may have spawned');
  for (const waits of [{ state: 'canceled' }, { flags: 1 }]) {
    assert.deepEqual(names([[0, 's', 'inner', 0, 502.28e6, done], [1, 't', 'waits', 0, 502.275e6, waits], [1, 't', 'waits too', 0, 502.273e6, waits], g]), ['inner', 'g', 'inner', 'waits', 'inner'], 'it only waited for the end');
  }
  // The one that has failed was spawned by the last act of another.
  assert.deepEqual(names([[0, 's', 'job', 0, 503e6, { start: 1, cause: { at: 502.3e6, kind: 'task failed', by: 'bad' } }], [1, 't', 'first', 0, 200.001e6], [1, 't', 'bad', 200e6, 502.2e6, { state: 'failed' }]]), ['first', 'bad', 'job', 'job']);
});

test('the critical path of a Race is its winner', () => {
  assert.deepEqual(pieces(model(301, [
    [0, 's', 'Race', 0, 301, { cause: { at: 300, kind: 'master ended', by: 'winner' } }],
    [1, 't', 'loser', 0, 301, { state: 'canceled' }],
    [1, 't', 'winner', 0, 300],
  ])), [['winner', 0, 300], ['loser', 300, 301]]);
});

test('the critical path of a scope that a task failed is that task', () => {
  const m = model(210, [
    [0, 's', 'job', 0, 210, { err: 'bad', cause: { at: 200, kind: 'task failed', by: 'bad', err: 'bad' } }],
    [1, 't', 'prepare', 0, 50],
    [1, 't', 'waits for ctx', 0, 209, { state: 'canceled' }],
    [1, 't', 'bad', 60, 199, { state: 'failed', err: 'bad' }],
    [1, 't', 'done', 0, 150],
    [1, 't', 'cut short', 0, 205],
  ], { canceled: [[2, 0], [5, 0]] });
  assert.deepEqual(pieces(m), [['prepare', 0, 50], ['job', 50, 60], ['bad', 60, 199], ['job', 199, 200], ['waits for ctx', 200, 209], ['job', 209, 210]]);
});

test('the critical path leads from a service to the journal that ended it', () => {
  const err = { err: 'closed', cause: { at: 4800, kind: 'task failed', by: 'journal', err: 'closed' } };
  const m = model(5000, [
    [0, 's', 'demo', 0, 5000, { cause: { at: 4990, kind: 'completed' } }],
    [1, 't', 'supervisor', 0, 4980],
    [2, 's', 'service', 10, 4910, err],
    [3, 't', 'journal', 20, 4799, { state: 'failed', err: 'closed' }],
    [3, 't', 'sweep', 20, 4900],
    [3, 't', 'conn', 4000, 4805, { state: 'canceled' }],
    [4, 's', 'Race', 4700, 4804, { cause: { at: 4800, kind: 'parent canceled' } }],
    [5, 't', 'cached', 4700, 4803, { state: 'canceled' }],
  ], { canceled: [[4, 2], [5, 2], [6, 2], [7, 2]] });
  assert.deepEqual(pieces(m, 2), [['service', 10, 20], ['journal', 20, 4799], ['service', 4799, 4800], ['sweep', 4800, 4900], ['service', 4900, 4910]]);
  assert.deepEqual(pieces(m).map(([name]) => name), ['supervisor', 'service', 'journal', 'service', 'sweep', 'service', 'supervisor', 'demo'], 'nested');
  // Of a scope that was canceled from above, the path is the cause above.
  assert.deepEqual(pieces(m, 6), [['journal', 4700, 4799], ['service', 4799, 4800], ['cached', 4800, 4803], ['Race', 4803, 4804]]);
});

// The log does not say which task asked for these cancellations.
test('what only waited for its cancellation is on the critical path from that on', () => {
  const ms = 1e6, ends = { cause: { at: 103.1 * ms, kind: 'completed' }, start: 0.2 * ms };
  const path = (rows, log, of = 0) => pieces(model(104 * ms, [[0, 's', 'root', 0, 104 * ms, ends], ...rows], log), of).map(([name, from, to]) => `${name} ${from / ms}-${to / ms}`);
  const worker = [1, 't', 'worker', 0.1 * ms, 101.8 * ms];
  const waits = { state: 'canceled', err: 'context canceled' };
  const alone = (row) => ({ alone: [{ row, at: -1, kind: 0, by: -1, err: 0 }] });
  const context = (at, err = 'context canceled') => ({ err, cause: { at: at * ms, kind: 'parent canceled', err } });
  const until = ['root 0-0.1', 'worker 0.1-101.7'];

  for (const log of [alone(1), {}]) {
    assert.deepEqual(path([[1, 't', 'waiter', 0.1 * ms, 103 * ms, waits], worker], log), ['root 0-0.1', 'worker 0.1-101.8', 'root 101.8-104'], 'Cancel of a task, whose time is not known');
    const inner = [[1, 't', 'waiter', 0.1 * ms, 103 * ms, waits], [2, 's', 'inner', 0.2 * ms, 102.9 * ms, context(101.7)]];
    assert.deepEqual(path([...inner, worker], log), [...until, 'inner 101.7-102.9', 'waiter 102.9-103', 'root 103-104'], 'Cancel of a task with a Run in it');
  }
  assert.deepEqual(path([[1, 't', 'waiter', 0.1 * ms, 103 * ms], worker], alone(1)), ['root 0-0.1', 'worker 0.1-101.8', 'root 101.8-104'], 'Cancel of a task that returns nil');

  const fork = [[1, 's', 'fork', 0.1 * ms, 103 * ms, { cause: { at: 101.7 * ms, kind: 'requested' } }], [2, 't', 'leaf', 0.1 * ms, 102.9 * ms, waits]];
  const after = (name) => ['leaf 101.7-102.9', `${name} 102.9-103`];
  assert.deepEqual(path([...fork, worker]), [...until, ...after('fork'), 'root 103-104'], 'Cancel of a fork');
  assert.deepEqual(path([...fork, worker], {}, 1), ['worker 0.1-101.7', ...after('fork')], 'the path of the fork');
  assert.deepEqual(path([...fork, [2, 't', 'step', 10 * ms, 101.6 * ms], worker]), ['root 0-0.1', 'fork 0.1-10', 'step 10-101.6', 'fork 101.6-101.7', ...after('fork'), 'root 103-104'], 'its body had waited for a step');

  const run = (level, more) => [[level, 's', 'inner', 0.1 * ms, 103 * ms, more], [level + 1, 't', 'leaf', 0.1 * ms, 102.9 * ms, waits]];
  assert.deepEqual(path([worker, ...run(1, context(101.7))]), [...until, ...after('inner'), 'root 103-104'], 'the end of a context between');
  assert.deepEqual(path([worker, ...run(1, context(101.85))]), ['root 0-0.1', 'worker 0.1-101.8', 'root 101.8-101.85', 'leaf 101.85-102.9', 'inner 102.9-103', 'root 103-104'], 'it ended before that was heard');
  assert.deepEqual(path([[1, 't', 'holder', 0.1 * ms, 103 * ms], ...run(2, context(101.7)), worker]), [...until, ...after('inner'), 'root 103-104'], 'in a task');
  assert.deepEqual(path([[1, 't', 'holder', 0.1 * ms, 103 * ms], ...run(2, context(101.7)), [1, 't', 'worker', 0.1 * ms, 60 * ms]]), ['root 0-0.1', 'holder 0.1-101.7', ...after('inner'), 'root 103-104'], 'the task may have asked');

  const timed = context(100, '"root" timed out after 100ms');
  for (const level of [1, 2]) {
    const holder = level === 1 ? [] : [[1, 't', 'holder', 0.1 * ms, 103 * ms]];
    const rows = [...holder, ...run(level, timed)];
    assert.deepEqual(path(rows, { deadline: [[level, 100 * ms]] }), [...(level === 1 ? ['root 0-100'] : ['root 0-0.1', 'holder 0.1-100']), 'leaf 100-102.9', 'inner 102.9-103', 'root 103-104'], 'MoveOnAfter around a Run');
  }
  const near = [1, 't', 'near', 0.1 * ms, 100.1 * ms];
  assert.deepEqual(path([[1, 't', 'holder', 0.1 * ms, 103 * ms], ...run(2, timed), near], { deadline: [[2, 100 * ms]] }).slice(0, 2), ['root 0-0.1', 'holder 0.1-100'], 'no task asks for a timeout');
});

test('a task that reached its own deadline was waited for', () => {
  const wire = wireOf(110, [[0, 's', 'root', 0, 110, { cause: { at: 109, kind: 'completed' } }], [1, 't', 'slow', 1, 108, { state: 'canceled' }], [2, 's', 'inner', 2, 107, { cause: { at: 100, kind: 'parent canceled' } }]]);
  wire.alone = [{ row: 1, at: -1, kind: wire.strings.push('timeout') - 1, by: -1, err: 0 }];
  assert.deepEqual(pieces(modelOf(wire)), [['root', 0, 1], ['slow', 1, 100], ['inner', 100, 107], ['slow', 107, 108], ['root', 108, 110]]);
});

test('a deadline is waited for by the scope itself', () => {
  assert.deepEqual(pieces(model(410, [
    [0, 's', 'fetch', 0, 410, { cause: { at: 409, kind: 'completed' } }],
    [1, 't', 'work', 0, 408],
    [2, 's', 'MoveOnAfter', 5, 405, { err: 'timed out', cause: { at: 400, kind: 'timeout', err: 'timed out' } }],
    [3, 't', 'slow', 5, 404, { state: 'canceled' }],
    [3, 't', 'quick', 5, 100],
  ])), [['work', 0, 5], ['MoveOnAfter', 5, 400], ['slow', 400, 404], ['MoveOnAfter', 404, 405], ['work', 405, 408], ['fetch', 408, 410]]);
});

test('a body, or a caller of Cancel, counts as the scope with what it had waited for', () => {
  for (const kind of ['requested', 'body failed']) {
    assert.deepEqual(pieces(model(110, [
      [0, 's', 'job', 0, 110, { cause: { at: 100, kind } }],
      [1, 't', 'step', 10, 90],
      [1, 't', 'tick', 0, 105, { state: 'canceled' }],
    ])), [['job', 0, 10], ['step', 10, 90], ['job', 90, 100], ['tick', 100, 105], ['job', 105, 110]], kind);
  }
});

test('the critical path has what a scope waits for after its end, and until it gives up', () => {
  assert.deepEqual(pieces(model(90, [
    [0, 's', 'job', 0, 90, { cause: { at: 10, kind: 'completed' } }],
    [1, 't', 'work', 0, 10],
    [1, 't', 'gone', 0, 5, { flags: 1 }],
    [1, 't', 'sweep', 0, 80, { flags: 1, state: 'canceled' }],
  ])), [['work', 0, 10], ['sweep', 10, 80], ['job', 80, 90]]);
  assert.deepEqual(pieces(model(90, [
    [0, 's', 'job', 0, 31, { err: 'stuck', cause: { at: 20, kind: 'requested' } }],
    [1, 't', 'deaf', 1, 90, { state: 'stuck' }],
  ], { stuck: [[1, 30]] })), [['job', 0, 20], ['deaf', 20, 30], ['job', 30, 31]]);
});

test('the critical path goes down 60 levels to what failed, and up again', () => {
  const rows = [];
  for (let i = 0; i < 60; i++) {
    rows.push([2 * i, 's', `level ${i}`, i, i === 0 ? 2000 : 1900.8 - i, { err: 'bottom', cause: { at: 1900.1 - i, kind: 'task failed', by: `task ${i}`, err: 'bottom' } }]);
    rows.push([2 * i + 1, 't', `task ${i}`, i, 1900 - i, { state: 'failed', err: 'bottom' }]);
  }
  rows.push([1, 't', 'watch', 0, 1990, { state: 'canceled' }]);
  const path = pieces(model(2000, rows));
  assert.deepEqual(path.find(([name]) => name === 'task 59'), ['task 59', 59, 1841]);
  assert.deepEqual(path.filter(([name]) => name === 'watch'), [['watch', 1900.1, 1990]]);
});

// Alone on the machine it takes less than 100 ms. The test finds what grows with the square.
test('the critical path of 200,000 spans is found fast', () => {
  const flat = [[0, 's', 'root', 0, 1e6, { cause: { at: 9e5, kind: 'task failed', by: 'bad' } }], [1, 't', 'bad', 5e5, 9e5, { state: 'failed' }]];
  for (let i = 2; i < 200_000; i++) flat.push([1, 't', 'conn', i * 4, Math.min(i * 4 + ((i * 7919) % 5000), 1e6)]);
  const nested = [[0, 's', 'root', 0, 1e6, { cause: { at: 1e6 - 1, kind: 'completed' } }]];
  for (let i = 1; i < 100_000; i++) nested.push([1, 't', 'conn', i * 10, i * 10 + 9], [2, 's', 'session', i * 10, i * 10 + 8]);
  for (const rows of [flat, nested]) {
    const m = model(1e6, rows);
    const took = Math.min(...[1, 2, 3, 4, 5].map(() => {
      const begin = performance.now();
      criticalPath(m, 0);
      return performance.now() - begin;
    }));
    assert.ok(took < 1000, `${m.n} spans: ${took} ms`);
  }
});
