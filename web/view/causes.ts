// Which span was canceled because of which other.
import { beginsProcess, Flag, none, scopeAbove, Tone, type Cause, type Model, type Span } from './model.ts';

export interface Causes {
  /** The scope that a task ended, by its failure or as its master. */
  ended: Map<Span, Span>;
  /**
   * The scope with whose end the cancellation of a span began: the span itself if it is a
   * scope that no other one canceled, none if the span was not canceled by a scope.
   */
  origin: Int32Array;
  /** The tasks and scopes directly below a scope that its end canceled. */
  canceled: Map<Span, Span[]>;
  /** What was canceled because of the end of a scope, at any depth, and of those above that failed because of it: see Causes in record/story. */
  toll(scope: Span): Span[];
}

export function causesOf(m: Model): Causes {
  const origin = new Int32Array(m.n).fill(none);
  const ended = new Map<Span, Span>();
  for (const [scope, cause] of m.cause) if (cause.by !== none) ended.set(cause.by, scope);
  const canceled = new Map<Span, Span[]>();
  for (let i = 0; i < m.n; i++) {
    const by = canceler(m, i);
    if (by === none) {
      if (m.isScope[i] && m.cause.has(i)) origin[i] = i;
      continue;
    }
    origin[i] = origin[by];
    add(canceled, by, i);
  }
  const tolls = new Map<Span, Span[]>();
  for (const [i, scope] of m.told) add(tolls, scope, i);
  const toll = (scope: Span): Span[] => {
    const all: Span[] = [];
    for (let s: Span | undefined = scope; s !== undefined; s = m.failedWith.get(s)) for (const i of tolls.get(s) ?? []) all.push(i);
    return all;
  };
  return { ended, origin, canceled, toll };
}

function add(lists: Map<Span, Span[]>, key: Span, value: Span) {
  const list = lists.get(key);
  if (list) list.push(value); else lists.set(key, [value]);
}

/** Returns the scope whose end told span i to end; none if i ended by itself or was canceled alone. */
export function canceler(m: Model, i: Span): Span {
  if (m.alone.has(i)) return none;
  const up = scopeAbove(m, i);
  const end = up === none ? undefined : m.cause.get(up);
  if (!end) return none;
  if (m.isScope[i]) return m.endedBy.get(i) === up ? up : none;
  if (end.by === i || m.state[i] === 'lost') return none;
  return m.stop[i] < 0 || m.stop[i] > end.at || (m.state[i] === 'canceled' && m.stop[i] === end.at) ? up : none;
}

/** Says why a span that is Stopped was: how the scope ended with which that began. */
export function whyStopped(m: Model, i: Span): string {
  let by = canceler(m, i);
  for (let up = by; up !== none; up = m.isScope[up] ? canceler(m, up) : none) by = up;
  const cause = by === none ? undefined : m.cause.get(by);
  if (!cause) return 'stopped with its scope';
  if (hasWon(m, cause)) return 'stopped: another had won';
  return { 'master ended': 'stopped: the master of its scope had ended', completed: 'stopped: all else was done', requested: 'stopped: the program ended its scope' }[cause.kind] ?? 'stopped with its scope';
}

/** Whether a scope ended because of the winner of a Race. */
const hasWon = (m: Model, cause: Cause): boolean => cause.kind === 'master ended' && cause.by !== none && !(m.flags[cause.by] & Flag.Master);

/** Whether the error of a task contains that of a scope below it. Otherwise the task has failed for another reason. */
export function passesOn(m: Model, task: Span, scope: Span): boolean {
  const has = (err = '') => err !== '' && m.err[task].includes(err.slice(0, 200)); // long errors are cut in the log
  return has(m.err[scope]) || has(m.cause.get(scope)?.err);
}

export interface Step { text: string; span?: Span; quote?: string }

/** Returns why a span ended: the chain of causes, from the span back to the first one. */
export function chainOf(m: Model, causes: Causes, i: Span): Step[][] {
  const chain: Step[][] = [];
  for (let at = i; ;) {
    const by = canceler(m, at);
    if (by !== none) {
      const verb = m.stop[at] < 0 ? 'has been told to end' : m.tone[at] === Tone.Stopped ? 'was stopped' : m.tone[at] === Tone.Canceled ? 'was canceled' : 'was told to end';
      const then = m.tone[at] === Tone.Failed ? [{ text: `; then it ${taskEnd(m, at)}`, quote: m.err[at] }] : [];
      chain.push([{ text: named(m, at), span: at }, { text: ` ${verb} because its scope ended: ` }, { text: named(m, by), span: by }, ...then]);
      at = by;
      continue;
    }
    const task = m.endedBy.get(at);
    if (task !== undefined) {
      const verb = beginsProcess(m, at) ? 'stands for its process' : 'opened it';
      chain.push([{ text: named(m, at), span: at }, { text: ` was canceled with the task that ${verb}: ` }, { text: named(m, task), span: task }]);
      at = task;
      continue;
    }
    const below = m.isScope[at] ? m.failedFrom.get(at) : failedBelow(m, at);
    if (below === undefined) {
      chain.push(...endOf(m, at));
      break;
    }
    chain.push(passedUp(m, at, below));
    at = below;
  }
  return causes.origin[i] === none && chain.length === 1 && m.tone[i] === Tone.Ok ? [] : chain;
}

/** Says that the failure of a span is that of a scope below. */
function passedUp(m: Model, i: Span, below: Span): Step[] {
  const steps: Step[] = [{ text: named(m, i), span: i }];
  const cause = m.cause.get(i), by = cause?.by ?? none;
  if (m.isScope[i]) steps.push(...(by === none ? [{ text: ' ended because its body' }] : [{ text: ' ended because ' }, { text: named(m, by), span: by }]));
  const hasPanicked = m.isScope[i] && by === none ? cause?.kind === 'panicked' : m.state[m.isScope[i] ? by : i] === 'panicked';
  return [...steps, { text: ` ${hasPanicked ? 'panicked with' : 'returned'} the failure of ` }, { text: named(m, below), span: below }];
}

/** Returns the scope that a task opened and whose failure it returned. */
export function failedBelow(m: Model, task: Span): Span | undefined {
  if (m.tone[task] !== Tone.Failed || m.err[task] === '') return undefined;
  let last: Span | undefined;
  for (let c = m.first[task]; c !== none; c = m.next[c]) if (passesOn(m, task, c)) last = c;
  return last;
}

function endOf(m: Model, i: Span): Step[][] {
  const cause = m.cause.get(i);
  if (!m.isScope[i]) {
    if (m.state[i] === 'lost') return [];
    const why = m.alone.get(i);
    const end = why ? ` was canceled alone${why.kind === 'timeout' ? ': its deadline passed' : placed(' at ', why.place)}` : ` ${taskEnd(m, i)}`;
    return [[{ text: named(m, i), span: i }, { text: end, quote: m.err[i] || why?.err }]];
  }
  if (!cause) {
    if (m.stop[i] < 0) return [[{ text: named(m, i), span: i }, { text: ` ${leftOpen(m, i)}` }]];
    return m.err[i] ? [[{ text: named(m, i), span: i }, { text: ' has an error as its outcome', quote: m.err[i] }]] : [];
  }
  const text: Record<string, string> = {
    'task failed': ' ended because a task failed', 'panicked': ` ended because of a panic${placed(' of its body, ', cause.place)}`, 'body failed': ` ended because its body${placed(' (', cause.place, ')')} failed`,
    'timeout': ' ended because its deadline passed', 'requested': ` was canceled by the program${placed(' at ', cause.place)}`, 'master ended': hasWon(m, cause) ? ' ended because a task had won' : ' ended with its master',
    'completed': ' ended because all was done', 'parent canceled': m.parent[i] === none ? ' was canceled from outside the log' : beginsProcess(m, i) ? ' was canceled from outside its process' : ' was canceled by a context between it and its parent',
  };
  const chain: Step[][] = [[{ text: named(m, i), span: i }, { text: text[cause.kind] ?? ` ended: ${cause.kind}`, quote: cause.by === none ? cause.err : '' }]];
  if (cause.by !== none) chain.push([{ text: named(m, cause.by), span: cause.by }, { text: ` ${taskEnd(m, cause.by)}`, quote: m.err[cause.by] || cause.err }]);
  return chain;
}

const placed = (before: string, place: string, after = '') => (place ? `${before}${place}${after}` : '');

const ends: Record<string, string> = {
  failed: 'failed', panicked: 'panicked', exited: 'called runtime.Goexit', canceled: 'was canceled alone', ok: 'returned nil', lost: 'ended in a gap of the log',
};

const taskEnd = (m: Model, i: Span) => ends[m.state[i]] ?? leftOpen(m, i);

const leftOpen = (m: Model, i: Span) => (m.processes[m.process[i]]?.died ? 'had not ended when its process crashed or was killed' : 'had not ended when the log did');

export const named = (m: Model, i: Span): string => `${m.isScope[i] ? 'scope' : 'task'} ${m.names[i]}`;
