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

/** Returns the middle of the visible part of a span's bar, or, if it is folded, its place in the bar of many; in coordinates of the screen. */
async function pointAt(page, name) {
  const place = await page.evaluate((name) => traigoView.place(traigoView.find(name)[0]), name);
  const box = await page.getByTestId('timeline').boundingBox();
  const left = Math.max(place.from, 0), right = Math.min(Math.max(place.to, place.from + 2), box.width);
  return { x: box.x + (left + right) / 2, y: box.y + place.row + 10 };
}

/** Returns the most frequent color in the row of a span. */
const colorsAt = (page, name) => page.evaluate((name) => {
  const { left, row, width } = traigoView.place(traigoView.find(name)[0]);
  const canvas = document.querySelector('[data-testid=timeline] canvas');
  const { data } = canvas.getContext('2d').getImageData(left * devicePixelRatio, (row + 4) * devicePixelRatio, Math.max(width * devicePixelRatio, 1), 12 * devicePixelRatio);
  const count = {};
  for (let i = 0; i < data.length; i += 4) count[`${data[i]},${data[i + 1]},${data[i + 2]}`] = (count[`${data[i]},${data[i + 1]},${data[i + 2]}`] ?? 0) + 1;
  return Object.entries(count).sort((a, b) => b[1] - a[1])[0][0];
}, name);

/** Returns, for the row in which a span is shown, the columns in CSS pixels that have the color of failures, each with its height. */
const redColumns = (page, span) => page.evaluate((span) => {
  const { row } = traigoView.place(span);
  const canvas = document.querySelector('[data-testid=timeline] canvas');
  const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue('--failed').match(/[0-9a-f]{2}/gi).map((s) => parseInt(s, 16));
  const { data, width, height } = canvas.getContext('2d').getImageData(0, row + 3, canvas.width, 14);
  const columns = [];
  for (let x = 0; x < width; x++) {
    let n = 0;
    for (let y = 0; y < height; y++) if (data[4 * (y * width + x)] === r && data[4 * (y * width + x) + 1] === g && data[4 * (y * width + x) + 2] === b) n++;
    if (n > 0) columns.push({ x, n });
  }
  return columns;
}, span);

/** Returns the texts of the rows in sight. */
const rowTexts = (page) => page.getByRole('treeitem').evaluateAll((rows) => {
  const sheet = document.querySelector('.sheet').getBoundingClientRect();
  return rows.filter((r) => r.getBoundingClientRect().bottom > sheet.top && r.getBoundingClientRect().top < sheet.bottom).map((r) => r.innerText.replace(/\s+/g, ' ').trim());
});

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
      heads: traigoView.arrows.trunks.find((t) => model.names[t.scope] === 'server').heads.map((h) => model.names[traigoView.rows[h.row]] ),
      drawn: traigoView.stats.arrows,
    };
  });
  assert.deepEqual(arrows.failures, [['accept', 'server']]);
  assert.deepEqual(arrows.server, ['conn 3', 'conn 4', 'conn 5', 'metrics', 'session', 'session', 'session']);
  assert.deepEqual(arrows.heads, ['metrics', 'conn 3', 'session', 'conn 4', 'session', 'conn 5', 'session']);
  assert.ok(arrows.drawn > 10);

  await page.getByTestId('story').getByRole('button', { name: 'accept' }).click();
  assert.equal(await selected(page), 'accept');
  const details = page.getByTestId('details');
  assert.match(await details.innerText(), /too many open files/);
  assert.match(await details.innerText(), /master/);
  assert.match(await details.innerText(), /server; 11 tasks and 3 scopes canceled/);
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

test('the wheel scrolls rows; with Ctrl it zooms in time, with Shift it moves in it', () => view('crawl', async (page) => {
  await page.evaluate(() => traigoView.store.toggle(traigoView.rows.at(-1))); // all pages
  await settled(page);
  const all = await windowOf(page);
  const at = await pointAt(page, 'page 12');
  await page.mouse.move(at.x, at.y);
  await page.mouse.wheel(0, 300);
  await page.waitForFunction(() => traigoView.store.top.value > 250);
  assert.deepEqual(await windowOf(page), all, 'time stays');

  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -600);
  await page.keyboard.up('Control');
  await settled(page);
  const near = await windowOf(page);
  const top = await page.evaluate(() => traigoView.store.top.value);
  assert.ok(near.to - near.from < (all.to - all.from) * 0.5, 'closer');
  const under = (w, box) => w.from + ((at.x - box.x) / box.width) * (w.to - w.from);
  const box = await page.getByTestId('timeline').boundingBox();
  assert.ok(Math.abs(under(near, box) - under(all, box)) < (all.to - all.from) / box.width, 'what is under the pointer stays there');

  await page.keyboard.down('Shift');
  await page.mouse.wheel(0, 120);
  await page.keyboard.up('Shift');
  await settled(page);
  const later = await windowOf(page);
  assert.ok(later.from > near.from && Math.abs(later.to - later.from - (near.to - near.from)) < 1, 'later, as near');
  await page.mouse.wheel(-80, 0);
  await settled(page);
  assert.ok((await windowOf(page)).from < later.from, 'a horizontal wheel moves in time');
  assert.equal(await page.evaluate(() => traigoView.store.top.value), top, 'none of these scrolls');
}));

test('moving by drag, fitting by double click and keys', () => view('failing', async (page) => {
  const all = await windowOf(page);
  await page.keyboard.press('w');
  const near = await windowOf(page);
  assert.ok(near.to - near.from < all.to - all.from);
  const at = await pointAt(page, 'conn 3');
  await page.mouse.move(at.x, at.y);
  await page.mouse.down();
  await page.mouse.move(at.x - 120, at.y, { steps: 4 });
  await page.mouse.up();
  assert.ok((await windowOf(page)).from > near.from, 'later');
  assert.equal(await selected(page), undefined, 'a drag selects nothing');

  await page.keyboard.press('f');
  assert.deepEqual(await windowOf(page), all);
  const flush = await pointAt(page, 'flush');
  await page.mouse.dblclick(flush.x, flush.y);
  const fitted = await windowOf(page);
  const [begin, end] = await page.evaluate(() => [traigoView.store.model.begin[traigoView.find('flush')[0]], traigoView.store.model.end[traigoView.find('flush')[0]]]);
  assert.ok(fitted.from < begin && fitted.to > end && fitted.to - fitted.from < (end - begin) * 1.3);

  await page.keyboard.press('f');
  await page.keyboard.press('w');
  const byKey = await windowOf(page);
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
  assert.match((await rowTexts(page)).join('\n'), /^crawl .*\npage # × 11 /, 'the matches, and what they are in');
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
  assert.equal(await selected(page), undefined, 'a group');
  const group = page.getByRole('treeitem', { selected: true });
  assert.match(await group.innerText(), /conn #\s*× 5/);
  assert.match(await page.getByTestId('details').innerText(), /conn # × 5[\s\S]*median[\s\S]*To look at first/i);
  assert.equal(await tree.getAttribute('aria-activedescendant'), await group.getAttribute('id'));
  await page.keyboard.press('ArrowDown');
  assert.equal(await selected(page), 'conn 1');
  const conn = page.getByRole('treeitem', { selected: true });
  assert.equal(await conn.getAttribute('aria-level'), '3');
  assert.equal(await conn.getAttribute('aria-expanded'), 'true');
  const rows = () => page.evaluate(() => traigoView.rows.length);
  const before = await rows();
  await page.keyboard.press('ArrowLeft');
  assert.equal(await conn.getAttribute('aria-expanded'), 'false');
  assert.equal(await rows(), before - 3);
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
  assert.ok((await page.getByTestId('timeline').boundingBox()).height > 100, 'the details leave room for rows');
}, { viewport: { width: 800, height: 600 } }));

test('? explains the page', () => view('small', async (page) => {
  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Help' });
  await help.waitFor();
  assert.match(await help.innerText(), /A box is a scope[^]*Ctrl wheel/);
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
  assert.ok(box.width > 380, `the picture is ${box.width} wide`);
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

// What was found in sight.md, by its letter.

test('A2: a failure of 1.4 ms among 200,000 spans is a hair at its place', () => view('needle', async (page) => {
  const failed = await page.evaluate(() => traigoView.store.model.tone.findIndex((t, i) => t === 6 && !traigoView.store.model.isScope[i]));
  await page.evaluate(() => traigoView.store.toggle(traigoView.rows[1], false));
  await settled(page);
  const place = await page.evaluate((i) => traigoView.place(i), failed);
  assert.ok(place.isFolded);
  const red = await redColumns(page, failed);
  assert.ok(red.length >= 1 && red.length <= 3, `${red.length} columns are red`);
  assert.ok(red.every(({ x }) => Math.abs(x - place.from) <= 2), 'at its place');
}));

test('A2: where half of many fail, half is red', () => view('wide', async (page) => {
  const item = await page.evaluate(() => traigoView.find('item 2500')[0]);
  const red = (await redColumns(page, item)).slice(200, -200);
  assert.ok(red.length > 300);
  const share = red.reduce((n, c) => n + c.n, 0) / (14 * red.length);
  assert.ok(share > 0.4 && share < 0.6, `${share} of the bar is red`);
}));

test('A2: a run of failures is no wider than what failed', () => view('server', async (page) => {
  const [first, all] = await page.evaluate(() => {
    const { model, folds } = traigoView.store;
    const id = folds.group(traigoView.find('conn')[0]);
    return [folds.groups[id].members[0], [...folds.groups[id].members].length];
  });
  assert.equal(all, 400);
  await page.evaluate(() => traigoView.store.open.value = { ...traigoView.store.open.value, groups: new Map() });
  await settled(page);
  const ends = await page.evaluate(() => {
    const { model } = traigoView.store;
    const f = traigoView.drawing.frame();
    return [...model.tone].flatMap((t, i) => (t === 6 && !model.isScope[i] ? [((model.end[i] - f.view.from) * f.width) / (f.view.to - f.view.from)] : []));
  });
  const red = await redColumns(page, first);
  const left = await page.evaluate(() => traigoView.place(0).left + 2); // the edge of the box around
  assert.ok(red.length >= 10 && red.every(({ x }) => x < left || ends.some((e) => Math.abs(e - x) <= 3)), 'ticks for what failed inside');
}));

for (const [name, viewport] of [['a desktop', { width: 1440, height: 900 }], ['a phone', { width: 390, height: 844 }]]) {
  test(`B1, B5: names are seen at once on ${name}: the demo, and servers with many connections`, async () => {
    for (const [log, names] of [['shop', ['demo', 'supervisor', 'supervisor attempt 1', 'service', 'accept', 'journal', 'conn × 43']], ['server', ['server', 'accept', 'metrics', 'rotate log', 'conn × 400']], ['sessions', ['server', 'conn # × 2,500']]]) {
      await view(log, async (page) => {
        const texts = await rowTexts(page);
        assert.ok(texts.length >= (viewport.width > 1000 ? 20 : 10), `${texts.length} rows`);
        for (const name of names) assert.ok(texts.some((t) => t.startsWith(name)), `${name} in\n${texts.join('\n')}`);
        const { row } = await page.evaluate(() => traigoView.store.geometry.value);
        assert.ok(row >= 16);
        const cut = await page.getByRole('treeitem').evaluateAll((rows) => rows.filter((r) => r.querySelector('.name').clientWidth < Math.min(r.querySelector('.name').scrollWidth, 40)).length);
        assert.equal(cut, 0, 'names are not squeezed to nothing');
      }, { viewport });
    }
  });
}

test('B5: on a phone the picture has the whole width, and details leave room for it', () => view('given', async (page) => {
  const box = await page.getByTestId('timeline').boundingBox();
  assert.equal(box.width, 390);
  const deaf = page.getByRole('treeitem', { name: /deaf/ });
  await deaf.click();
  assert.equal(await selected(page), 'deaf');
  assert.ok((await page.getByTestId('timeline').boundingBox()).height > 120);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
}, { viewport: { width: 390, height: 844 }, hasTouch: true }));

test('B2: names and bars are the same rows, also while they scroll', () => view('server', async (page) => {
  await page.evaluate(() => traigoView.store.toggle(traigoView.rows.at(-1)));
  for (const top of [0, 333, 2000]) {
    await page.evaluate((top) => traigoView.store.scroll(top), top);
    await settled(page);
    const apart = await page.evaluate(() => {
      const canvas = document.querySelector('[data-testid=timeline] canvas').getBoundingClientRect();
      return [...document.querySelectorAll('[role=treeitem]')].map((r) => {
        const row = Number(r.dataset.row);
        const { row: height } = traigoView.store.geometry.value;
        return Math.abs(r.getBoundingClientRect().top - (canvas.top + row * height - traigoView.store.top.value));
      });
    });
    assert.ok(apart.length > 10 && Math.max(...apart) < 1, `they are ${Math.max(...apart)} apart`);
  }
}));

test('B2: where one is stays told when the header is scrolled away, and leads back to it', () => view('deep', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('task 60')[0]));
  await settled(page);
  const crumbs = page.getByTestId('crumbs');
  assert.match(await crumbs.innerText(), /^root › … › .*level \d\d$/);
  await crumbs.getByRole('button', { name: 'root' }).click();
  await page.waitForFunction(() => traigoView.store.top.value === 0);
  assert.equal(await crumbs.count(), 0);
}));

test('B3: alike siblings are one row, which opens to outliers and then to all', () => view('wide', async (page) => {
  const rows = () => page.evaluate(() => traigoView.rows.length);
  const group = page.getByRole('treeitem', { name: /× 5,000/ });
  assert.match((await group.innerText()).replace(/\s+/g, ' '), /item # × 5,000 2,500 failed median [\d.]+ ms, p99 [\d.]+ ms/);
  await group.locator('[data-fold]').click();
  assert.equal(await rows(), 2);
  await group.locator('[data-fold]').click();
  assert.equal(await rows(), 2 + 10 + 1);
  const states = await page.evaluate(() => traigoView.rows.slice(2, 12).map((i) => traigoView.store.model.tone[i]));
  assert.deepEqual(states.slice(0, 7), [6, 6, 6, 6, 6, 6, 6], 'what failed comes first');
  await page.getByRole('treeitem', { name: /4,990 more/ }).click();
  assert.equal(await rows(), 5002);
  assert.ok((await page.getByRole('treeitem').count()) < 80, 'only rows in sight exist');
}));

test('B3: following a link into a fold opens the way, and no more', () => view('sessions', async (page) => {
  const deep = await page.evaluate(() => {
    const { store } = traigoView;
    const i = traigoView.find('conn 77')[0] + 5;
    store.select(i);
    return [store.rows.value.at(i), store.model.names[i]];
  });
  assert.ok(deep[0] > 0);
  await settled(page);
  assert.match(await page.getByRole('treeitem', { selected: true }).innerText(), new RegExp(deep[1]));
  assert.ok((await page.evaluate(() => traigoView.rows.length)) < 80, 'its alike siblings stay folded');
}));

test('B6: errors are told from the inside, with the path they came by', () => view('deep', async (page) => {
  const row = page.getByRole('treeitem').first();
  await page.evaluate(() => traigoView.store.toggle(traigoView.find('root')[0], false));
  assert.match(await row.innerText(), /bottom reached/, 'in a closed row');
  await page.evaluate(() => traigoView.store.toggle(traigoView.find('root')[0], true));
  await settled(page);
  const at = await pointAt(page, 'level 2');
  await page.mouse.move(at.x, at.y);
  const tip = await page.getByTestId('tooltip').innerText();
  assert.match(tip, /bottom reached/);
  assert.match(tip, /from root\/level 1\/.*…\/.*level 59\/task 60/);
  await page.evaluate(() => traigoView.select(traigoView.find('level 2')[0]));
  const chain = await page.getByTestId('chain').innerText();
  assert.match(chain, /^scope level 2 ended because task 3 returned the failure of scope level 3\n/);
  assert.match(chain, /… and \d+ more steps …[^]*scope level 59 ended because a task failed\ntask 60 failed: bottom reached$/, 'down to the first cause');
  assert.doesNotMatch(await page.getByTestId('chain').innerText(), /task task/);
  assert.match(await page.getByTestId('details').locator('pre.error').innerText(), /level 2": task/, 'all of it is there as well');
}));

test('A4: the details of the culprit say how much it ended', () => view('deep', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('task 60')[0]));
  assert.match(await page.getByTestId('ended').innerText(), /^level 59 and the 59 scopes around it, up to root; 60 tasks canceled$/);
}));

test('B7: levels can be told apart, 60 of them', () => view('deep', async (page) => {
  for (const name of ['task 5', 'task 30', 'task 59']) {
    await page.evaluate((name) => traigoView.select(traigoView.find(name)[0], 'show'), name);
    await settled(page);
    const [own, below, width] = await page.evaluate((name) => {
      const left = (i) => document.getElementById(`row${i}`).querySelector('.name').getBoundingClientRect().left;
      const i = traigoView.find(name)[0];
      return [left(i), left(traigoView.store.model.first[i]), document.querySelector('.names').clientWidth];
    }, name);
    assert.ok(below - own >= 5, `${name}: what is below it is ${below - own} px to the right`);
    assert.ok(below < width * 0.75, `${name}: there is room for names`);
  }
  assert.ok((await page.locator('.level').count()) > 10, 'levels have numbers');
}));

test('a table by name, which sorts, and filters the picture', () => view('sessions', async (page) => {
  await page.getByRole('tab', { name: 'By name' }).click();
  const table = page.getByTestId('names');
  const names = () => table.locator('tbody th').allInnerTexts();
  assert.deepEqual(await names(), ['request #', 'conn #', 'session', 'server']);
  await table.getByRole('button', { name: 'failed' }).click();
  assert.equal((await names())[3], 'server');
  await table.getByRole('button', { name: /^name/ }).click();
  assert.deepEqual(await names(), ['conn #', 'request #', 'server', 'session']);
  const cells = (await table.locator('tr', { hasText: 'session' }).innerText()).split('\t');
  assert.deepEqual([cells[1], cells[2], cells[6]].map((s) => s.trim()), ['scope', '2,500', '25']);
  await table.getByRole('button', { name: 'session' }).click();
  assert.equal(await table.count(), 0);
  assert.equal(await page.getByTestId('matches').innerText(), '2,500 matches');
  assert.match((await rowTexts(page)).join('\n'), /conn # × 2,500[^]*… 2,490 more 2,490 matches/);
  await page.getByRole('button', { name: 'session ×' }).click();
  assert.equal(await page.getByTestId('matches').innerText(), '');
}));

test('B13: search finds errors and paths, counts inside of folds, and says where it is', () => view('server', async (page) => {
  await page.getByRole('tab', { name: 'Time line' }).press('/');
  await page.keyboard.type('no space left');
  assert.equal(await page.getByTestId('matches').innerText(), '2 matches');
  await page.keyboard.press('Escape');
  await page.keyboard.press('/');
  await page.keyboard.type('server/conn/read');
  assert.equal(await page.getByTestId('matches').innerText(), '400 matches');
  await page.evaluate(() => { const { store } = traigoView; for (const n of [...traigoView.rows]) if (n < -1 && n % 2 === 0) store.toggle(n, false); });
  assert.match((await rowTexts(page)).join('\n'), /conn × 400.*400 matches/);
  await page.keyboard.press('Enter');
  assert.equal(await page.getByTestId('matches').innerText(), '1 of 400');
  await page.keyboard.press('n');
  await page.keyboard.press('n');
  assert.equal(await page.getByTestId('matches').innerText(), '3 of 400');
  assert.equal(await selected(page), 'read');
  await page.keyboard.press('p');
  assert.equal(await page.getByTestId('matches').innerText(), '2 of 400');
}));

test('B13: a name in the headline zooms; u and Back undo it', () => view('server', async (page) => {
  const before = await page.evaluate(() => ({ ...traigoView.window, top: traigoView.store.top.value, rows: traigoView.rows.length }));
  const now = () => page.evaluate(() => ({ ...traigoView.window, top: traigoView.store.top.value, rows: traigoView.rows.length }));
  const link = page.getByTestId('story').getByRole('button', { name: /^request/ }).first();
  await link.click();
  const chosen = await selected(page);
  assert.match(chosen, /^request \d+$/);
  const near = await page.evaluate(() => {
    const i = traigoView.store.selected.value;
    return { part: (traigoView.store.model.end[i] - traigoView.store.model.begin[i]) / (traigoView.window.to - traigoView.window.from), place: traigoView.place(i), height: traigoView.store.size.value.height };
  });
  assert.ok(near.part > 0.25 && near.part < 0.8, `it takes ${near.part} of the width`);
  assert.ok(!near.place.isFolded && near.place.row >= 0 && near.place.row < near.height, 'it is in sight');
  await page.keyboard.press('u');
  assert.deepEqual(await now(), before);
  assert.equal(await selected(page), undefined);

  await link.click();
  await page.keyboard.press('w'); // wheel steps and the like are no entries of their own
  await page.goBack();
  await settled(page);
  assert.deepEqual(await now(), before);
  assert.equal(await selected(page), undefined);
  await page.goForward();
  await settled(page);
  assert.equal(await selected(page), chosen);
}));

test('A4: a hang is said with its place, and each row says what it waits for', () => view('hung', async (page) => {
  const [first, second] = await story(page);
  assert.equal(first, 'The program hung: nothing was recorded after 800 ms, and at 10.8 s 4 tasks waited for sync.Mutex.Lock at main.go:31: update 1, update 2, update 3 and update 4; the log ends at 1 m 00 s.');
  assert.match(second, /^The log stops at 1 m 00 s without its last line/);
  const row = (name) => page.getByTestId('tree').getByRole('treeitem').filter({ hasText: name }).innerText();
  assert.match(await row('report'), /chan receive at main\.go:40/);
  assert.match(await row('update 3'), /sync\.Mutex\.Lock at main\.go:31/);
  await page.getByTestId('story').getByRole('button', { name: 'update 3' }).click();
  assert.match(await page.getByTestId('waits').innerText(), /^sync\.Mutex\.Lock at main\.go:31 \(4 do\), seen at 10\.8 s/);
}));

test('a number in the story leads to exactly what it counts', async () => {
  await view('failing', async (page) => {
    await page.getByTestId('story').getByRole('button', { name: '11 tasks and 3 scopes' }).click();
    assert.equal(await page.getByTestId('matches').innerText(), '1 of 14');
    const chip = page.getByRole('button', { name: 'canceled because of server ×' });
    assert.match((await rowTexts(page)).join('\n'), /metrics/);
    assert.doesNotMatch((await rowTexts(page)).join('\n'), /report usage/);
    await chip.click();
    assert.equal(await page.getByTestId('matches').innerText(), '');
  });
  await view('wide', async (page) => {
    await page.getByTestId('story').getByRole('button', { name: '2,500 failures' }).click();
    assert.equal(await page.getByTestId('matches').innerText(), '1 of 2,500');
  });
});

test('the table has columns for what is unfinished and stopped, only if there are some', async () => {
  const columns = (page) => page.getByTestId('names').locator('thead th').allInnerTexts();
  for (const [log, more] of [['hung', ['failed', 'unfinished', 'canceled']], ['small', ['failed', 'canceled', 'stopped']], ['wide', ['failed', 'canceled']]]) {
    await view(log, async (page) => {
      await page.keyboard.press('b');
      assert.deepEqual((await columns(page)).slice(6), more, log);
      if (log === 'hung') assert.match(await page.getByTestId('names').locator('tr', { hasText: 'report' }).innerText(), /≥\d+ (s|m)/);
    });
  }
});

test('a long path is cut in its middle, where one sees it', () => view('deep', async (page) => {
  await page.evaluate(() => traigoView.select(traigoView.find('task 60')[0]));
  const path = page.getByTestId('details').getByRole('row', { name: /^path/ });
  assert.match(await path.innerText(), /root\/level 1\/.*\/…\/.*level 59\/task 60$/s);
  assert.ok(await path.evaluate((e) => [...e.querySelectorAll('*')].every((c) => getComputedStyle(c).overflowY === 'visible')), 'it does not scroll');
}));

test('Home and End go to the first and the last row, wherever the focus is', () => view('failing', async (page) => {
  await page.keyboard.press('End');
  assert.equal(await selected(page), await page.evaluate(() => traigoView.store.model.names[traigoView.rows.at(-1)]));
  await page.keyboard.press('Home');
  assert.equal(await selected(page), 'server');
}));

test('the legend has the colors of the story, and of the critical path while it is shown', () => view('hung', async (page) => {
  const legend = page.getByLabel('Legend');
  assert.match(await legend.innerText(), /hung/);
  assert.doesNotMatch(await legend.innerText(), /critical path/);
  await page.keyboard.press('c');
  assert.match(await legend.innerText(), /critical path/);
}));

test('where the log stops is said on the axis, and covers no bars', () => view('crashed', async (page) => {
  const filled = (selector) => page.evaluate((selector) => {
    const canvas = document.querySelector(selector);
    const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue('--muted').match(/[0-9a-f]{2}/gi).map((s) => parseInt(s, 16));
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let n = 0, longest = 0;
    for (let i = 0; i < data.length; i += 4) {
      n = data[i] === r && data[i + 1] === g && data[i + 2] === b ? n + 1 : 0;
      longest = Math.max(longest, n);
    }
    return longest;
  }, selector);
  assert.ok((await filled('.axis canvas')) > 50);
  assert.ok((await filled('[data-testid=timeline] canvas')) < 30);
}));

test('on a phone all has its place', () => view('hung', async (page) => {
  const found = await page.evaluate(() => {
    const box = (e) => e.getBoundingClientRect();
    const rows = [...document.querySelectorAll('.row')].filter((r) => r.querySelector('.time'));
    const edge = traigoView.place(0);
    const field = document.querySelector('#search');
    const c = document.createElement('canvas').getContext('2d');
    c.font = getComputedStyle(field).font;
    return {
      apart: Math.max(...rows.map((r) => Math.abs(box(r.querySelector('.swatch')).top + box(r.querySelector('.swatch')).height / 2 - box(r.querySelector('.name')).top - box(r.querySelector('.name')).height / 2))),
      over: Math.max(...rows.map((r) => box(r.querySelector('.time')).right)) - (edge.left + edge.width),
      tab: box(document.querySelector('[role=tab]')).left,
      placeholder: c.measureText(field.placeholder).width < field.clientWidth - 14,
    };
  });
  assert.ok(found.apart < 2, `icons are ${found.apart} px above or below the names`);
  assert.ok(found.over < 0, 'no box border goes through a duration');
  assert.ok(found.tab >= 4 && found.placeholder);
}, { viewport: { width: 390, height: 844 } }));

test('B14: ticks of failures do not hide the curve', () => view('crawl', async (page) => {
  await page.waitForTimeout(100);
  const lowest = await page.evaluate(() => {
    const canvas = document.querySelector('.strip canvas');
    const [r, g, b] = getComputedStyle(document.documentElement).getPropertyValue('--failed').match(/[0-9a-f]{2}/gi).map((s) => parseInt(s, 16));
    const { data, width, height } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (data[4 * (y * width + x)] === r && data[4 * (y * width + x) + 1] === g && data[4 * (y * width + x) + 2] === b) return height - y;
    return 0;
  });
  assert.ok(lowest > 2 && lowest <= 8, `ticks are ${lowest} px high`);
}));

test('print has all that is in sight on one sheet', () => view('server', async (page) => {
  await page.evaluate(() => traigoView.store.toggle(traigoView.rows.at(-1)));
  await page.evaluate(() => traigoView.store.scroll(500));
  await settled(page);
  const pdf = (await page.pdf({ preferCSSPageSize: true, printBackground: true })).toString('latin1');
  assert.equal(pdf.match(/\/Type\s*\/Page\b/g).length, 1);
  await page.emulateMedia({ media: 'print' });
  await page.setViewportSize({ width: 1040, height: 690 }); // the paper
  const fits = await page.evaluate(() => {
    const box = (s) => document.querySelector(s).getBoundingClientRect();
    return [box('.bars canvas'), box('.names'), box('.legend')].every((b) => b.right <= innerWidth + 1 && b.bottom <= innerHeight + 1 && b.width > 0);
  });
  assert.ok(fits);
  const text = await page.getByTestId('unprinted').innerText();
  const [, all, above, below] = text.match(/^(\d+) rows are not on this sheet: (\d+) above and (\d+) below$/).map(Number);
  const rows = await page.evaluate(() => [traigoView.rows.length, Math.ceil((500 + traigoView.store.size.value.height) / 20)]);
  assert.deepEqual([all, above, below], [25 + rows[0] - rows[1], 25, rows[0] - rows[1]]);
  assert.ok(await page.getByTestId('unprinted').isVisible());
  await page.emulateMedia({ media: 'screen' });
  assert.ok(!(await page.getByTestId('unprinted').isVisible()));
  await page.emulateMedia({ media: 'print' });
  assert.equal(await page.evaluate(() => traigoView.store.top.value), 500, 'nothing has moved');
}));

test('a click on a failure in a bar of many leads to it', () => view('needle', async (page) => {
  await page.evaluate(() => traigoView.store.toggle(traigoView.rows[1], false));
  await settled(page);
  const failed = await page.evaluate(() => traigoView.store.model.tone.findIndex((t, i) => t === 6 && !traigoView.store.model.isScope[i]));
  const place = await page.evaluate((i) => traigoView.place(i), failed);
  const box = await page.getByTestId('timeline').boundingBox();
  await page.mouse.move(box.x + place.from + 1, box.y + place.row + 10);
  assert.match(await page.getByTestId('tooltip').innerText(), /task req[\s\S]*failed, 1\.4 ms[\s\S]*checksum/);
  await page.mouse.click(box.x + place.from + 1, box.y + place.row + 10);
  assert.equal(await page.evaluate(() => traigoView.store.selected.value), failed);
  assert.equal((await page.evaluate((i) => traigoView.place(i), failed)).isFolded, false);
}));

test('fingers: up and down scrolls, sideways moves in time, two zoom', () => view('server', async (page) => {
  await page.evaluate(() => traigoView.store.toggle(traigoView.rows.at(-1)));
  await settled(page);
  const touch = await page.context().newCDPSession(page);
  const box = await page.getByTestId('timeline').boundingBox();
  const [x, y] = [box.x + 200, box.y + 250];
  /** Moves fingers, each from a place by a way. */
  const move = async (...fingers) => {
    const at = (part) => fingers.map(([x, y, dx, dy], id) => ({ x: x + dx * part, y: y + dy * part, id }));
    await touch.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: at(0) });
    for (let k = 1; k <= 8; k++) await touch.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: at(k / 8) });
    await touch.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await settled(page);
  };
  const all = await windowOf(page);
  await move([x, y, 0, -150]);
  await page.waitForFunction(() => {
    const before = globalThis.topBefore;
    globalThis.topBefore = traigoView.store.top.value;
    return before > 50 && before === globalThis.topBefore; // it has come to rest
  }, undefined, { polling: 200 });
  assert.deepEqual(await windowOf(page), all);
  const top = await page.evaluate(() => traigoView.store.top.value);
  await move([x - 40, y, -100, 0], [x + 40, y, 100, 0]);
  const near = await windowOf(page);
  assert.ok(near.to - near.from < (all.to - all.from) * 0.6, 'closer');
  await move([x, y, -120, 0]);
  assert.ok((await windowOf(page)).from > near.from, 'later');
  assert.equal(await page.evaluate(() => traigoView.store.top.value), top);
  assert.equal(await selected(page), undefined);
}, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }));
