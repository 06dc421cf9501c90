// Ages. The page computes them from the server's clock, so that the server need not send a
// state whenever they change.

let clock = null; // the server's time when performance.now() was 0
let frozen = null; // the time at which the page was paused, while it is

export const now = () => frozen ?? (clock === null ? Date.now() : clock + performance.now());

export function setClock(serverTime) {
  clock = serverTime - performance.now();
}

export function freeze(on) {
  frozen = on ? now() : null;
}

export const isFrozen = () => frozen !== null;

export function brief(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return '<1s';
  if (s < 60) return `${Math.floor(s)}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${Math.floor(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d${Math.floor((s % 86400) / 3600)}h`;
}

export const since = (date) => brief(now() - Date.parse(date));

/** The age of a node; of a folded one the ages of the youngest and the oldest. */
export function ages(node) {
  const old = since(node.since);
  if (!node.newest) return old;
  const young = since(node.newest);
  return young === old ? old : `${young} – ${old}`;
}
