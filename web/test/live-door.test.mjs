// Tests of the page of package live when it gets no stream. live/browser_test.go runs the
// program that it shows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useBrowser, withPage } from './browser.mjs';

const base = process.env.URL;
const url = `${base}/debug/scopes/`;

useBrowser();

const link = (page, state) => page.locator(`#link[data-state="${state}"]`);
const row = (page, text) => page.locator('.row').filter({ has: page.locator('.name', { hasText: new RegExp(`^${text}$`) }) });

async function make(what, params = {}) {
  const answer = await fetch(`${base}/do/${what}?${new URLSearchParams(params)}`, { method: 'POST' });
  assert.equal(answer.status, 200, what);
}

/** Opens streams, as other pages of this machine do. Returns a function that closes them. */
async function takeStreams(n) {
  const end = new AbortController();
  for (let i = 0; i < n; i++) {
    const answer = await fetch(`${url}events`, { signal: end.signal });
    assert.equal(answer.status, 200);
    answer.body.getReader().read().catch(() => {});
  }
  return () => end.abort();
}

test('a page that gets no stream asks every 2 s, says so, and takes a stream when there is one', async () => {
  const release = await takeStreams(20);
  await withPage(url, {}, async (page) => {
    await link(page, 'polling').waitFor();
    assert.equal(await link(page, 'polling').textContent(), 'No stream to be had (20 of this client are open): asking every 2 s.');
    await row(page, 'door').waitFor();
    await make('fork', { name: 'orders' });
    await row(page, 'orders').waitFor({ timeout: 8000 });
    await page.screenshot({ path: process.env.PICTURE });
    assert.equal(await link(page, 'polling').count(), 1);
    await page.setViewportSize({ width: 390, height: 844 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the sentence fits on a phone');
    await page.screenshot({ path: process.env.PICTURE_PHONE });
    release();
    await link(page, 'live').waitFor({ timeout: 20_000 });
    await make('close', { in: 'orders' });
    await row(page, 'orders').waitFor({ state: 'detached' });
  });
});

test('a paused page does not ask', async () => {
  const release = await takeStreams(20);
  await withPage(url, {}, async (page) => {
    await link(page, 'polling').waitFor();
    await page.locator('#pause').click();
    await link(page, 'paused').waitFor();
    let asked = 0;
    page.on('request', () => { asked++; });
    await page.waitForTimeout(5000);
    assert.equal(asked, 0);
    assert.equal(await link(page, 'paused').count(), 1);
  });
  release();
});
