// Tests of the page of package view in a browser. view/browser_test.go makes the pages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { useBrowser, withPage } from './browser.mjs';

useBrowser();

const address = (name) => pathToFileURL(`${process.env.PAGES}/${name}.html`).href;

/** Opens a page, waits for its picture, calls fn, and checks that the page had no errors. */
function view(name, fn, options = {}) {
  return withPage(address(name) + (options.hash ?? ''), options, async (page, errors) => {
    await page.waitForFunction(() => globalThis.traigoView?.stats?.frames > 0);
    await fn(page);
    assert.deepEqual(errors, []);
  });
}

const story = (page) => page.getByTestId('story').locator('p').allInnerTexts();
const windowOf = (page) => page.evaluate(() => traigoView.window);
const selected = (page) => page.evaluate(() => traigoView.store.model.names[traigoView.store.selected.value]);
const settled = (page) => page.evaluate(() => new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f))));

/** Returns the middle of the visible part of a span's bar, in coordinates of the screen. */
async function pointAt(page, name) {
  const place = await page.evaluate((name) => traigoView.place(traigoView.find(name)[0]), name);
  const box = await page.getByTestId('timeline').boundingBox();
  const left = Math.max(place.left, 0), right = Math.min(place.left + place.width, box.width);
  return { x: box.x + (left + right) / 2, y: box.y + place.top + 6 };
}

/** Returns the colors in a part of the canvas, each with its number of pixels. */
const colorsAt = (page, name) => page.evaluate((name) => {
  const { left, top, width } = traigoView.place(traigoView.find(name)[0]);
  const canvas = document.querySelector('[data-testid=timeline] canvas');
  const { data } = canvas.getContext('2d').getImageData(left * devicePixelRatio, top * devicePixelRatio, Math.max(width * devicePixelRatio, 1), 14 * devicePixelRatio);
  const count = {};
  for (let i = 0; i < data.length; i += 4) count[`${data[i]},${data[i + 1]},${data[i + 2]}`] = (count[`${data[i]},${data[i + 1]},${data[i + 2]}`] ?? 0) + 1;
  return Object.entries(count).sort((a, b) => b[1] - a[1])[0][0];
}, name);

test('a good program: its story, its tree, its picture', () => view('small', async (page) => {
  assert.deepEqual(await story(page), ['report ended well at 760 ms: 10 tasks in 3 scopes.']);
  assert.equal(await page.title(), 'example.com/chat · traigo');
  const tree = page.getByRole('tree', { name: 'Scopes and tasks' });
  assert.equal(await tree.getByRole('treeitem').count(), 13);
  const nested = tree.getByRole('treeitem', { name: /page 2/ });
  assert.equal(await nested.getAttribute('aria-level'), '4');
  assert.equal(await nested.getAttribute('aria-posinset'), '2');
  assert.equal(await nested.getAttribute('aria-setsize'), '4');
  const inside = await page.evaluate(() => {
    const at = (name) => traigoView.place(traigoView.find(name)[0]);
    const [outer, inner, bar] = ['report', 'user pages', 'page 3'].map(at);
    return outer.top < inner.top && inner.top < bar.top && bar.top + bar.height <= inner.top + inner.height && inner.top + inner.height <= outer.top + outer.height
      && outer.left < inner.left && inner.left <= bar.left;
  });
  assert.ok(inside, 'boxes are inside of each other');
}));

test('a failure: what failed first, and what was canceled because of it', () => view('failing', async (page) => {
  const lines = await story(page);
  assert.equal(lines[0], 'server failed at 3.2 s: task accept returned “too many open files”; 11 tasks and 3 scopes were canceled because of it.');
  assert.equal(lines[1], 'task report usage returned “dns: no such host” at 1.7 s; that ended no scope.');

  const arrows = await page.evaluate(() => {
    const { model } = traigoView.store;
    return {
      failures: traigoView.arrows.failures.map((a) => [model.names[a.task], model.names[a.scope]]),
      server: traigoView.arrows.trunks.find((t) => model.names[t.scope] === 'server').canceled.map((v) => model.names[v]).sort(),
      drawn: traigoView.stats.arrows,
    };
  });
  assert.deepEqual(arrows.failures, [['accept', 'server']]);
  assert.deepEqual(arrows.server, ['conn 3', 'conn 4', 'conn 5', 'metrics', 'session', 'session', 'session']);
  assert.ok(arrows.drawn > 10);

  await page.getByTestId('story').getByRole('button', { name: 'accept' }).click();
  assert.equal(await selected(page), 'accept');
  const details = page.getByTestId('details');
  assert.match(await details.innerText(), /too many open files/);
  assert.match(await details.innerText(), /master/);
  assert.match(await details.innerText(), /server, and with it 11 tasks and 3 scopes/);
}));

test('a failure that goes up is in the story once', () => view('climbing', async (page) => {
  assert.deepEqual(await story(page), ['app/batch failed at 5.1 µs (4.6 µs after it began): task row returned “bad row”. That ended app as well, and 2 tasks were canceled because of it.']);
}));

test('the chain of causes leads from a canceled task to the culprit', () => view('failing', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('flush')[0]));
  const steps = await page.getByTestId('chain').locator('li').allInnerTexts();
  assert.deepEqual(steps, [
    'task flush was canceled because its scope ended: scope session',
    'scope session was canceled because its scope ended: scope server',
    'scope server ended because a task failed',
    'task accept failed: too many open files',
  ].map((s) => s.replace('too many open files', s.includes('accept') ? 'too many open files' : '')));
  await page.getByTestId('chain').getByRole('button', { name: 'task accept' }).click();
  assert.equal(await selected(page), 'accept');
}));

test('zooming by wheel, moving by drag, fitting by double click and keys', () => view('failing', async (page) => {
  const all = await windowOf(page);
  const at = await pointAt(page, 'conn 3');
  await page.mouse.move(at.x, at.y);
  await page.mouse.wheel(0, -600);
  await settled(page);
  const near = await windowOf(page);
  assert.ok(near.to - near.from < (all.to - all.from) * 0.5, 'closer');
  const under = (w, box) => w.from + ((at.x - box.x) / box.width) * (w.to - w.from);
  const box = await page.getByTestId('timeline').boundingBox();
  const pixel = (all.to - all.from) / box.width;
  assert.ok(Math.abs(under(near, box) - under(all, box)) < pixel, 'what is under the pointer stays there');

  await page.mouse.down();
  await page.mouse.move(at.x - 120, at.y - 30, { steps: 4 });
  await page.mouse.up();
  const moved = await windowOf(page);
  assert.ok(moved.from > near.from, 'later');
  assert.equal(await selected(page), undefined, 'a drag selects nothing');

  await page.keyboard.press('f');
  assert.deepEqual(await windowOf(page), all);
  const flush = await pointAt(page, 'flush');
  await page.mouse.dblclick(flush.x, flush.y);
  const fitted = await windowOf(page);
  const [begin, end] = await page.evaluate(() => [traigoView.store.model.begin[traigoView.find('flush')[0]], traigoView.store.model.end[traigoView.find('flush')[0]]]);
  assert.ok(fitted.from < begin && fitted.to > end && fitted.to - fitted.from < (end - begin) * 1.3);

  await page.keyboard.press('Home');
  await page.keyboard.press('w');
  const byKey = await windowOf(page);
  assert.ok(byKey.to - byKey.from < all.to - all.from);
  await page.keyboard.press('d');
  assert.ok((await windowOf(page)).from > byKey.from);
  await page.keyboard.press('s');
  await page.keyboard.press('s');
  assert.deepEqual(await windowOf(page), all, 'never farther than all');
}));

test('the overview has a brush', () => view('crawl', async (page) => {
  const strip = await page.locator('.strip').boundingBox();
  await page.mouse.move(strip.x + strip.width * 0.4, strip.y + 20);
  await page.mouse.down();
  await page.mouse.move(strip.x + strip.width * 0.6, strip.y + 20, { steps: 3 });
  await page.mouse.up();
  const part = await windowOf(page);
  const [end] = await page.evaluate(() => [traigoView.store.model.logEnd]);
  assert.ok(part.from > end * 0.35 && part.to < end * 0.65 && part.to > part.from);
}));

test('search counts, goes to the next match, and filters the tree', () => view('crawl', async (page) => {
  await page.keyboard.press('/');
  await page.keyboard.type('page 47');
  assert.equal(await page.getByTestId('matches').innerText(), '11 matches');
  await page.keyboard.press('Enter');
  assert.equal(await selected(page), 'page 47');
  await page.keyboard.press('n');
  assert.equal(await selected(page), 'page 470', 'Enter has left the field');
  await page.keyboard.press('Enter');
  assert.equal(await selected(page), 'page 471');
  await page.keyboard.press('Shift+Enter');
  await page.getByTestId('tree').focus();
  assert.equal(await page.getByTestId('matches').innerText(), '2 of 11');
  await page.keyboard.press('p');
  await page.keyboard.press('p');
  assert.equal(await selected(page), 'page 479', 'it goes around');
  await page.getByLabel('only these').check();
  assert.equal(await page.getByRole('treeitem').count(), 12, 'the matches, and what they are in');
  await page.keyboard.press('Escape');

  await page.getByLabel('State').selectOption('failed');
  assert.equal(await page.getByTestId('matches').innerText(), '10 matches');
  await page.getByLabel('State').selectOption('');
  await page.getByLabel('At least this long').fill('1 s');
  assert.match(await page.getByTestId('matches').innerText(), /^\d+ match/);
  await page.getByLabel('At least this long').fill('long');
  assert.equal(await page.getByLabel('At least this long').getAttribute('aria-invalid'), 'true');
}));

test('the tree by keyboard', () => view('failing', async (page) => {
  const tree = page.getByTestId('tree');
  await tree.focus();
  await page.keyboard.press('ArrowDown');
  assert.equal(await selected(page), 'server');
  for (let i = 0; i < 4; i++) await page.keyboard.press('ArrowDown');
  assert.equal(await selected(page), 'conn 1');
  const conn = page.getByRole('treeitem', { selected: true });
  assert.equal(await tree.getAttribute('aria-activedescendant'), await conn.getAttribute('id'));
  assert.equal(await conn.getAttribute('aria-expanded'), 'true');
  const rows = await page.getByRole('treeitem').count();
  await page.keyboard.press('ArrowLeft');
  assert.equal(await conn.getAttribute('aria-expanded'), 'false');
  assert.equal(await page.getByRole('treeitem').count(), rows - 3);
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  assert.equal(await selected(page), 'session');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  assert.equal(await selected(page), 'conn 1');
  await page.keyboard.press('End');
  assert.equal(await selected(page), 'write');
  await page.keyboard.press('Home');
  assert.equal(await selected(page), 'server');
  await page.keyboard.press('Escape');
  assert.equal(await selected(page), undefined);
}));

test('the selection in the picture is that in the tree, and in the address', () => view('failing', async (page) => {
  const at = await pointAt(page, 'conn 4');
  await page.mouse.move(at.x, at.y);
  const tip = page.getByTestId('tooltip');
  await tip.waitFor();
  assert.match(await tip.innerText(), /task conn 4[\s\S]*canceled, 1\.55 s/);
  await page.mouse.click(at.x, at.y);
  assert.match(await page.getByRole('treeitem', { selected: true }).innerText(), /conn 4/);
  await page.waitForFunction(() => location.hash.includes('s='));
  const hash = await page.evaluate(() => location.hash);
  await withPage(address('failing') + hash, {}, async (again) => {
    await again.waitForFunction(() => globalThis.traigoView?.stats?.frames > 0);
    assert.equal(await selected(again), 'conn 4');
  });
}));

test('the critical path can be shown', () => view('small', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('report')[0]));
  await page.keyboard.press('c');
  const names = await page.getByTestId('path').locator('li button').allInnerTexts();
  for (const name of ['load config', 'page 1', 'page 4', 'charts']) assert.ok(names.includes(name), `${name} in ${names}`);
  assert.ok(!names.includes('heartbeat'), 'nobody waits for it');
  await page.keyboard.press('c');
  assert.equal(await page.getByTestId('path').count(), 0);
}));

test('a log that was cut says so, and shows what was running', () => view('crashed', async (page) => {
  const lines = await story(page);
  assert.match(lines[0], /^The log stops at 2 s without its last line: .* 7 tasks and 3 scopes had not ended\.$/);
  assert.ok(lines.includes('The log is cut in the middle of a line.'));
  await page.getByRole('button', { name: '7 tasks and 3 scopes' }).click();
  assert.equal(await page.getByTestId('matches').innerText(), '1 of 10');
  await page.evaluate(() => traigoView.select(traigoView.find('accept')[0]));
  assert.match(await page.getByTestId('details').innerText(), /unfinished: running/);
}));

test('lost lines are shown where they are missing', () => view('lossy', async (page) => {
  const lines = await story(page);
  assert.ok(lines.some((l) => l.startsWith('812 lines of the log are lost at 50 ms: the writer was too slow.')), lines.join('\n'));
  await page.evaluate(() => traigoView.select(traigoView.find('gone')[0]));
  assert.match(await page.getByTestId('details').innerText(), /ended in a gap of the log: nobody knows how/);
}));

test('a task that was given up and one that panicked, with their stacks', () => view('given', async (page) => {
  const lines = await story(page);
  assert.equal(lines[0], 'job failed at 20 ms: task parse panicked with “index out of range”; 1 task was canceled because of it.');
  assert.ok(lines.some((l) => l.startsWith('1 task did not end when told to, and was given up: deaf, waiting for chan receive at main.go:17.')), lines.join('\n'));
  await page.evaluate(() => traigoView.select(traigoView.find('deaf')[0]));
  assert.match(await page.getByTestId('details').innerText(), /given up, and not ended[\s\S]*main\.deaf/);
}));

test('hostile names are shown as text', () => view('nasty', async (page) => {
  assert.doesNotMatch(await page.title(), /pwned/);
  assert.equal(await page.locator('img').count(), 0);
  const n = await page.evaluate(() => traigoView.store.model.n);
  for (let i = 0; i < n; i++) {
    await page.evaluate((i) => traigoView.select(i), i);
    const wide = await page.getByTestId('details').evaluate((e) => e.scrollWidth - e.clientWidth);
    assert.ok(wide <= 0, `the details of span ${i} stay in their place`);
  }
  const text = await page.evaluate(() => document.body.innerText);
  assert.doesNotMatch(text, /[\u0000-\u0008\u000e-\u001f\u202a-\u202e\u2066-\u2069]/, 'nothing turns the text around');
  await page.evaluate(() => traigoView.select(traigoView.find('abc⟨U+202E⟩gnp.exe')[0]));
  assert.equal(await page.locator('.details h2').innerText(), 'abc⟨U+202E⟩gnp.exe');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight), 'nothing is pushed out of the page');
}));

test('nothing but its own script runs in the page', () => withPage(address('small'), {}, async (page, errors) => {
  await page.waitForFunction(() => globalThis.traigoView?.stats?.frames > 0);
  assert.deepEqual(errors, []);
  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'globalThis.pwned = true';
    document.body.append(script);
    document.body.insertAdjacentHTML('beforeend', '<img src="x" onerror="globalThis.pwned = true">');
    return new Promise((done) => setTimeout(() => done(globalThis.pwned), 100));
  });
  assert.equal(ran, undefined);
  await assert.rejects(page.evaluate(() => fetch('https://example.com/')));
  assert.ok(errors.length >= 3 && errors.every((e) => /Content Security Policy|request: https:/.test(e)), errors.join('\n'));
}));

test('an empty log, and one that takes no time', async () => {
  await view('empty', async (page) => {
    assert.match((await story(page))[0], /^Nothing happened/);
    for (const key of ['f', 'w', 'n', 'c', 'ArrowDown']) await page.keyboard.press(key);
  });
  await view('instant', async (page) => {
    assert.deepEqual(await story(page), ['blink ended well at 0 s: 0 tasks in 1 scope.']);
    const at = await pointAt(page, 'blink');
    await page.mouse.dblclick(at.x, at.y);
    assert.equal(await selected(page), 'blink');
  });
});

test('a file of trio-vis', () => view('triovis', async (page) => {
  assert.ok((await story(page)).some((l) => l.startsWith('This is a file of trio-vis: it does not say how tasks ended, and its times are steps')));
  assert.match((await story(page))[0], / ended at 1\d steps: /);
  assert.ok((await page.evaluate(() => traigoView.find('worker-1').length)) > 0);
}));

test('light and dark, as the system or the user wants it', async () => {
  const seen = {};
  for (const colorScheme of ['light', 'dark']) {
    await view('failing', async (page) => {
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
      seen[colorScheme] = await colorsAt(page, 'accept');
      await page.getByRole('button', { name: 'Light or dark' }).click();
      assert.notEqual(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
      await settled(page);
      seen[`${colorScheme} turned`] = await colorsAt(page, 'accept');
    }, { colorScheme });
  }
  assert.notEqual(seen.light, seen.dark);
  assert.equal(seen.light, seen['dark turned']);
  assert.equal(seen.dark, seen['light turned']);
});

test('the picture is sharp on a screen with a high resolution', () => view('small', async (page) => {
  const [pixels, box] = await page.evaluate(() => {
    const canvas = document.querySelector('[data-testid=timeline] canvas');
    return [canvas.width, canvas.getBoundingClientRect().width];
  });
  assert.equal(pixels, Math.round(box * 2));
}, { deviceScaleFactor: 2 }));

test('a narrow window', () => view('failing', async (page) => {
  const box = await page.getByTestId('timeline').boundingBox();
  assert.ok(box.width > 450, `the picture is ${box.width} wide`);
  await page.evaluate(() => traigoView.select(traigoView.find('flush')[0]));
  const details = await page.getByTestId('details').boundingBox();
  assert.ok(details.x + details.width <= 800);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
}, { viewport: { width: 800, height: 600 } }));

test('? explains the page', () => view('small', async (page) => {
  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Help' });
  await help.waitFor();
  assert.match(await help.innerText(), /A box is a scope/);
  await page.keyboard.press('Escape');
  await help.waitFor({ state: 'detached' });
}));

test('a page whose log is damaged says so', async () => {
  const { readFileSync, writeFileSync } = await import('node:fs');
  const path = `${process.env.PAGES}/damaged.html`;
  writeFileSync(path, readFileSync(`${process.env.PAGES}/small.html`, 'utf8').replace(/id="log">.{200}/, 'id="log">'));
  await withPage(pathToFileURL(path).href, {}, async (page) => {
    await page.getByRole('alert').waitFor();
    assert.match(await page.getByRole('alert').innerText(), /^This recording cannot be shown/);
  });
});

test('a window that becomes narrow', () => view('failing', async (page) => {
  await page.setViewportSize({ width: 400, height: 700 });
  await settled(page);
  const box = await page.getByTestId('timeline').boundingBox();
  assert.ok(box.width > 130, `the picture is ${box.width} wide`);
}));

test('the search fields show what is searched for', () => view('failing', async (page) => {
  const longer = page.getByLabel('At least this long');
  await longer.fill('1 s');
  await page.getByTestId('tree').focus();
  await page.keyboard.press('Escape');
  assert.equal(await longer.inputValue(), '');
  await longer.fill('1 s');
  await page.getByTestId('story').getByRole('button', { name: '11 tasks and 3 scopes' }).click();
  assert.equal(await longer.inputValue(), '');
}));

test('details by keyboard: they scroll, and give the focus back', () => view('given', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('parse')[0]));
  await page.locator('pre.stack').focus();
  await page.keyboard.press('ArrowDown');
  assert.equal(await selected(page), 'parse');
  await page.getByTestId('details').getByRole('button', { name: 'Close' }).focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('role')), 'tree');
}));

test('the address of a moment in a long run', () => view('hour', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('blip')[0], 'fit'));
  await page.waitForFunction(() => location.hash.includes('v='));
  const before = await windowOf(page);
  await page.reload();
  await page.waitForFunction(() => globalThis.traigoView?.stats?.frames > 0);
  const after = await windowOf(page);
  assert.ok(Math.abs(after.from - before.from) < 1 && Math.abs(after.to - before.to) < 1, `${after.from} to ${after.to}, not ${before.from} to ${before.to}`);
}));

test('the other mouse buttons move nothing', () => view('crawl', async (page) => {
  const strip = await page.locator('.strip').boundingBox();
  await page.mouse.move(strip.x + 300, strip.y + 20);
  await page.mouse.down({ button: 'right' });
  await page.mouse.move(strip.x + 500, strip.y + 20, { steps: 3 });
  await page.mouse.up({ button: 'right' });
  assert.equal(await page.evaluate(() => traigoView.store.moved.value), undefined);
}));

test('a tree of processes: each has its PID beside its name, and the one that died is said', () => view('tree', async (page) => {
  const lines = await story(page);
  assert.equal(lines[0], 'root/mid failed at 310 ms (299 ms after it began): task start leaf returned “actor leaf is gone: signal: killed”. That ended root as well, and 1 task and 1 scope were canceled because of it.');
  assert.equal(lines[1], 'The log of process 4194303, leaf, stops at 220 ms without its last line: it crashed or was killed. 1 task and 2 scopes in it had not ended.');
  assert.match(lines.at(-1), /^1 file is left out: app\.jsonl: /);
  assert.match(await page.locator('.facts').innerText(), /4 processes/);

  const items = page.getByRole('tree', { name: 'Scopes and tasks' }).getByRole('treeitem');
  const names = await items.locator('.name').allInnerTexts();
  assert.deepEqual(names.map((s) => s.replace(/\s+/g, ' ')), [
    'root · pid 71', 'start mid', 'mid · pid 72', 'start leaf', 'leaf · pid 4194303, crashed or killed', 'compute', 'square', 'start idle', 'idle · pid 73',
  ]);
  const place = (name) => page.evaluate((name) => traigoView.place(traigoView.find(name)[0]), name);
  const [leaf, starter] = [await place('leaf'), await place('start leaf')];
  assert.ok(Math.abs(leaf.left + leaf.width - (starter.left + starter.width)) < 1, 'the box ends where its process did');

  const at = await pointAt(page, 'compute');
  await page.mouse.move(at.x, at.y);
  assert.match(await page.getByTestId('tooltip').innerText(), /unfinished: running when its process crashed or was killed[^]*pid 4194303/);
  await page.mouse.click(at.x, at.y);
  assert.equal(await selected(page), 'compute');
  const details = await page.getByTestId('details').innerText();
  assert.match(details, /process\s+4194303, example\.com\/chat, crashed or was killed; its log ends at 220 ms/);
  assert.match(details, /id\s+4194303-1\.1/);
  await page.waitForFunction(() => location.hash.includes('s=4194303-1.1'));

  await page.evaluate(() => traigoView.select(traigoView.find('idle')[0]));
  assert.match(await page.getByTestId('chain').innerText(), /scope idle was canceled because its scope ended: scope root/);
  assert.match(await page.getByTestId('details').innerText(), /started by\s+start idle/);
}));
