// Compares the chains of causes in the details with those of `traigo why`. The logs and its chains
// are in the directory CHAINS: see TestBrowserChains in package view.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { importPage } from './typescript.mjs';

const { modelOf, keyOf } = await importPage('model.ts');
const { causesOf, chainOf } = await importPage('causes.ts');

const dir = process.env.CHAINS;
for (const file of readdirSync(dir).filter((name) => name.endsWith('.html'))) {
  const name = file.slice(0, -'.html'.length);
  test(`the chains of causes of the log ${name} lead where those of traigo why do`, () => {
    const [, packed] = /id="log">([^<]*)</.exec(readFileSync(join(dir, file), 'utf8'));
    const m = modelOf(JSON.parse(gunzipSync(Buffer.from(packed, 'base64'))));
    const causes = causesOf(m);
    const why = JSON.parse(readFileSync(join(dir, `${name}.json`), 'utf8'));
    assert.equal(Object.keys(why).length, m.n);
    for (let i = 0; i < m.n; i++) {
      const key = keyOf(m, i);
      const spans = chainOf(m, causes, i).flat().filter((step) => step.span !== undefined).map((step) => keyOf(m, step.span));
      const chain = spans.filter((span, k) => span !== spans[k - 1]);
      if (chain.length === 0 && why[key].length <= 1) continue; // what ended well needs no reason
      assert.deepEqual(chain, why[key], `${m.names[i]} (${key}), ${m.state[i]}`);
    }
  });
}
