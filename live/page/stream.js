// The stream of server-sent events, and the words about the connection on the page.

import { $, setText } from './dom.js';
import { model, part } from './model.js';
import { freeze, isFrozen, setClock } from './time.js';

let onChange = () => {}; // called after each new state
let source = null;
let retry = 0; // timer to connect again
let lostSoon = 0; // timer to show that the connection is lost

function setLink(is, text) {
  $('link').dataset.state = is;
  setText($('link'), text);
  document.body.classList.toggle('lost', is === 'lost');
}

function lost() {
  lostSoon ||= setTimeout(() => setLink('lost', 'connection lost, retrying'), 1200);
}

function connect() {
  disconnect();
  source = new EventSource(`events${part.size ? `?${part}` : ''}`);
  const alive = () => {
    clearTimeout(lostSoon);
    lostSoon = 0;
    setLink('live', 'live');
  };
  source.addEventListener('now', (e) => {
    alive();
    setClock(Number(e.data));
  });
  source.addEventListener('state', (e) => {
    model.state = parse(e.data);
    onChange();
  });
  // The server ends the stream after a minute, or because it shuts down. Without this the
  // browser would take the end for an error, and wait longer.
  source.addEventListener('bye', () => {
    lost();
    retry = setTimeout(connect, 200);
    source.close();
  });
  source.addEventListener('error', () => {
    lost();
    if (source.readyState === EventSource.CLOSED) {
      clearTimeout(retry);
      retry = setTimeout(connect, 2000);
    }
  });
}

/**
 * Parses a state. IDs of scopes in other processes may be too large for a number of
 * JavaScript: those become strings. Quotes in names are escaped, so that no name has a key.
 */
const parse = (text) => JSON.parse(text.replace(/"(id|scope)":(\d{16,})/g, '"$1":"$2"'));

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

export function setPaused(paused) {
  freeze(paused);
  $('pause').setAttribute('aria-pressed', String(paused));
  setText($('pause'), paused ? 'Resume' : 'Pause');
  clearTimeout(lostSoon);
  lostSoon = 0;
  if (paused) {
    disconnect();
    setLink('paused', 'paused');
  } else {
    setLink('connecting', 'connecting');
    connect();
  }
}

/** Connects, and from now on calls onState after each new state. */
export function listen(onState) {
  onChange = onState;
  $('pause').addEventListener('click', () => setPaused(!isFrozen()));
  // A page in the background must cost the program nothing.
  document.addEventListener('visibilitychange', () => {
    if (isFrozen()) return;
    if (document.hidden) disconnect();
    else connect();
  });
  connect();
}
