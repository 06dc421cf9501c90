// The stream of server-sent events, and the words about the connection on the page.

import { $, setText } from './dom.js';
import { model, part } from './model.js';
import { freeze, isFrozen, setClock } from './time.js';

const pollEvery = 2000; // ms between two questions while there is no stream
const streamEvery = 10_000; // ms between two attempts to get one meanwhile

let onChange = () => {}; // called after each new state
let source = null;
let retry = 0; // timer to connect again
let lostSoon = 0; // timer to show that the connection is lost
let polls = null; // {timer, why}: set while the page asks, since it gets no stream

function setLink(is, text) {
  $('link').dataset.state = is;
  setText($('link'), text);
  document.body.classList.toggle('lost', is === 'lost');
}

function lost() {
  lostSoon ||= setTimeout(() => setLink('lost', 'connection lost, retrying'), 1200);
}

function alive(is, text) {
  clearTimeout(lostSoon);
  lostSoon = 0;
  setLink(is, text);
}

function show(state) {
  model.state = state;
  onChange();
}

function connect() {
  disconnect();
  openStream();
}

function openStream() {
  source?.close();
  const own = new EventSource(`events${part.size ? `?${part}` : ''}`);
  source = own;
  own.addEventListener('now', (e) => {
    stopPolls();
    alive('live', 'live');
    setClock(Number(e.data));
  });
  own.addEventListener('state', (e) => show(parse(e.data)));
  // The server ends the stream after a minute, or because it shuts down. Without this the
  // browser would take the end for an error, and wait longer.
  own.addEventListener('bye', () => {
    lost();
    retry = setTimeout(openStream, 200);
    own.close();
  });
  own.addEventListener('error', () => {
    if (!polls) lost();
    if (own.readyState === EventSource.CLOSED) startPolls(); // refused: the browser does not connect again
  });
}

/** Asks for the state every 2 s until there is a stream, and says so. */
function startPolls() {
  clearTimeout(retry);
  retry = setTimeout(openStream, streamEvery);
  if (polls) return;
  const own = { timer: 0, why: '' };
  polls = own;
  const ask = async () => {
    try {
      own.why ||= await refusal();
      const answer = await fetch(`?${new URLSearchParams([['format', 'json'], ...part])}`);
      if (!answer.ok) throw new Error(answer.statusText);
      const state = parse(await answer.text());
      if (polls !== own) return; // a stream has come, or the page has been paused or hidden
      alive('polling', `No stream to be had (${own.why}): asking every 2 s.`);
      setClock(Date.parse(state.taken));
      show(state);
    } catch {
      if (polls !== own) return;
      own.why = '';
      lost();
    }
    own.timer = setTimeout(ask, pollEvery);
  };
  void ask();
}

function stopPolls() {
  clearTimeout(polls?.timer);
  polls = null;
}

/** Returns why the server refuses a stream. */
async function refusal() {
  const request = new AbortController();
  const answer = await fetch('events', { headers: { Accept: 'application/json' }, signal: request.signal });
  try {
    if (answer.ok) return 'it was refused a moment ago';
    return answer.status === 503 ? (await answer.json()).error : `status ${answer.status}`;
  } catch {
    return `status ${answer.status}`; // of a proxy, not of the program
  } finally {
    request.abort();
  }
}

/**
 * Parses a state. IDs of scopes in other processes may be too large for a number of
 * JavaScript: those become strings. Quotes in names are escaped, so that no name has a key.
 */
const parse = (text) => JSON.parse(text.replace(/"(id|scope)":(\d{16,})/g, '"$1":"$2"'));

function disconnect() {
  clearTimeout(retry);
  stopPolls();
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
