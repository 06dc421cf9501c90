// Texts that are cut: errors from the inside, paths in the middle.
import { failedBelow } from './causes.ts';
import { none, oneLine, scopeAbove, short, Tone, type Model, type Span } from './model.ts';

const within = /(?:^|: )(?:(?:scope|task) "(?:[^"\\]|\\.)*": )+/g;

// What is left where a log has cut an error within the name of a scope or task.
const isCut = /^(?:s|sc|sco|scop|scope|t|ta|tas|task)?(?: "[^"]*)?[ .…]*$/;

/** Returns what an error says at its innermost: the same as Innermost in record/story. */
export function innermost(text: string): string {
  let err = text.split('; also: ', 1)[0];
  const last = [...err.matchAll(within)].at(-1);
  const rest = last && err.slice(last.index + last[0].length);
  if (rest !== undefined && !isCut.test(rest)) err = rest;
  const [head, ...value] = err.split(' panicked: ');
  if (value.length > 0 && head.startsWith('task ')) err = value.join(' panicked: ');
  return err.split('\n', 1)[0];
}

/** Returns the span below i, or i itself, with which its failure began. */
export function rootOf(m: Model, i: Span): Span {
  for (let steps = 0; steps < m.n; steps++) {
    const below = failedBefore(m, i);
    if (below === none) return i;
    i = below;
  }
  return i;
}

/** Whether a span has failed by itself, and not with what is below it: so that one failure counts once. */
export const failedItself = (m: Model, i: Span): boolean => m.tone[i] === Tone.Failed && failedBefore(m, i) === none;

/** Returns the span directly below i whose failure has become that of i. */
function failedBefore(m: Model, i: Span): Span {
  const by = m.cause.get(i)?.by ?? none;
  const below = (by !== none ? by : m.isScope[i] ? m.failedFrom.get(i) : failedBelow(m, i)) ?? none;
  return below === i || m.err[below] === '' ? none : below;
}

export interface Failure { message: string; from: Span } // from: the span below with which it began; none if that is the span itself

/** Returns the error of a span as it is said in one line: what happened innermost, and where. */
export function failureOf(m: Model, i: Span): Failure {
  const from = m.err[i] === '' ? i : rootOf(m, i);
  return { message: oneLine(innermost(m.err[from])), from: from === i ? none : from };
}

/** Returns a path of names in at most about room characters: the middle is left out, the ends stay. */
export function elidePath(names: string[], room: number): string {
  const whole = names.join('/');
  if (whole.length <= room) return whole;
  const last = names[names.length - 1];
  if (names.length < 3) return names.length === 1 || last.length + 2 > room ? elide(last, room) : `${elide(names[0], room - last.length - 1)}/${last}`;
  let [head, tail] = [1, 1]; // names kept at both ends
  const path = () => [...names.slice(0, head), '…', ...names.slice(names.length - tail)].join('/');
  if (path().length > room) return `…/${elide(last, Math.max(room - 2, 8))}`;
  for (let k = 0; head + tail < names.length - 1; k++) {
    const before = [head, tail];
    if (k % 2 === 0) tail++; else head++;
    if (path().length <= room) continue;
    [head, tail] = before;
    break;
  }
  return path();
}

/** Returns s with its middle left out where it is longer than n. */
export function elide(s: string, n: number): string {
  if (s.length <= n) return s;
  const head = Math.ceil((n - 1) * 0.6);
  return `${short(s, head + 1).slice(0, -1)}…${s.slice(s.length - (n - 1 - head)).replace(/^[\udc00-\udfff]/, '')}`;
}

/** Returns the names of the scopes above a span, the outermost first, and its own. */
export function pathNames(m: Model, i: Span): string[] {
  const names: string[] = [];
  for (let up = i; up !== none; up = scopeAbove(m, up)) names.push(m.names[up]);
  return names.reverse();
}

/** Returns a text like "task task 60" without saying its kind twice. */
export const sayOnce = (text: string): string => text.replace(/^(task|scope) (?=\1\b)/, '');
