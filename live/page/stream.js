// The stream of server-sent events, and what is said of the connection.

import { $, say } from './dom.js';
import { model, part } from './model.js';
import { freeze, isFrozen, setClock } from './time.js';

let changed = () => {}; // what to call with a new state
let source = null;
let retry = 0; // timer
let lostSoon = 0; // timer

function setLink(is, text) {
  $('link').dataset.state = is;
  say($('link'), text);
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
    model.state = JSON.parse(e.data);
    changed();
  });
  // A minute has passed, or the server stops: the browser would take it for a failure.
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

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

export function setPaused(paused) {
  freeze(paused);
  $('pause').setAttribute('aria-pressed', String(paused));
  say($('pause'), paused ? 'Resume' : 'Pause');
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

/** Calls onState for each state that comes, from now on. */
export function listen(onState) {
  changed = onState;
  $('pause').addEventListener('click', () => setPaused(!isFrozen()));
  // A page that nobody sees costs the program nothing.
  document.addEventListener('visibilitychange', () => {
    if (isFrozen()) return;
    if (document.hidden) disconnect();
    else connect();
  });
  connect();
}
