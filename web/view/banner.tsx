// The story of the recording, in which each name is a link.
import { none } from './model.ts';
import { queryOf } from './search.ts';
import type { Store } from './store.ts';
import type { Word } from './story.ts';

export function Story({ store }: { store: Store }) {
  return (
    <section class="story" aria-label="What happened" data-testid="story">
      {store.story.map((line) => (
        <p class={`line ${line.tone}`}>{line.words.map((word) => <Part store={store} word={word} />)}</p>
      ))}
    </section>
  );
}

function Part({ store, word }: { store: Store; word: Word }) {
  if (word.span !== undefined && word.span !== none) {
    const span = word.span;
    return <button class="link" onClick={() => store.select(span)} onMouseEnter={() => { store.hovered.value = span; }} onMouseLeave={() => { store.hovered.value = none; }}>{word.text}</button>;
  }
  if (word.find) {
    return <button class="link" onClick={() => { store.find(queryOf(store.model, store.causes, word), word.of !== undefined); store.nextMatch(); }}>{word.text}</button>;
  }
  return <span>{word.text}</span>;
}
