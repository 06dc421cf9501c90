// Imports TypeScript modules of the page in Node.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

export async function importPage(name) {
  const path = fileURLToPath(new URL(`../view/${name}`, import.meta.url));
  const { outputFiles } = await build({ entryPoints: [path], bundle: true, write: false, format: 'esm', logLevel: 'error' });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}
