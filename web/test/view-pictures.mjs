// Takes pictures of pages for the documentation.
import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { useBrowser, withPage } from './browser.mjs';

useBrowser();

const pictures = [
  { file: 'view-small.png', log: 'small', height: 620, path: 'report' },
  { file: 'view-failing.png', log: 'failing', height: 860, width: 1120, select: 'flush' },
  { file: 'view-failing-dark.png', log: 'failing', height: 860, width: 1120, select: 'flush', colorScheme: 'dark' },
  { file: 'view-crashed.png', log: 'crashed', height: 600 },
  { file: 'view-hung.png', log: 'hung', height: 330 },
  { file: 'view-500.png', log: '500', width: 860, height: 640 },
  { file: 'view-100000.png', log: '100000', width: 900, height: 560 },
];

for (const { file, log, width = 1200, height, select, path, colorScheme = 'light' } of pictures) {
  test(file, () => withPage(pathToFileURL(`${process.env.PAGES}/${log}.html`).href, { viewport: { width, height }, colorScheme }, async (page) => {
    await page.waitForFunction(() => globalThis.traigoView?.stats?.frames > 0);
    if (select) await page.evaluate((name) => traigoView.select(traigoView.find(name)[0], 'stay'), select);
    if (path) await page.evaluate((name) => { traigoView.select(traigoView.find(name)[0], 'stay'); traigoView.store.showPath.value = true; }, path);
    await page.waitForTimeout(300);
    mkdirSync(process.env.PICTURES, { recursive: true });
    await page.screenshot({ path: `${process.env.PICTURES}/${file}` });
    const { size } = statSync(`${process.env.PICTURES}/${file}`);
    assert.ok(size < 150_000, `${size} bytes: too many for a repository`);
  }));
}
