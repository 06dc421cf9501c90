// Small helpers for elements.

export const $ = (id) => document.getElementById(id);

/** Makes an element. Texts of the program only ever become text nodes. */
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

/** Sets a text only if it is another: what does not change is not drawn again. */
export function say(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export const number = (n) => n.toLocaleString('en');
