// Takes a picture of a terminal from the output of a program.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { useBrowser, withPage } from './browser.mjs';

useBrowser();

const escaped = (text) => text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
const colors = { 31: '#ff7b72', 33: '#e3b341' };

/** Returns text with color escapes as HTML. */
function html(text) {
  return text.split('\x1b[').map((part, i) => {
    if (i === 0) return escaped(part);
    const [, code, rest] = /^(\d+)m([^]*)$/.exec(part);
    return `${code === '0' ? '</span>' : `<span style="color:${colors[code]}">`}${escaped(rest)}`;
  }).join('');
}

test('the demo on a terminal', async () => {
  const frame = await readFile(process.env.FRAME, 'utf8');
  const style = 'margin:0;padding:14px 18px;background:#0d1117;color:#c9d1d9;font:12.5px/1.32 "DejaVu Sans Mono",monospace;white-space:pre;display:inline-block';
  const page = `<body style="margin:0;background:#0d1117"><div style='${style}'>${html(frame)}</div>`;
  await withPage('about:blank', { viewport: { width: 900, height: 700 } }, async (tab) => {
    await tab.setContent(page);
    const shown = tab.locator('div');
    assert.match(await shown.innerText(), /├─ • accept \(running/);
    await shown.screenshot({ path: process.env.PICTURE });
  });
});
