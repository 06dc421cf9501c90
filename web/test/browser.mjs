// The browser that all scripts here share: Chromium, without features that use the network
// or need a display.
import { chromium } from 'playwright-core';
import { after, before } from 'node:test';

const quiet = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-extensions',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

let browser;

/** Launches the browser before the tests of a file and closes it after them. */
export function useBrowser() {
  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: quiet });
  });
  after(() => browser?.close());
}

/**
 * Opens a page, and calls fn with it and with a list of its errors: uncaught exceptions,
 * error messages on the console, and requests to another origin.
 */
export async function withPage(url, options, fn) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (err) => errors.push(`uncaught: ${err.message}`));
  page.on('console', (m) => m.type() === 'error' && errors.push(`console: ${m.text()}`));
  page.on('request', (r) => {
    const own = new URL(url).origin === 'null' ? 'file:' : new URL(url).origin;
    if (!r.url().startsWith(own) && !/^(data|blob):/.test(r.url())) errors.push(`request: ${r.url()}`);
  });
  try {
    await page.goto(url);
    return await fn(page, errors);
  } finally {
    await context.close();
  }
}
