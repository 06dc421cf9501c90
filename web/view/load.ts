// Reads the model from the text of the page: base64, gzip, JSON.
import { modelOf, type Model } from './model.ts';

export async function load(base64: string): Promise<Model> {
  if (!('DecompressionStream' in globalThis)) throw new Error('this browser is too old: it has no DecompressionStream');
  const bytes = atob(base64);
  const packed = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) packed[i] = bytes.charCodeAt(i);
  const text = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return modelOf(JSON.parse(await new Response(text).text()));
}
