// Compares a recording in two viewers: our page, and the viewer of Chrome and `go tool trace`.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { useBrowser, withPage } from './browser.mjs';

useBrowser();

const { PAGE, TRACE, VIEWER, PICTURE } = process.env;

/** Returns the spans of our page: [name, begin and end in µs]. */
const ours = () => withPage(pathToFileURL(PAGE).href, {}, async (page, errors) => {
  await page.waitForFunction(() => globalThis.traigoView?.stats.frames > 0);
  const spans = await page.evaluate(() => {
    const m = traigoView.store.model;
    return Array.from({ length: m.n }, (_, i) => [m.names[i], Math.round(m.begin[i] / 1e3), Math.round(m.end[i] / 1e3)]);
  });
  assert.deepEqual(errors, []);
  return spans;
});

/** Serves a page with Chrome's viewer, which does not work from a file. */
async function serveViewer() {
  const files = {
    '/': `<!doctype html><style>html,body,#viewer{margin:0;width:100%;height:100%;overflow:hidden}</style>
      <script src="/webcomponents.min.js"></script><link rel="import" href="/trace_viewer_full.html"><body></body>`,
    '/webcomponents.min.js': await readFile(`${VIEWER}/webcomponents.min.js`),
    '/trace_viewer_full.html': await readFile(`${VIEWER}/trace_viewer_full.html`),
  };
  const server = createServer((req, res) => {
    res.writeHead(req.url in files ? 200 : 404, { 'Content-Type': req.url.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8' });
    res.end(files[req.url]);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return server;
}

/** Returns the spans of the converted recording in Chrome's viewer. */
async function chromes() {
  const server = await serveViewer();
  try {
    return await withPage(`http://127.0.0.1:${server.address().port}/`, { viewport: { width: 1100, height: 1100 } }, async (page) => {
      await page.waitForFunction(() => globalThis.tr?.importer?.Import && globalThis.Polymer);
      const got = await page.evaluate(load, await readFile(TRACE, 'utf8'));
      await page.waitForTimeout(1000); // until it has drawn, which it does not report
      await page.getByText('Hide', { exact: true }).click(); // its message about a polyfill
      await page.waitForTimeout(300);
      await page.screenshot({ path: PICTURE, clip: { x: 0, y: 0, width: 1040, height: 530 } });
      return got;
    });
  } finally {
    server.close();
  }
}

/** Runs in the page: loads the trace, and returns the spans that the viewer has read. */
async function load(trace) {
  const model = new tr.Model();
  await new tr.importer.Import(model).importTraces([trace]);
  const slices = [];
  for (const process of Object.values(model.processes)) {
    for (const thread of Object.values(process.threads)) {
      for (const s of thread.sliceGroup.slices) slices.push([s.title, Math.round(1e3 * s.start), Math.round(1e3 * s.end)]);
    }
  }
  const flows = model.flowEvents.map((f) => [Boolean(f.startSlice), Boolean(f.endSlice)]);

  const container = document.createElement('track-view-container');
  container.id = 'track_view_container';
  const viewer = document.createElement('tr-ui-timeline-view');
  viewer.track_view_container = container;
  Polymer.dom(viewer).appendChild(container);
  viewer.id = 'viewer';
  viewer.globalMode = true;
  Polymer.dom(document.body).appendChild(viewer);
  viewer.model = model;
  const style = document.createElement('style');
  style.textContent = 'tr-ui-b-mouse-mode-selector { display: none }';
  document.head.append(style);
  return { slices, flows, warnings: model.importWarnings.map((w) => w.message) };
}

const byPlace = (a, b) => a[0].localeCompare(b[0]) || a[1] - b[1] || a[2] - b[2];

test('the same spans, from when to when', async () => {
  const [mine, theirs] = [(await ours()).sort(byPlace), await chromes()];
  assert.deepEqual(theirs.warnings, []);
  const spans = theirs.slices.filter(([name]) => !name.startsWith('canceled: ')).sort(byPlace); // cancellations are instants
  assert.deepEqual(spans.map(([name]) => name), mine.map(([name]) => name));
  const shift = mine[0][1] - spans[0][1]; // the viewer's time begins with the first span
  // Two of one name that begin within a microsecond may be sorted either way.
  const left = [...mine];
  for (const [name, begin, end] of spans) {
    const i = left.findIndex(([n, b, e]) => n === name && Math.abs(begin + shift - b) <= 2 && Math.abs(end + shift - e) <= 2);
    assert.ok(i >= 0, `${name}: ${begin} to ${end}, not in ours`);
    left.splice(i, 1);
  }
  assert.ok(theirs.flows.length > 0 && theirs.flows.every(([from, to]) => from && to), 'every arrow has two ends');
});
