// Tests of the page of package live. live/browser_test.go runs the program that it shows.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { useBrowser, withPage } from './browser.mjs';

const base = process.env.URL;
const url = `${base}/debug/scopes/`;

useBrowser();

/** Makes the program do something: see do in live/browser_test.go. */
async function make(what, params = {}, body = undefined) {
  const answer = await fetch(`${base}/do/${what}?${new URLSearchParams(params)}`, { method: 'POST', body });
  assert.equal(answer.status, 200, what);
}

const row = (page, text) => page.locator('.row').filter({ has: page.locator('.name', { hasText: new RegExp(`^${text}$`) }) });
const live = (page) => page.locator('#link[data-state="live"]').waitFor();

test('scopes and tasks that start and end are shown without a reload', async () => {
  await withPage(url, {}, async (page, errors) => {
    await live(page);
    await row(page, 'shop').waitFor();
    await page.evaluate(() => { window.sameDocument = true; });
    await make('fork', { name: 'orders' });
    await make('spawn', { in: 'orders', name: 'pack' });
    await row(page, 'pack').waitFor();
    assert.equal(await row(page, 'pack').getAttribute('aria-level'), '3');
    await make('end', { name: 'pack' });
    await row(page, 'pack').waitFor({ state: 'detached' });
    await make('close', { in: 'orders' });
    await row(page, 'orders').waitFor({ state: 'detached' });
    assert.ok(await page.evaluate(() => window.sameDocument));
    assert.deepEqual(errors, []);
  });
});

test('a failure is shown with its cause', async () => {
  await withPage(url, {}, async (page) => {
    await make('fork', { name: 'billing' });
    await make('spawn', { in: 'billing', name: 'charge' });
    await make('spawn', { in: 'billing', name: 'deaf one', flags: 'uncancelable' });
    await row(page, 'charge').waitFor();
    await make('fail', { name: 'charge' });
    await page.locator('.row[data-state="canceling"]', { hasText: 'billing' }).waitFor();
    const text = await row(page, 'billing').textContent();
    assert.match(text, /task failed: task "shop\/billing\/charge": connection reset by peer/);
    await make('end', { name: 'deaf one' });
    await row(page, 'billing').waitFor({ state: 'detached' });
  });
});

test('a scope that has closed is shown while a task that it has given up runs', async () => {
  await withPage(url, {}, async (page) => {
    await live(page);
    await make('fork', { name: 'refunds', flags: 'impatient' });
    await make('spawn', { in: 'refunds', name: 'deaf two', flags: 'uncancelable' });
    await row(page, 'deaf two').waitFor();
    await make('cancel', { in: 'refunds' });
    await page.locator('.row[data-state="closed"]', { hasText: 'refunds' }).waitFor();
    assert.equal(await row(page, 'deaf two').locator('.state').textContent(), 'given up');
    assert.equal(await row(page, 'deaf two').getAttribute('aria-level'), '3', 'below its own scope');
    await row(page, 'deaf two').click();
    await page.locator('#details pre', { hasText: 'waitFor' }).waitFor();
    await make('end', { name: 'deaf two' });
    await row(page, 'refunds').waitFor({ state: 'detached' });
  });
});

test('a node that may have ended since the last state does not look late', async () => {
  await withPage(url, {}, async (page) => {
    await live(page);
    const due = (left) => page.evaluate(async (left) => {
      const { Row } = await import('/debug/scopes/row.js');
      const { now } = await import('/debug/scopes/time.js');
      const at = (ms) => new Date(now() + ms).toISOString();
      const made = new Row({ key: 'x' });
      made.update({ key: 'x', depth: 0, node: { kind: 'scope', name: 'x', state: 'open', since: at(-9000), deadline: at(left) } });
      return `${made.due.className}: ${made.due.textContent}`;
    }, left);
    assert.equal(await due(9500), 'due: 9s left');
    assert.equal(await due(-400), 'due soon: <1s left');
    assert.equal(await due(-2500), 'due late: 2s late');
  });
});

test('a Tracker shows scopes that have failed', async () => {
  await withPage(`${base}/tracked/`, {}, async (page, errors) => {
    const ended = page.locator('#failed-list li', { hasText: 'shop/billing' });
    await ended.waitFor();
    assert.match(await ended.textContent(), /task "charge": connection reset by peer/);
    assert.ok(Number(await page.locator('#n-failed').textContent()) >= 1, 'the header says so too');
    assert.deepEqual(errors, []);
  });
});

test('hostile names are text', async () => {
  const hostile = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
  await withPage(url, {}, async (page, errors) => {
    await make('fork', { name: 'evil' });
    await make('spawn', { in: 'evil', name: hostile });
    await make('spawn', { in: 'evil', name: `bell\u0007 \u202eesrever` });
    await make('spawn', { in: 'evil', name: 'long'.repeat(2500) });
    await page.locator('.row', { hasText: '<script>' }).waitFor();
    await page.locator('.row', { hasText: '\\u202eesrever' }).click();
    await page.locator('.row', { hasText: '<script>' }).click();
    await page.locator('#details h1', { hasText: hostile }).waitFor();
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.equal(await page.locator('img, #tree script').count(), 0);
    const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(width <= 0, 'a long name does not widen the page');
    assert.deepEqual(errors, []);
    await make('close', { in: 'evil' });
  });
});

test('the content security policy is strict, and the page complies with it', async () => {
  await withPage(url, {}, async (page, errors) => {
    await live(page);
    const policy = (await page.request.get(url, { headers: { accept: 'text/html' } })).headers()['content-security-policy'];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.deepEqual(errors, []);
    // The browser enforces the policy.
    await page.evaluate(() => {
      window.violations = 0;
      document.addEventListener('securitypolicyviolation', () => { window.violations += 1; });
      const script = document.createElement('script');
      script.textContent = 'window.hit = 1';
      document.body.append(script);
    });
    await page.waitForFunction(() => window.violations === 1);
    assert.equal(await page.evaluate(() => window.hit), undefined);
  });
});

test('a click shows the stack, and updates leave it alone', async () => {
  await withPage(url, {}, async (page, errors) => {
    await make('fork', { name: 'mail' });
    await make('spawn', { in: 'mail', name: 'send' });
    await row(page, 'send').click();
    await page.locator('#details pre', { hasText: 'live_test.waitFor' }).waitFor();
    await make('spawn', { in: 'mail', name: 'another' });
    await row(page, 'another').waitFor();
    assert.equal(await row(page, 'send').getAttribute('aria-selected'), 'true');
    assert.match(await page.locator('#details pre').textContent(), /live_test\.waitFor/);
    await make('end', { name: 'send' });
    await page.locator('#details dd', { hasText: 'is gone' }).waitFor();
    await page.keyboard.press('Escape');
    assert.ok(await page.locator('#details').isHidden());
    assert.deepEqual(errors, []);
    await make('close', { in: 'mail' });
  });
});

test('the keyboard: filter, pause, tree', async () => {
  await withPage(url, {}, async (page, errors) => {
    await make('fork', { name: 'keys' });
    await make('spawn', { in: 'keys', name: 'alpha' });
    await make('spawn', { in: 'keys', name: 'beta' });
    await row(page, 'beta').waitFor();

    await page.keyboard.press('/');
    await page.keyboard.type('ALPH');
    await row(page, 'beta').waitFor({ state: 'detached' });
    assert.equal(await row(page, 'alpha').count(), 1);
    assert.equal(await row(page, 'keys').count(), 1, 'what leads there stays');
    await page.keyboard.press('Escape');
    await row(page, 'beta').waitFor();

    await row(page, 'keys').click();
    await page.keyboard.press('Escape');
    await page.locator('#tree').focus();
    await page.keyboard.press('ArrowLeft');
    await row(page, 'beta').waitFor({ state: 'detached' });
    assert.equal(await row(page, 'keys').getAttribute('aria-expanded'), 'false');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    assert.equal(await row(page, 'alpha').getAttribute('aria-selected'), 'true');
    const active = await page.locator('#tree').getAttribute('aria-activedescendant');
    assert.equal(active, await row(page, 'alpha').getAttribute('id'));
    await page.keyboard.press('Enter');
    await page.locator('#details pre', { hasText: 'goroutine' }).waitFor();

    await page.locator('#tree').focus();
    await page.keyboard.press(' ');
    await page.locator('#link[data-state="paused"]').waitFor();
    await make('end', { name: 'beta' });
    await page.waitForTimeout(1500);
    assert.equal(await row(page, 'beta').count(), 1, 'nothing moves while paused');
    await page.keyboard.press(' ');
    await row(page, 'beta').waitFor({ state: 'detached' });
    assert.deepEqual(errors, []);
    await make('close', { in: 'keys' });
  });
});

test('the page connects again to a server that comes back', async () => {
  await withPage(url, {}, async (page) => {
    await live(page);
    await make('fork', { name: 'lasting' });
    await row(page, 'lasting').waitFor();
    await make('restart', { n: 4000 });
    await page.locator('#link[data-state="lost"]').waitFor();
    assert.equal(await row(page, 'lasting').count(), 1, 'what was known stays');
    await live(page);
    await make('close', { in: 'lasting' });
    await row(page, 'lasting').waitFor({ state: 'detached' });
  });
});

test('scroll and folding survive updates', async () => {
  await withPage(url, { viewport: { width: 900, height: 300 } }, async (page) => {
    await make('fork', { name: 'tall' });
    for (let i = 0; i < 30; i += 1) await make('spawn', { in: 'tall', name: `job ${'abcdefghijklmnopqrstuvwxyz1234'[i]}` });
    await make('fork', { in: 'tall', name: 'inner' });
    await make('spawn', { in: 'inner', name: 'hidden' });
    await row(page, 'hidden').waitFor();
    await row(page, 'inner').locator('.twisty').click();
    await row(page, 'hidden').waitFor({ state: 'detached' });
    await page.locator('#left').evaluate((el) => { el.scrollTop = 200; });
    await make('spawn', { in: 'inner', name: 'hidden too' });
    await make('spawn', { in: 'tall', name: 'last' });
    await row(page, 'last').waitFor();
    assert.equal(await row(page, 'hidden too').count(), 0);
    assert.equal(await page.locator('#left').evaluate((el) => el.scrollTop), 200);
    await make('close', { in: 'tall' });
  });
});

test('warnings say what to do, and lead to their nodes', async () => {
  await withPage(url, { colorScheme: 'light' }, async (page, errors) => {
    await make('fork', { name: 'upload', flags: 'timeout' });
    await make('spawn', { in: 'upload', name: 'copy', flags: 'uncancelable' });
    await make('spawn', { in: 'upload', name: 'sync' });
    await make('cancel', { in: 'upload' });
    const straggler = page.locator('#warnings li[data-lint="straggler"]');
    await straggler.waitFor({ timeout: 10000 });
    await make('fork', { name: 'catalog' });
    await make('spawn', { in: 'catalog', name: 'index', n: 12 });
    const ignored = page.locator('#warnings li[data-lint="ignored-cancel"]');
    await ignored.waitFor({ timeout: 20000 });
    assert.match(await ignored.textContent(), /select on ctx\.Done/);
    await ignored.getByRole('button', { name: 'shop/upload/copy' }).click();
    await page.locator('#details pre', { hasText: 'live_test.waitFor' }).waitFor();
    assert.equal(await row(page, 'copy').getAttribute('aria-selected'), 'true');
    await page.setViewportSize({ width: 1100, height: 640 });
    await shortenPaths(page);
    await page.screenshot({ path: process.env.PICTURE_LINTS });
    await make('end', { name: 'copy' });
    await ignored.waitFor({ state: 'detached' });
    await make('close', { in: 'catalog' });
    assert.deepEqual(errors, []);
  });
});

/** Shortens the paths in the stack: those on the machine that takes a picture are of no interest. */
const shortenPaths = (page) => page.locator('#details pre').evaluate((pre) => {
  pre.textContent = pre.textContent.replace(/^\s+\/.*\//gm, '    ');
});

/** Makes the scopes and tasks of a small shop, for the pictures. */
async function shop() {
  await make('spawn', { name: 'accept', flags: 'master' });
  await make('spawn', { name: 'metrics', flags: 'background' });
  await make('spawn', { name: 'conn', flags: 'nested', n: 240 });
  await make('fork', { name: 'checkout', flags: 'timeout limit' });
  await make('spawn', { in: 'checkout', name: 'reserve' });
  await make('spawn', { in: 'checkout', name: 'charge card' });
  await make('fork', { in: 'checkout', name: 'notify' });
  await make('spawn', { in: 'notify', name: 'mail' });
  await make('spawn', { in: 'notify', name: 'webhook' });
  await make('fork', { name: 'import' });
  await make('spawn', { in: 'import', name: 'parse', n: 3 });
  await make('spawn', { in: 'import', name: 'flush', flags: 'uncancelable' });
  await make('cancel', { in: 'import' });
  await make('finalize', { in: 'notify' });
}

for (const colorScheme of ['light', 'dark']) {
  test(`the page in ${colorScheme}, wide and narrow`, async () => {
    if (colorScheme === 'light') await shop();
    await withPage(url, { colorScheme, viewport: { width: 1000, height: 520 } }, async (page, errors) => {
      await row(page, 'webhook').waitFor();
      await row(page, 'charge card').click();
      await page.locator('#details pre', { hasText: 'goroutine' }).waitFor();
      const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const brightness = Math.max(...paper.match(/\d+/g).map(Number));
      assert.ok(colorScheme === 'dark' ? brightness < 80 : brightness > 200, paper);
      await shortenPaths(page);
      if (colorScheme === 'light') await page.keyboard.press('Escape');
      await page.waitForTimeout(1500); // until new rows have faded in
      await page.screenshot({ path: colorScheme === 'dark' ? process.env.PICTURE_DARK : process.env.PICTURE });
      await row(page, 'charge card').click();
      for (const width of [400, 800, 1600]) {
        await page.setViewportSize({ width, height: 700 });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(over <= 0, `${width} px: ${over} too wide`);
        if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${colorScheme}-${width}.png` });
      }
      assert.deepEqual(errors, []);
    });
  });
}

test('the page is usable with a screen reader', async () => {
  await withPage(url, {}, async (page) => {
    await row(page, 'webhook').waitFor();
    const tree = await page.getByRole('tree', { name: 'Scopes and tasks' }).ariaSnapshot();
    assert.match(tree, /treeitem ".*checkout.*open/);
    assert.equal(await page.getByRole('searchbox').count(), 1);
    assert.equal(await page.getByRole('button', { name: 'Pause', pressed: false }).count(), 1);
  });
});

test('scopes of other processes say so, and their stacks are not invented', async () => {
  await make('spawn', { name: 'mailer' });
  await withPage(`${base}/actors/`, {}, async (page, errors) => {
    await live(page);
    const scope = page.locator('.row[data-kind="scope"]').filter({ has: page.locator('.name', { hasText: /^mailer$/ }) });
    await scope.waitFor();
    const pid = /process (\d+)/.exec(await scope.locator('.flags span').first().textContent())[1];
    assert.ok(Number(pid) > 4_000_000, pid);
    await scope.click();
    assert.match(await page.locator('#details').innerText(), new RegExp(`process\\s+${pid}`));
    const key = await scope.getAttribute('data-key'); // has all digits of the ID
    assert.match(await page.locator('#details').innerText(), new RegExp(`scope ${key.slice(1)}\\b`));
    await page.locator('.row').filter({ has: page.locator(`.name`, { hasText: /^serve$/ }) }).and(page.locator(`[data-key="${key}.1"]`)).click();
    await page.locator('#details pre', { hasText: `it is in process ${pid}, which has not given one` }).waitFor();
    await page.fill('#filter', `process ${pid}`);
    await scope.waitFor();
    assert.deepEqual(errors.filter((e) => !e.includes('404')), []);
  });
  await make('end', { name: 'mailer' });
});

// Returns the tops of all rows by key, n times with 240 ms between.
const look = (page, n) => page.evaluate(async (n) => {
  const looks = [];
  for (let i = 0; i < n; i += 1) {
    looks.push([...document.querySelectorAll('.row')].map((el) => ({
      key: el.dataset.key, name: el.querySelector('.name').textContent, top: el.getBoundingClientRect().top,
    })));
    await new Promise((resolve) => { setTimeout(resolve, 240); });
  }
  return looks;
}, n);

const rowHeight = 20;

/** Returns by how much rows moved from one look to the next, less what rows that came or went above explain. */
function unexplained(looks) {
  const moves = [];
  for (let i = 1; i < looks.length; i += 1) {
    const [before, after] = [looks[i - 1], looks[i]];
    const at = new Map(after.map((r, index) => [r.key, { ...r, index }]));
    const was = new Map(before.map((r, index) => [r.key, index]));
    for (const [index, r] of before.entries()) {
      const now = at.get(r.key);
      if (!now) continue;
      const gone = before.slice(0, index).filter((other) => !at.has(other.key)).length;
      const come = after.slice(0, now.index).filter((other) => !was.has(other.key)).length;
      moves.push({ name: r.name, by: Math.abs(now.top - r.top - (come - gone) * rowHeight) });
    }
  }
  return moves;
}

test('a busy program does not make the rows jump', async () => {
  await make('fork', { name: 'market' });
  await make('busy', { in: 'market' });
  await make('fork', { name: 'below the market' });
  await withPage(url, { viewport: { width: 1440, height: 1200 } }, async (page, errors) => {
    await row(page, 'customer #').waitFor();
    await page.waitForTimeout(3000);
    const topsOf = (looks, name) => looks.map((rows) => rows.find((r) => r.name === name)?.top);
    const jumps = (tops) => tops.filter((top, i) => i > 0 && Math.abs(top - tops[i - 1]) > rowHeight).length;

    let looks = await look(page, 40);
    assert.ok(looks.every((rows) => rows.filter((r) => r.name === 'customer #').length === 1), 'they are a group all the time');
    let tops = topsOf(looks, 'below the market');
    assert.ok(jumps(tops) <= 2, `closed: ${tops}`);

    await row(page, 'customer #').locator('.twisty').click();
    await page.locator('.row', { hasText: /customer \d+/ }).first().waitFor();
    looks = await look(page, 37);
    const moved = unexplained(looks).filter(({ by }) => by > rowHeight);
    assert.deepEqual(moved, [], 'no row moves but for rows that come and go above');
    tops = topsOf(looks, 'below the market');
    assert.ok(jumps(tops) <= 12, `open: ${tops}`);
    assert.deepEqual(errors, []);
  });
  await make('close', { in: 'market' });
  await make('close', { in: 'below the market' });
});

test('slots: what ends stays for a moment, and gives its place to the next of its name', async () => {
  await withPage(url, {}, async (page) => {
    const found = await page.evaluate(async () => {
      const { settle } = await import('/debug/scopes/slots.js');
      const node = (key, name, below) => ({ key, kind: 'task', name, state: 'running', since: '2026-11-21T15:04:05Z', below });
      const said = [];
      let slots = [];
      const say = (now, ...nodes) => {
        slots = settle(slots, nodes, now);
        const text = (slot) => slot.key + (slot.goneAt ? ' gone' : '')
          + (slot.node.count ? ` ×${slot.node.count}` : '') + (slot.below.length ? ` (${slot.below.map(text).join(', ')})` : '');
        said.push(slots.map(text).join(', '));
      };
      say(0, node('a', 'accept'), node('q1', 'quote 1', [node('r1', 'read')]), node('z', 'log'));
      say(100, node('z', 'log'), node('a', 'accept')); // the order stays, and what has ended
      say(200, node('a', 'accept'), node('z', 'log'), node('q2', 'quote 2', [node('r2', 'read')]));
      say(300, node('a', 'accept'), node('b', 'backup'), node('z', 'log'));
      say(3000, node('a', 'accept'), node('b', 'backup'), node('z', 'log'));
      return said;
    });
    assert.deepEqual(found, [
      'a, q1 (r1), z',
      'a, q1 gone (r1 gone), z',
      'a, q2 (r2), z',
      'a, b, q2 gone (r2 gone), z',
      'a, b, z',
    ]);
  });
});

test('names fold as on the server', async () => {
  const table = JSON.parse(await readFile(new URL('../../internal/serials/testdata/fold.json', import.meta.url), 'utf8'));
  await withPage(url, {}, async (page) => {
    const found = await page.evaluate(async (names) => {
      const { foldName } = await import('/debug/scopes/fold.js');
      return Object.fromEntries(names.map((name) => [name, foldName(name)]));
    }, Object.keys(table));
    assert.deepEqual(found, table);
  });
});

test('slots: a group stays one until its last member has ended', async () => {
  await withPage(url, {}, async (page) => {
    const found = await page.evaluate(async () => {
      const { settle } = await import('/debug/scopes/slots.js');
      const one = (i, more) => ({ key: `s1.${i}`, kind: 'task', name: `conn ${i}`, state: 'running', since: `2026-11-21T15:04:0${i}Z`, ...more });
      const group = (n, members) => ({ ...one(1), key: 'x', name: 'conn #', count: n, states: { running: n }, members, below: [] });
      const said = [];
      let slots = [];
      const say = (now, ...nodes) => {
        slots = settle(slots, nodes, now);
        said.push(slots.map(({ key, node, goneAt }) => `${key}${node.count ? ` ×${node.count}` : ''}${goneAt ? ' gone' : ''}`).join(', '));
      };
      say(0, one(1), one(2), one(3), one(4));
      say(100, group(9, [one(1), one(2)]));
      say(200, one(1, { state: 'canceling', cause: 'requested', warnings: ['straggler'] }), one(2, { waits: 'select', at: 'a.go:1' }));
      const { node } = slots[0];
      say(300, one(2));
      say(400);
      say(5300, one(5));
      say(9000);
      say(14000);
      say(15000, one(6));
      return { said, node };
    });
    assert.deepEqual(found.said, [
      's1.1, s1.2, s1.3, s1.4', '/t:conn # ×9', '/t:conn # ×2', '/t:conn # ×1', '/t:conn # ×1 gone', '/t:conn # ×1', '/t:conn # ×1 gone', '', 's1.6',
    ]);
    assert.deepEqual(found.node.states, { canceling: 1, running: 1 });
    assert.deepEqual(found.node.warnings, ['straggler']);
    assert.equal(found.node.cause, '1 × requested');
    assert.deepEqual(found.node.standing, [{ waits: 'select', at: 'a.go:1', from: undefined, for: 0, count: 1 }]);
    assert.equal(found.node.newest, '2026-11-21T15:04:02Z');
  });
});

/** A state as the server may send it: a bank whose tasks stand at two locks, and a server. */
function bank() {
  const began = new Date(Date.now() - 760_000).toISOString();
  const task = (id, name, more) => ({ key: `s3.${id}`, kind: 'task', id, scope: 3, name, path: `bank/transfers/${name}`, state: 'running', since: began, ...more });
  const lock = { waits: 'sync.Mutex.Lock', for: 720e9, warnings: ['blocked'] };
  const conn = (id, more) => ({ key: `s9.${id}`, kind: 'task', id, scope: 9, name: `conn ${id}`, path: `bank/web/conn ${id}`, state: 'running', since: began, waits: 'IO wait', at: 'conn.go:30', ...more });
  return {
    version: 1, scopes: 3, tasks: 194, canceling: 7, failedTotal: 1204, endedTotal: 1300,
    warnings: [{ lint: 'blocked', level: 'warning', count: 2, since: began, atLeast: true, says: 'has not moved', do: 'Look at who holds the lock.', details: ['sync.Mutex.Lock at main.go:45', 'sync.Mutex.Lock at main.go:52'], at: ['bank/transfers/lock a then b', 'bank/transfers/lock b then a'] }],
    roots: [{
      key: 's1', kind: 'scope', id: 1, name: 'bank', path: 'bank', state: 'finalizing', since: began,
      below: [
        { key: 's3', kind: 'scope', id: 3, name: 'transfers', path: 'bank/transfers', state: 'open', since: began, limit: 4, waiting: 3, blocked: ['bank/accept'], holders: ['bank/transfers/lock a then b', 'bank/transfers/lock b then a'],
          below: [task(1, 'lock a then b', { ...lock, at: 'main.go:45' }), task(2, 'lock b then a', { ...lock, at: 'main.go:52' }), task(3, 'watch', { waits: 'select', at: 'watch.go:9', flags: ['not awaited', 'no bubble'] })] },
        { key: 's9', kind: 'scope', id: 9, name: 'web', path: 'bank/web', state: 'open', since: began,
          below: [{ ...conn(1), key: 's9/x', name: 'conn #', waits: undefined, at: undefined, count: 187, newest: new Date().toISOString(),
            states: { running: 180, canceling: 5, 'given up': 2 },
            standing: [{ waits: 'IO wait', at: 'conn.go:30', for: 60e9, count: 150 }, { waits: 'chan send', at: 'queue.go:7', count: 30 }],
            members: Array.from({ length: 10 }, (_, i) => conn(i + 1, i < 2 ? { state: 'given up' } : i < 7 ? { state: 'canceling', cause: 'requested: bad name' } : {})) }] },
      ],
    }],
    places: [
      { waits: 'IO wait', at: 'conn.go:30', for: 60e9, count: 150, paths: [], names: ['conn #'] },
      { waits: 'sync.Mutex.Lock', at: 'main.go:45', for: 720e9, count: 1, paths: [], names: ['lock a then b'] },
      { waits: 'sync.Mutex.Lock', at: 'main.go:52', for: 720e9, count: 1, paths: [], names: ['lock b then a'] },
      ...Array.from({ length: 10 }, (_, i) => ({ waits: 'select', at: `other.go:${i}`, count: 1, paths: [], names: ['other'] })),
    ],
    limiters: [{ limit: 2, inUse: 2, holders: ['bank/web/conn 1', 'bank/web/conn 2'], waiting: 12, waiters: ['bank/web/conn 3'] }],
    ended: [
      { path: 'bank/web/quote', opened: began, ended: new Date().toISOString(), err: 'scope "bank/web/quote": deadline of 400ms passed while waiting for the other side to answer', count: 61, first: began, weight: 1 },
      { path: 'bank/attempt 1', opened: began, ended: began, err: 'journal: no space left on device', weight: 41, above: 2 },
      { path: 'tool', opened: began, ended: new Date().toISOString() },
      { path: 'session', opened: began, ended: began, err: 'parent canceled', canceled: true },
    ],
  };
}

test('what waits for what, limits and endings are shown', async () => {
  await withPage(`${base}/made-up/`, { viewport: { width: 1440, height: 900 } }, async (page, errors) => {
    await make('show', {}, JSON.stringify(bank()));
    await row(page, 'lock a then b').waitFor();
    const text = async (locator) => (await locator.innerText()).replace(/\s+/g, ' ');

    // In the tree: state and age are beside the name, the normal state looks normal.
    assert.match(await text(row(page, 'bank')), /^▾ bank open until done 12m/);
    assert.match(await row(page, 'bank').locator('.state span').getAttribute('title'), /^Finalizing: its body has returned/);
    assert.match(await text(row(page, 'lock a then b')), /lock a then b running 12m\d+s blocked sync\.Mutex\.Lock at main\.go:45, ≥ 12m0s$/);
    const color = (locator) => locator.evaluate((el) => getComputedStyle(el).color);
    const blocked = await color(row(page, 'lock a then b').locator('.place'));
    const quiet = await color(row(page, 'watch').locator('.place'));
    assert.notEqual(blocked, quiet, 'a lock that blocks is not as quiet as a select');
    assert.equal(await color(row(page, 'watch').locator('.flags span').first()), quiet, 'flags are quiet');
    assert.equal(await color(row(page, 'lock a then b').locator('.lint')), blocked);
    const name = await row(page, 'lock a then b').locator('.name').boundingBox();
    const age = await row(page, 'lock a then b').locator('.age').boundingBox();
    assert.ok(age.x - name.x - name.width < 100, 'the age is near the name');
    assert.match(await text(row(page, 'conn #')), /conn # ×187 180 running, 5 canceling, 2 given up <1s – 12m\d+s 150 × IO wait at conn\.go:30, ≥ 1m0s, 30 × chan send at queue\.go:7/);
    assert.equal(await row(page, 'conn #').getAttribute('data-state'), 'given up');

    // A group opens to its most notable members.
    assert.equal(await row(page, 'conn 3').count(), 0);
    await row(page, 'conn #').locator('.twisty').click();
    await row(page, 'conn 10').waitFor();
    assert.equal(await page.locator('.row.more').innerText(), '… 177 more');
    assert.match(await text(row(page, 'conn 3')), /canceling .* requested: bad name/);
    await row(page, 'conn #').locator('.twisty').click();

    assert.match(await text(page.locator('#warnings')), /blocked ×2 has not moved, for at least 12m.* bank\/transfers\/lock a then b sync\.Mutex\.Lock at main\.go:45 bank\/transfers\/lock b then a sync/);

    // A place filters the tree. Those where something is blocked come first, and of many only some are shown.
    assert.match(await text(page.locator('#places')), /Where they stand 1 × sync\.Mutex\.Lock at main\.go:45 lock a then b ≥ 12m0s .* 150 × IO wait at conn\.go:30 conn # ≥ 1m0s 1 × select .*… 5 more$/);
    await page.getByRole('button', { name: '… 5 more' }).click();
    await page.getByRole('button', { name: '1 × select at other.go:9' }).waitFor();
    await page.getByRole('button', { name: '1 × sync.Mutex.Lock at main.go:52' }).click();
    await row(page, 'lock a then b').waitFor({ state: 'detached' });
    assert.equal(await row(page, 'lock b then a').count(), 1);
    for (const [filter, hit, miss] of [
      ['mutex', 'lock a then b', 'watch'], ['watch.go', 'watch', 'lock a then b'], ['transfers/lock b', 'lock b then a', 'lock a then b'],
      ['given up', 'conn 1', 'conn 3'], ['bad name', 'conn 3', 'conn 1'], ['blocked', 'lock a then b', 'watch'], ['queue.go', 'conn #', 'conn 1'],
      ['until done', 'bank', 'web'],
    ]) {
      await page.fill('#filter', filter);
      await row(page, miss).waitFor({ state: 'detached' });
      assert.equal(await row(page, hit).count(), 1, filter);
    }
    await page.fill('#filter', '');

    // Limits, with those who hold them and those who wait.
    assert.match(await text(page.locator('#limits')), /limit 2, 2 in use, 12 waiting held by bank\/web\/conn 1 bank\/web\/conn 2 waiting bank\/web\/conn 3 and 11 more/);
    assert.match(await text(page.locator('#limits')), /bank\/transfers: limit 4, 3 waiting held by bank\/transfers\/lock a then b bank\/transfers\/lock b then a and 2 more waiting bank\/accept and 2 more/);
    await page.locator('#limits').getByRole('button', { name: 'bank/web/conn 2', exact: true }).click();
    await page.locator('#details h1', { hasText: 'conn 2' }).waitFor();
    assert.equal(await row(page, 'conn 2').getAttribute('aria-selected'), 'true', 'its group is open');
    await page.keyboard.press('Escape');

    // Endings: what took most with it first, folded, and counted truly; the link says what the list is called.
    assert.match(await text(page.locator('#failed-list')), /^failed 1,204 bank\/attempt 1 canceled 41 others and 2 scopes above 12m\d+s journal: no space left on device bank\/web\/quote ×61 canceled up to 1 other each .*s deadline of 400ms passed/);
    assert.equal(await text(page.locator('#failed')), 'failed 1,204');
    assert.equal(await page.locator('#failed a').getAttribute('href'), '#failed-list');
    assert.match(await text(page.locator('#ended')), /^roots that ended without a failure tool \S+ session .*parent canceled$/);
    assert.deepEqual(errors.filter((e) => !e.includes('404')), []); // the stack of what is made up
  });
});

test('a wait lasts at least as long as it has been seen', async () => {
  await withPage(`${base}/made-up/`, {}, async (page, errors) => {
    const state = bank();
    const [transfers] = state.roots[0].below;
    transfers.below[0].from = new Date(Date.now() - 352_000).toISOString();
    state.places[1].from = transfers.below[0].from;
    await make('show', {}, JSON.stringify(state));
    const place = row(page, 'lock a then b').locator('.places');
    assert.match((await place.innerText()).replace(/\s+/g, ' '), /sync\.Mutex\.Lock at main\.go:45, ≥ 5m5\ds$/);
    await row(page, 'lock a then b').locator('.lasted', { hasText: '≥ 5m55s' }).waitFor(); // without a new state
    assert.match(await page.locator('#places li').first().locator('.age').innerText(), /^≥ 5m5\ds$/);
    assert.deepEqual(errors, []);
  });
});

test('a click shows what it leads to, and nothing is said twice', async () => {
  await withPage(`${base}/made-up/`, { viewport: { width: 1440, height: 900 } }, async (page) => {
    await make('show', {}, JSON.stringify(bank()));
    await row(page, 'lock a then b').click();
    await page.locator('#details h1', { hasText: 'lock a then b' }).waitFor();
    assert.equal((await page.locator('#side').innerText()).split('Look at who holds the lock.').length, 2);
    const outline = (locator) => locator.evaluate((el) => getComputedStyle(el).outlineStyle);
    await page.locator('#details').getByRole('button', { name: 'blocked' }).click();
    assert.equal(await outline(page.locator('#warnings li[data-lint="blocked"]')), 'solid');
    await page.locator('#failed a').click();
    assert.equal(await outline(page.locator('#failed-list')), 'solid', 'it may have been in view before');
    assert.ok(await page.locator('#failed-list h2').evaluate((el) => el.getBoundingClientRect().bottom < innerHeight));

    const filter = page.locator('#filter');
    await page.getByRole('button', { name: '1 × sync.Mutex.Lock at main.go:52' }).click();
    assert.equal(await filter.inputValue(), 'sync.Mutex.Lock at main.go:52');
    assert.ok(await filter.evaluate((el) => el.scrollWidth <= el.clientWidth), 'the filter is not cut');
    assert.equal(await filter.getAttribute('title'), 'sync.Mutex.Lock at main.go:52');
  });
});

test('on a phone names and errors can be read', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await withPage(`${base}/made-up/`, { colorScheme, viewport: { width: 390, height: 844 } }, async (page) => {
      await make('show', {}, JSON.stringify(bank()));
      await row(page, 'lock a then b').waitFor();
      for (const name of ['bank', 'transfers', 'lock a then b', 'watch', 'conn #']) {
        const cut = await row(page, name).locator('.name').evaluate((el) => el.scrollWidth - el.clientWidth);
        assert.ok(cut <= 0, `${name} is cut by ${cut} px`);
      }
      const place = row(page, 'lock a then b').locator('.places');
      assert.ok((await place.boundingBox()).width > 150, 'and where they are blocked');
      for (const part of ['.at', '.lasted']) {
        const { right, cut } = await place.locator(part).evaluate((el) => (
          { right: el.getBoundingClientRect().right, cut: el.scrollWidth - el.clientWidth }
        ));
        assert.ok(right <= 390 && cut <= 0, `${part} ends at ${right}, and is cut by ${cut} px`);
      }
      const paths = await page.locator('#warnings .paths').boundingBox();
      for (const button of await page.locator('#warnings .paths button').all()) {
        const { y, height } = await button.boundingBox();
        assert.ok(y + height <= paths.y + paths.height + 1, 'each of those that block each other is named');
      }
      const error = page.locator('#failed-list .err', { hasText: 'deadline of 400ms passed while waiting for the other side to answer' });
      await error.scrollIntoViewIfNeeded();
      const box = await error.boundingBox();
      assert.ok(box.width > 300 && box.height > 30, 'the error has lines of its own');
      for (const path of await page.locator('#failed-list .path').all()) {
        assert.ok((await path.boundingBox()).height < 25, `${await path.innerText()} is on one line`);
      }
      await row(page, 'watch').click();
      assert.equal(await page.locator('#details h1').innerText(), 'watch');
      assert.ok(await page.locator('#details h1').evaluate((el) => el.getBoundingClientRect().width > 30 && getComputedStyle(el).clipPath === 'none'));
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${over} px too wide`);
      if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/phone-${colorScheme}.png` });
    });
  }
});

test('60 levels can be told apart', async () => {
  const level = (n) => ({
    key: `s${n}`, kind: 'scope', id: n, name: `level ${n}`, path: `level ${n}`, state: 'open', since: new Date().toISOString(),
    below: n < 60 ? [level(n + 1)] : [],
  });
  for (const width of [1440, 390]) {
    await withPage(`${base}/made-up/`, { viewport: { width, height: 844 } }, async (page) => {
      await make('show', {}, JSON.stringify({ version: 1, scopes: 60, tasks: 0, canceling: 0, warnings: [], roots: [level(1)] }));
      await row(page, 'level 60').waitFor();
      const names = await page.locator('.row .name').evaluateAll((all) => all.map((el) => {
        const { left, width } = el.getBoundingClientRect();
        return { left, width };
      }));
      assert.equal(names.length, 60);
      assert.ok(names.every(({ left }, i) => i === 0 || left - names[i - 1].left >= 2), 'each level is further to the right');
      assert.ok(names.every(({ width }) => width > 40), 'each name can be read');
      assert.equal(await row(page, 'level 37').locator('.level').innerText(), '37');
    });
  }
});

test('100,000 tasks are shown, folded', async () => {
  await make('fork', { name: 'crowd' });
  await make('spawn', { in: 'crowd', name: 'worker', n: 50000 });
  const kinds = [...'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'].slice(0, 50);
  for (const kind of kinds) await make('spawn', { in: 'crowd', name: `kind ${kind}`, n: 1000 });
  await withPage(url, {}, async (page, errors) => {
    await page.locator('.times', { hasText: '×50,000' }).waitFor({ timeout: 60000 });
    await row(page, 'kind X').waitFor();
    assert.ok(await page.locator('.row').count() < 100);
    await page.locator('#warnings li[data-lint="spawn-storm"]').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('kind w');
    await row(page, 'kind V').waitFor({ state: 'detached' });
    await row(page, 'kind W').click();
    await page.getByRole('button', { name: 'Stack of the oldest' }).click();
    await page.locator('#details pre', { hasText: 'there are 100,' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Dump nevertheless' }).count(), 1);
    assert.deepEqual(errors.filter((e) => !e.includes('409')), []);
  });
  await make('close', { in: 'crowd' });
});
