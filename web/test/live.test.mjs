// Tests of the page of package live. live/browser_test.go runs the program that it shows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useBrowser, withPage } from './browser.mjs';

const base = process.env.URL;
const url = `${base}/debug/scopes/`;

useBrowser();

/** Makes the program do something: see do in live/browser_test.go. */
async function make(what, params = {}) {
  const answer = await fetch(`${base}/do/${what}?${new URLSearchParams(params)}`, { method: 'POST' });
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
    const ended = page.locator('#ended li', { hasText: 'shop/billing' });
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
    for (let i = 0; i < 30; i += 1) await make('spawn', { in: 'tall', name: `job ${i}` });
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
    await page.setViewportSize({ width: 1000, height: 480 });
    // The paths of files on the machine that takes the picture are of no interest.
    await page.locator('#details pre').evaluate((pre) => { pre.textContent = pre.textContent.replace(/^\s+\/.*\//gm, '    '); });
    await page.screenshot({ path: process.env.PICTURE_LINTS });
    await make('end', { name: 'copy' });
    await ignored.waitFor({ state: 'detached' });
    await make('close', { in: 'catalog' });
    assert.deepEqual(errors, []);
  });
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
      await page.keyboard.press('Escape');
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
    const pid = /process (\d+)/.exec(await scope.locator('.chip').first().textContent())[1];
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

test('100,000 tasks are shown, folded', async () => {
  await make('fork', { name: 'crowd' });
  await make('spawn', { in: 'crowd', name: 'worker', n: 50000 });
  for (let i = 0; i < 100; i += 1) await make('spawn', { in: 'crowd', name: `kind ${i}`, n: 500 });
  await withPage(url, {}, async (page, errors) => {
    await page.locator('.times', { hasText: '×50,000' }).waitFor({ timeout: 60000 });
    await row(page, 'kind 99').waitFor();
    assert.ok(await page.locator('.row').count() < 2500);
    await page.locator('#warnings li[data-lint="spawn-storm"]').waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('kind 77');
    await row(page, 'kind 76').waitFor({ state: 'detached' });
    await row(page, 'kind 77').click();
    await page.locator('#details pre', { hasText: 'there are 100,' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Dump nevertheless' }).count(), 1);
    assert.deepEqual(errors.filter((e) => !e.includes('409')), []);
  });
  await make('close', { in: 'crowd' });
});
