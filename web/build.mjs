// Bundles the page of package view into view/dist. The bundle is checked in and embedded,
// so that users of traigo need no Node. With --check it compares instead of writing.
import { build } from 'esbuild';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const dist = new URL('../view/dist/', import.meta.url);
const web = fileURLToPath(new URL('./', import.meta.url));

const { outputFiles, metafile } = await build({
  absWorkingDir: web,
  entryPoints: { page: 'view/main.tsx' },
  outdir: 'out',
  bundle: true,
  minify: true,
  format: 'iife',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  charset: 'ascii',
  legalComments: 'none',
  metafile: true,
  write: false,
  logLevel: 'warning',
});

const files = { 'page.js': licences() + output('page.js'), 'page.css': output('page.css') };

function output(name) {
  return outputFiles.find((f) => f.path.endsWith(name)).text;
}

/** Returns the licenses of the packages in the bundle, as a comment, since each page is a copy of them. */
function licences() {
  const inputs = Object.keys(metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  const packages = [...new Set(inputs.filter(Boolean))].sort();
  const texts = packages.map((name) => {
    const { version } = JSON.parse(readFileSync(`${web}node_modules/${name}/package.json`, 'utf8'));
    const text = readFileSync(`${web}node_modules/${name}/LICENSE`, 'utf8').replaceAll('*/', '* /').replaceAll('\r', '').trim();
    return `${name} ${version}\n\n${text}\n`;
  });
  return `/*! This page contains:\n\n${texts.join('\n')}*/\n`;
}

const stale = [];
for (const [name, text] of Object.entries(files)) {
  const path = new URL(name, dist);
  if (!process.argv.includes('--check')) {
    mkdirSync(dist, { recursive: true });
    writeFileSync(path, text);
    console.log(`view/dist/${name}: ${(text.length / 1024).toFixed(1)} kB`);
  } else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
    stale.push(`view/dist/${name}`);
  }
}
if (stale.length > 0) {
  console.error(`${stale.join(' and ')}: not what web/view builds. Run: npm --prefix web run build`);
  process.exit(1);
}
