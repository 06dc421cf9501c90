// The model: the log as Go has written it (view/model.go), with data that the page derives
// from it. A span is a scope or a task. Its number is its index in all arrays.

export type Span = number;
export const none: Span = -1;

interface Wire {
  program: string; go: string; pid: number; run: string; started: string;
  trioVis: boolean; ordinal: boolean;
  end: number; closed: boolean; segment: number; truncated: boolean; damaged: number;
  losses: Loss[];
  processes: Process[]; skipped: string[];
  strings: string[];
  kind: string;
  id: number[]; parent: number[]; name: number[]; state: number[]; flags: number[];
  begin: number[]; start: number[]; stop: number[]; err: number[];
  causes: WireCause[];
  process: Pair[];
  deadline: Pair[]; ready: Pair[]; stuck: Pair[]; abandoned: Pair[]; stack: Pair[];
  story?: { tone: (typeof toneNames)[number]; words: { text: string; row: Span; find?: (typeof toneNames)[number]; of?: Span[] }[] }[];
  endedBy?: Pair[]; site?: Pair[]; alone?: WireCause[]; waits?: { row: Span; what: number; for: number; at: number; of: number }[];
  canceled?: Pair[]; failedWith?: Pair[]; carries?: Span[];
}
type Pair = [number, number];
interface WireCause { row: number; at: number; kind: number; by: number; err: number; place?: number }

export interface Loss { at: number; lines: number; why: string; process: number }

/** A process whose log is shown. Its id is unique; until is the end of what is unfinished in it. */
export interface Process {
  id: number; pid: number; program: string; go: string; run: string;
  begin: number; end: number; until: number;
  closed: boolean; died: boolean; segment: number; truncated: boolean;
}

/** Why a scope ended, or a task was canceled alone; at is -1 for a task. place is that of the call of Cancel, or of the body. */
export interface Cause { at: number; kind: string; by: Span; err: string; place: string }

/** What an unfinished span was seen to wait for, at a time; for how long it had at least, and how many waited there. */
export interface Wait { what: string; for: number; at: number; of: number }

/**
 * A word may be a link to a span, or to the spans that it counts: of is the scopes because of
 * whose ends they were canceled, or the failures themselves. Without it, it counts all of a tone.
 */
export interface Word { text: string; span?: Span; find?: (typeof toneNames)[number]; of?: Span[] }
export interface Line { tone: (typeof toneNames)[number]; words: Word[] }

/**
 * The state of a span as it is drawn and searched for. Where several spans share a pixel,
 * the highest tone is drawn. A span is Stopped if it was canceled because its scope ended
 * without a failure, and Canceled if it was canceled because of a failure, or alone.
 */
export const Tone = { Ok: 0, Stopped: 1, Lost: 2, Canceled: 3, Unfinished: 4, Stuck: 5, Failed: 6 } as const;
export const toneNames = ['ok', 'stopped', 'lost', 'canceled', 'unfinished', 'stuck', 'failed'] as const;

const taskTones: Record<string, number> = {
  ok: Tone.Ok, failed: Tone.Failed, panicked: Tone.Failed, exited: Tone.Failed, canceled: Tone.Canceled,
  lost: Tone.Lost, stuck: Tone.Stuck, queued: Tone.Unfinished, running: Tone.Unfinished,
};

export const Flag = { Bubble: 1, Master: 2, Awaited: 4 } as const;

export interface Model {
  readonly n: number;
  readonly program: string;
  readonly facts: { go: string; pid: number; run: string; started: string };
  readonly trioVis: boolean; // a file of trio-vis, which does not say how spans ended
  readonly ordinal: boolean; // times are numbers of steps, each counted as a millisecond
  readonly logEnd: number;
  readonly closed: boolean; readonly segment: number; readonly truncated: boolean; readonly damaged: number;
  readonly losses: Loss[];
  readonly processes: Process[]; // each after the one that has started it
  readonly skipped: string[]; // files that are left out, and why

  readonly process: Int32Array; // by span: index of the process that it is in
  readonly isScope: Uint8Array;
  readonly id: number[];
  readonly parent: Int32Array;
  readonly level: Int32Array; // 0 for a root
  readonly after: Int32Array; // the first span after those below it
  readonly first: Int32Array; readonly next: Int32Array; // first child, and next sibling, in the order of their beginnings
  readonly place: Int32Array; readonly siblings: Int32Array; // its place among its siblings, from 1, and their number
  readonly tone: Uint8Array;
  readonly flags: number[];
  readonly begin: Float64Array;
  readonly start: Float64Array; // when the task started or the scope was finalized; -1: it was not
  readonly stop: Float64Array; // -1: unfinished
  readonly end: Float64Array; // stop, or the end of the log if unfinished

  readonly names: string[]; // by span: on one line, with control characters escaped
  readonly state: string[];
  readonly err: string[];
  readonly cause: Map<Span, Cause>;
  readonly deadline: Map<Span, number>; readonly ready: Map<Span, number>; readonly stuck: Map<Span, number>;
  readonly abandoned: Map<Span, number[]>;
  readonly stack: Map<Span, string>;

  readonly story: Line[]; // what happened, in words
  readonly site: Map<Span, string>; // where it was opened or spawned
  readonly alone: Map<Span, Cause>; // of tasks
  readonly endedBy: Map<Span, Span>; // the scope above, or the task, because of whose end or cancellation a scope ended: see Scope.EndedBy in record/history
  readonly waiting: Map<Span, Wait>;
  readonly waits: Map<Span, string>; // what it waits for: "sync.Mutex.Lock at main.go:45"
  readonly told: Map<Span, Span>; // the scope because of whose end a span was canceled: see Causes in record/story
  readonly failedWith: Map<Span, Span>; // the scope above that failed because of a scope
  readonly failedFrom: Map<Span, Span>; // the reverse: the scope below whose failure is that of a scope
}

export function modelOf(wire: Wire): Model {
  const n = wire.kind.length;
  const texts = wire.strings.map(escapeControl);
  const starts = new Map(wire.process);
  const process = new Int32Array(n);
  const lines = texts.map((s) => (/[\n\t]/.test(s) ? s.replace(/[\n\t]+/g, ' ') : s));
  const isScope = new Uint8Array(n);
  const parent = Int32Array.from(wire.parent);
  const level = new Int32Array(n);
  const after = new Int32Array(n);
  const first = new Int32Array(n).fill(none);
  const next = new Int32Array(n).fill(none);
  const place = new Int32Array(n);
  const count = new Int32Array(n + 1); // of children; the last element is for the roots
  const youngest = new Int32Array(n + 1).fill(none);
  for (let i = 0; i < n; i++) {
    isScope[i] = wire.kind[i] === 's' ? 1 : 0;
    const above = parent[i] === none ? n : parent[i];
    if (above !== n) {
      level[i] = level[above] + 1;
      if (first[above] === none) first[above] = i;
    }
    process[i] = starts.get(i) ?? (above === n ? 0 : process[above]);
    if (youngest[above] !== none) next[youngest[above]] = i;
    youngest[above] = i;
    place[i] = ++count[above];
  }
  const siblings = Int32Array.from(parent, (above) => count[above === none ? n : above]);
  for (let i = n - 1; i >= 0; i--) {
    after[i] = Math.max(after[i], i + 1);
    if (parent[i] !== none) after[parent[i]] = Math.max(after[parent[i]], after[i]);
  }

  const causes = (list: WireCause[] = []): Map<Span, Cause> => new Map(list.map((c) => [c.row, { at: c.at, kind: texts[c.kind], by: c.by, err: texts[c.err], place: texts[c.place ?? 0] }]));
  const cause = causes(wire.causes);
  const told = new Map(wire.canceled), carries = new Set(wire.carries);
  const state = wire.state.map((s) => texts[s]);
  const err = wire.err.map((s) => texts[s]);
  const stop = Float64Array.from(wire.stop);
  const endedBy = new Map(wire.endedBy);
  const tone = new Uint8Array(n);
  const calm = new Uint8Array(n); // scopes that have ended without a failure
  for (let i = 0; i < n; i++) {
    const above = scopeAbove({ parent, isScope }, i);
    const end = cause.get(i);
    if (isScope[i]) {
      const follows = endedBy.has(i) || end?.kind === 'parent canceled';
      calm[i] = Number(end !== undefined && (follows ? endedBy.get(i) === above && calm[above] : isQuiet(end)));
      tone[i] = carries.has(i) ? Tone.Canceled : scopeTone(state[i], err[i], stop[i], end, follows);
    } else {
      tone[i] = taskTones[state[i]] ?? Tone.Lost;
    }
    const stopped = isScope[i] ? calm[i] : above !== none && calm[above] && stop[i] >= cause.get(above)!.at;
    if (tone[i] === Tone.Canceled && stopped && !carries.has(i)) tone[i] = Tone.Stopped;
  }
  for (const [i, by] of told) if (state[i] === 'ok' && !calm[by]) tone[i] = Tone.Canceled; // it was cut short, and returned nil
  const waiting = new Map((wire.waits ?? []).map((w) => [w.row, { ...w, what: texts[w.what] }]));
  const abandoned = new Map<Span, number[]>();
  for (const [i, at] of wire.abandoned) {
    const times = abandoned.get(i);
    if (times) times.push(at); else abandoned.set(i, [at]);
  }

  return {
    n, program: oneLine(escapeControl(wire.program)),
    facts: { go: escapeControl(wire.go), pid: wire.pid, run: escapeControl(wire.run), started: wire.started },
    trioVis: wire.trioVis, ordinal: wire.ordinal, logEnd: wire.end, closed: wire.closed, segment: wire.segment, truncated: wire.truncated, damaged: wire.damaged,
    losses: wire.losses.map((l) => ({ ...l, why: escapeControl(l.why) })),
    processes: wire.processes.map((p) => ({ ...p, program: oneLine(escapeControl(p.program)), go: escapeControl(p.go), run: escapeControl(p.run) })),
    skipped: wire.skipped.map((s) => oneLine(escapeControl(s))), process,
    isScope, id: wire.id, parent, level, after, first, next, place, siblings, tone, flags: wire.flags,
    begin: Float64Array.from(wire.begin), start: Float64Array.from(wire.start), stop,
    end: stop.map((t, i) => (t < 0 ? Math.max(wire.processes[process[i]]?.until ?? wire.end, wire.begin[i]) : t)),
    names: wire.name.map((s) => lines[s].trim() || '(no name)'),
    state, err, cause,
    deadline: new Map(wire.deadline), ready: new Map(wire.ready), stuck: new Map(wire.stuck), abandoned,
    stack: new Map(wire.stack.map(([i, s]) => [i, texts[s]])),
    story: (wire.story ?? []).map(({ tone, words }) => ({ tone, words: words.map(({ text, row, find, of }) => ({ text: escapeControl(text), find, of, ...(row === none ? {} : { span: row }) })) })),
    site: new Map((wire.site ?? []).map(([i, s]) => [i, texts[s]])), alone: causes(wire.alone),
    endedBy, waiting, waits: new Map([...waiting].map(([i, w]) => [i, w.what])), told, failedWith: new Map(wire.failedWith), failedFrom: new Map(wire.failedWith?.map(([below, above]) => [above, below])),
  };
}

function scopeTone(state: string, err: string, stop: number, cause: Cause | undefined, follows: boolean): number {
  if (state === 'lost') return Tone.Lost;
  if (follows) return stop < 0 ? Tone.Unfinished : Tone.Canceled;
  if (err !== '' || (stop < 0 && cause && !isQuiet(cause))) return Tone.Failed;
  return stop < 0 ? Tone.Unfinished : Tone.Ok;
}

/** Whether a cause is no failure, as history.Cause.Quiet. */
export function isQuiet(cause: Cause): boolean {
  return cause.err === '' && ['completed', 'requested', 'master ended'].includes(cause.kind);
}

export const unfinished = (m: Model, i: Span): boolean => m.stop[i] < 0;

/** Returns the scope of a task, or the scope above a scope. */
export function scopeAbove(m: Pick<Model, 'parent' | 'isScope'>, i: Span): Span {
  let up = m.parent[i];
  while (up !== none && !m.isScope[up]) up = m.parent[up];
  return up;
}

/** Whether a scope is in no other scope of its process. */
export function beginsProcess(m: Pick<Model, 'parent' | 'isScope' | 'process'>, i: Span): boolean {
  return m.isScope[i] === 1 && (m.parent[i] === none || m.process[m.parent[i]] !== m.process[i]);
}

/** Returns what the name of a scope is followed by if it begins a process, and there are several. */
export function processNote(m: Model, i: Span): string {
  if (m.processes.length < 2 || !beginsProcess(m, i)) return '';
  const { pid, died } = m.processes[m.process[i]];
  return ` · pid ${pid}${died ? ', crashed or killed' : ''}`;
}

/**
 * Returns the IDs of a span, which are the same in each recording of a run: scope, or
 * scope.task. The ID of a process other than the first comes before them: process-scope.
 */
export function keyOf(m: Model, i: Span): string {
  const process = m.process[i] > 0 ? `${m.processes[m.process[i]].id}-` : '';
  return process + (m.isScope[i] ? `${m.id[i]}` : `${m.id[scopeAbove(m, i)]}.${m.id[i]}`);
}

export function spanOf(m: Model, key: string): Span {
  const [ids, of] = key.split('-').reverse();
  const process = of === undefined ? 0 : m.processes.findIndex((p) => p.id === Number(of));
  const [scope, task] = ids.split('.').map(Number);
  const owner = m.id.findIndex((id, i) => id === scope && m.isScope[i] === 1 && m.process[i] === process);
  if (owner === none || task === undefined) return owner;
  for (let i = m.first[owner]; i !== none; i = m.next[i]) if (m.id[i] === task && !m.isScope[i]) return i;
  return none;
}

// Characters that are invisible where a name is drawn, or change the direction of the text
// around them. Symbols and code points are shown in their place.
const control = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
const invisible = /[\u0080-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

const unusual = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u206f\ufeff\ufff9-\ufffb]/;

export function escapeControl(s: string): string {
  if (!unusual.test(s)) return s;
  return s
    .replace(/\r\n?/g, '\n')
    .replace(control, (c) => (c === '\u007f' ? '\u2421' : String.fromCharCode(0x2400 + c.charCodeAt(0))))
    .replace(invisible, (c) => `\u27e8U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}\u27e9`);
}

export const oneLine = (s: string): string => s.replace(/\s+/g, ' ').trim();

/** Returns s cut to n UTF-16 units, without cutting a surrogate pair in two. */
export function short(s: string, n: number): string {
  if (s.length <= n) return s;
  const cut = /[\ud800-\udbff]/.test(s[n - 2]) ? n - 2 : n - 1;
  return `${s.slice(0, cut)}…`;
}
