// Helpers to make and change elements.

export const $ = (id) => document.getElementById(id);

/** Makes an element. The text becomes a text node, and is never read as HTML. */
export function make(tag, className, text) {
  const el = document.createElement(tag);
  if (className) el.className = className;
  if (text !== undefined) el.textContent = text;
  return el;
}

export function makeButton(text, onClick) {
  const button = make('button', '', text);
  button.type = 'button';
  button.addEventListener('click', onClick);
  return button;
}

/** Sets the text of an element, unless it is the same: the browser would draw it again. */
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export const number = (n) => n.toLocaleString('en');

/** Scrolls to an element, and marks it for a moment: it may have been in view before. */
export function point(el) {
  el.scrollIntoView({ block: 'start' });
  el.classList.remove('marked');
  void el.offsetWidth; // or the animation would not begin anew
  el.classList.add('marked');
}
