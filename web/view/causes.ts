// Who was canceled because of whom.
import { endedWithParent, none, scopeAbove, Tone, type Model, type Span } from './model.ts';

export interface Causes {
  /** The scope that a task ended, by its failure or as its master. */
  ended: Map<Span, Span>;
  /** The scope whose end canceled a span: itself where it began, none where nothing did. */
  origin: Int32Array;
  /** What the end of a scope canceled directly: its tasks, and the scopes below. */
  victims: Map<Span, Span[]>;
  /** How many tasks and scopes were canceled because of the end of a scope, at any depth. */
  toll: Map<Span, { tasks: number; scopes: number }>;
}

export function causesOf(m: Model): Causes {
  const origin = new Int32Array(m.n).fill(none);
  const ended = new Map<Span, Span>();
  for (const [scope, cause] of m.cause) if (cause.by !== none) ended.set(cause.by, scope);
  const victims = new Map<Span, Span[]>();
  const toll = new Map<Span, { tasks: number; scopes: number }>();
  for (let i = 0; i < m.n; i++) {
    const by = canceler(m, i);
    if (by === none) {
      if (m.isScope[i] && m.cause.has(i)) origin[i] = i;
      continue;
    }
    origin[i] = origin[by];
    const list = victims.get(by);
    if (list) list.push(i); else victims.set(by, [i]);
    if (m.tone[i] !== Tone.Canceled) continue;
    const sum = toll.get(origin[i]) ?? { tasks: 0, scopes: 0 };
    if (m.isScope[i]) sum.scopes++; else sum.tasks++;
    toll.set(origin[i], sum);
  }
  return { ended, origin, victims, toll };
}

/** The scope whose end ended span i; none if it ended by itself or was canceled alone. */
function canceler(m: Model, i: Span): Span {
  const up = scopeAbove(m, i);
  const end = up === none ? undefined : m.cause.get(up);
  if (!end) return none;
  if (m.isScope[i]) return endedWithParent(m, i) ? up : none;
  const canceled = m.state[i] === 'canceled' && m.end[i] >= end.at;
  const waiting = m.stop[i] < 0 && end.by !== i;
  return canceled || waiting ? up : none;
}

/** A scope that ended on its own account, and badly: the log need not tell why. */
export function isCulprit(m: Model, i: Span): boolean {
  return m.isScope[i] === 1 && m.tone[i] === Tone.Failed;
}

/** Whether the error of a task is that of a scope below it: it may have survived that one, and failed with another. */
export function passesOn(m: Model, task: Span, scope: Span): boolean {
  const has = (err = '') => err !== '' && m.err[task].includes(err.slice(0, 200)); // long ones are cut
  const why = m.cause.get(scope)?.err;
  return (!m.err[scope] && !why) || has(m.err[scope]) || has(why);
}

export interface Step { text: string; span?: Span; quote?: string }

/** Why a span ended, from itself back to what began it. */
export function chainOf(m: Model, causes: Causes, i: Span): Step[][] {
  const chain: Step[][] = [];
  for (let at = i; ;) {
    const by = canceler(m, at);
    if (by !== none) {
      const verb = m.stop[at] < 0 ? 'has been told to end' : 'was canceled';
      chain.push([{ text: named(m, at), span: at }, { text: ` ${verb} because its scope ended: ` }, { text: named(m, by), span: by }]);
      at = by;
      continue;
    }
    const task = m.parent[at];
    if (m.cause.get(at)?.kind === 'parent canceled' && task !== none && m.state[task] === 'canceled') {
      chain.push([{ text: named(m, at), span: at }, { text: ' was canceled with the task that opened it: ' }, { text: named(m, task), span: task }]);
      at = task;
      continue;
    }
    chain.push(...endOf(m, at));
    break;
  }
  return causes.origin[i] === none && chain.length === 1 && m.tone[i] === Tone.Ok ? [] : chain;
}

function endOf(m: Model, i: Span): Step[][] {
  const cause = m.cause.get(i);
  if (!m.isScope[i]) return [[{ text: named(m, i), span: i }, { text: ` ${taskEnd(m, i)}`, quote: m.err[i] }]];
  if (!cause) return m.stop[i] < 0 ? [[{ text: named(m, i), span: i }, { text: ' had not ended when the log did' }]] : [];
  const text: Record<string, string> = {
    'task failed': ' ended because a task failed', 'panicked': ' ended because of a panic', 'body failed': ' ended because its body failed',
    'timeout': ' ended because its deadline passed', 'requested': ' was canceled by the program', 'master ended': ' ended with its master',
    'completed': ' ended because all was done', 'parent canceled': m.parent[i] === none ? ' was canceled from outside the log' : ' was canceled by a context between it and its parent',
  };
  const chain: Step[][] = [[{ text: named(m, i), span: i }, { text: text[cause.kind] ?? ` ended: ${cause.kind}`, quote: cause.by === none ? cause.err : '' }]];
  if (cause.by !== none) chain.push([{ text: named(m, cause.by), span: cause.by }, { text: ` ${taskEnd(m, cause.by)}`, quote: m.err[cause.by] || cause.err }]);
  return chain;
}

const ends: Record<string, string> = {
  failed: 'failed', panicked: 'panicked', exited: 'called runtime.Goexit', canceled: 'was canceled alone', ok: 'returned nil', lost: 'ended in a gap of the log',
};

const taskEnd = (m: Model, i: Span) => ends[m.state[i]] ?? 'had not ended when the log did';

export const named = (m: Model, i: Span): string => `${m.isScope[i] ? 'scope' : 'task'} ${m.names[i]}`;
