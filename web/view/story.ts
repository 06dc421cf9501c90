// The story: what happened, in words. What failed first, what was canceled because of it,
// and what is missing from the log.
import { isCulprit, passesOn, type Causes } from './causes.ts';
import { isQuiet, none, oneLine, short, toneNames, Tone, type Model, type Span } from './model.ts';
import { count, duration } from './words.ts';

export interface Word { text: string; span?: Span; find?: (typeof toneNames)[number] }
export interface Line { tone: (typeof toneNames)[number]; words: Word[] }

export const textOf = (line: Line): string => line.words.map((w) => w.text).join('');

export function storyOf(m: Model, causes: Causes): Line[] {
  if (m.n === 0) return [say('lost', 'Nothing happened: the log has a first line, and no scope was opened.'), ...gaps(m)];
  const culprits = culpritsOf(m);
  const failedTasks: Span[] = [];
  for (let i = 0; i < m.n; i++) {
    if (!m.isScope[i] && m.tone[i] === Tone.Failed && !causes.ended.has(i) && !passedOn(m, i)) failedTasks.push(i);
  }
  const lines = culprits.length > 0 ? failures(m, causes, culprits) : m.closed ? calm(m) : [];
  if (failedTasks.length > 0) {
    const first = failedTasks.reduce((a, b) => (m.end[b] < m.end[a] ? b : a));
    lines.push(say('failed', { text: count(failedTasks.length, 'task'), find: 'failed' }, ' failed without ending a scope',
      failedTasks.length > 1 ? ', first ' : ': ', link(m, first), ` with${quote(m.err[first])}.`));
  }
  const left = open(m);
  return m.closed || culprits.length > 0 ? [...lines, ...left, ...gaps(m)] : [...left, ...lines, ...gaps(m)];
}

/** Returns the scopes that failed by themselves, in the order in which they failed. */
function culpritsOf(m: Model): Span[] {
  const culprits: Span[] = [];
  for (let i = 0; i < m.n; i++) if (isCulprit(m, i)) culprits.push(i);
  return culprits.sort((a, b) => failedAt(m, a) - failedAt(m, b) || m.level[b] - m.level[a]);
}

/** Returns when a scope failed. If its cause is no failure, its outcome is, and it failed at its end. */
function failedAt(m: Model, scope: Span): number {
  const cause = m.cause.get(scope);
  return cause && !isQuiet(cause) ? cause.at : m.end[scope];
}

/** Whether the error of a task is that of a scope below it, which is in the story already. */
function passedOn(m: Model, task: Span): boolean {
  for (let c = m.first[task]; c !== none; c = m.next[c]) if (isCulprit(m, c) && passesOn(m, task, c)) return true;
  return false;
}

/** Returns the first failure, the one with the most consequences if it is another, and the number of the rest. */
function failures(m: Model, causes: Causes, culprits: Span[]): Line[] {
  const path = failurePath(m, culprits[0]);
  const lines = [failure(m, causes, path)];
  let others = culprits.filter((i) => !path.includes(i));
  const worst = worstOf(m, causes, others, total(canceledBy(causes, path)));
  if (worst) {
    lines.push(failure(m, causes, worst));
    others = others.filter((i) => !worst.includes(i));
  }
  if (others.length > 0) {
    lines.push(say('failed', { text: count(others.length, 'more scope'), find: 'failed' }, ' failed, ', others.length > 1 ? 'next ' : '', link(m, others[0]), ': ', ...reason(m, others[0]), '.'));
  }
  return lines;
}

/** Returns the path of the failure that reached a root, or else of the one that canceled most, if more than most spans. */
function worstOf(m: Model, causes: Causes, culprits: Span[], most: number): Span[] | undefined {
  const root = culprits.find((i) => m.parent[i] === none);
  let worst: Span[] | undefined;
  const seen = new Set<Span>(); // scopes in the paths so far
  for (const i of culprits) {
    if (seen.has(i)) continue;
    const path = failurePath(m, i);
    if (root !== undefined && path.includes(root)) return path;
    for (const scope of path) seen.add(scope);
    const took = total(canceledBy(causes, path));
    if (took > most) [worst, most] = [path, took];
  }
  return worst;
}

function canceledBy(causes: Causes, path: Span[]): { tasks: number; scopes: number } {
  const counts = { tasks: 0, scopes: 0 };
  for (const scope of path) {
    counts.tasks += causes.counts.get(scope)?.tasks ?? 0;
    counts.scopes += causes.counts.get(scope)?.scopes ?? 0;
  }
  return counts;
}

const total = ({ tasks, scopes }: { tasks: number; scopes: number }) => tasks + scopes;

function failure(m: Model, causes: Causes, path: Span[]): Line {
  const [first] = path;
  const counts = canceledBy(causes, path);
  const words: (string | Word)[] = [link(m, first), ` failed after ${duration(failedAt(m, first) - m.begin[first])}: `, ...reason(m, first)];
  if (path.length > 1) words.push('. That ended ', link(m, path[path.length - 1]), ' as well');
  if (total(counts) > 0) {
    words.push(path.length > 1 ? ', and ' : '; ', { text: both(counts), find: 'canceled' }, total(counts) === 1 ? ' was' : ' were', ' canceled because of it');
  }
  return say('failed', ...words, '.');
}

/** Returns a scope and the scopes above it that failed because of it, with its error. */
export function failurePath(m: Model, scope: Span): Span[] {
  const path = [scope];
  for (let at = scope; ;) {
    const task = m.parent[at];
    if (task === none || m.isScope[task]) return path;
    const up = m.parent[task];
    if (up === none || m.cause.get(up)?.by !== task || m.tone[up] !== Tone.Failed || !passesOn(m, task, at)) return path;
    path.push(up);
    at = up;
  }
}

function reason(m: Model, scope: Span): (string | Word)[] {
  const cause = m.cause.get(scope);
  if (!cause || isQuiet(cause)) return [`its outcome was${quote(m.err[scope])}`];
  const { kind, by, err } = cause;
  if (by !== none) {
    const verb = m.state[by] === 'panicked' ? 'panicked with' : m.state[by] === 'exited' ? 'called runtime.Goexit' : 'returned';
    return ['task ', link(m, by), ` ${verb}${m.state[by] === 'exited' ? '' : quote(m.err[by] || err)}`];
  }
  switch (kind) {
    case 'body failed': return [`its body returned${quote(err)}`];
    case 'panicked': return [`its body panicked${err && ` with${quote(err)}`}`];
    case 'timeout': return ['its deadline passed'];
    case 'requested': return [`it was canceled with${quote(err)}`];
    case 'task failed': return [`a task returned${quote(err)}`];
    default: return [`${kind}${quote(err || m.err[scope])}`];
  }
}

function calm(m: Model): Line[] {
  let tasks = 0, roots = 0, ended = 0, canceled = 0;
  for (let i = 0; i < m.n; i++) {
    if (!m.isScope[i]) tasks++;
    if (m.parent[i] === none) {
      roots++;
      if (m.stop[i] >= 0) ended++;
      if (m.tone[i] === Tone.Canceled) canceled++;
    }
  }
  const scopes = m.n - tasks;
  const crowd = `${count(tasks, 'task')} in ${count(scopes, 'scope')}`;
  if (canceled > 0) return [say('canceled', { text: count(canceled, 'root scope'), find: 'canceled' }, ` ended because of something outside the log; ${crowd}.`)];
  if (m.processes.length > 1 && ended === roots) return [say('ok', `No scope failed: ${crowd} of ${count(m.processes.length, 'process', 'processes')}, in ${duration(m.logEnd)}.`)];
  if (ended < roots) return [say('running', `No scope failed: ${crowd}.`)];
  if (roots > 1) return [say('ok', `${count(roots, 'root scope')}${endedWell(m)}: ${crowd}, in ${duration(m.logEnd)}.`)];
  const cause = m.cause.get(0);
  const how = cause && isQuiet(cause) && cause.kind === 'requested' ? ' was ended by the program after ' : `${endedWell(m)} after `;
  return [say('ok', link(m, 0), `${how}${duration(m.end[0] - m.begin[0])}: ${crowd}.`)];
}

// A file of trio-vis does not say how scopes ended.
const endedWell = (m: Model) => (m.trioVis ? ' ended' : ' ended well');

/** Returns what had not ended, or had to be given up. */
function open(m: Model): Line[] {
  const left = { tasks: 0, scopes: 0 };
  const inside = m.processes.map(() => ({ tasks: 0, scopes: 0, root: none }));
  let stuck = 0, firstStuck: Span = none;
  for (let i = 0; i < m.n; i++) {
    if (m.tone[i] === Tone.Stuck) { stuck++; if (firstStuck === none) firstStuck = i; }
    const process = inside[m.process[i]];
    if (process?.root === none) process.root = i;
    if (m.stop[i] >= 0) continue;
    for (const counts of process ? [left, process] : [left]) if (m.isScope[i]) counts.scopes++; else counts.tasks++;
  }
  const lines: Line[] = [];
  const some = left.tasks + left.scopes > 0;
  const unfinished: (string | Word)[] = some ? [{ text: both(left), find: 'unfinished' }, ' had not ended.'] : ['Everything had ended.'];
  if (m.processes.length > 1) {
    lines.push(...openProcesses(m, inside));
  } else if (!m.closed) {
    lines.push(say('unfinished', `The log stops after ${duration(m.logEnd)} without its last line: ${m.segment > 0 ? 'it goes on in the next file, or ' : ''}the program crashed, was killed, or still runs. `, ...unfinished));
  } else if (some) {
    lines.push(say('unfinished', 'When the recorder was closed, ', ...unfinished));
  }
  if (stuck > 0) lines.push(say('stuck', { text: count(stuck, 'task'), find: 'stuck' }, ' did not end when told to and ', stuck === 1 ? 'was' : 'were', ' given up: ', link(m, firstStuck), stuck > 1 ? ' and others.' : '.'));
  return lines;
}

interface Inside { tasks: number; scopes: number; root: Span }

/** Returns which of several processes have logs that stop short, and what had not ended in them. */
function openProcesses(m: Model, inside: Inside[]): Line[] {
  const stopped = m.processes.flatMap((p, k) => (p.closed ? [] : [k]));
  const lines = stopped.slice(0, 3).map((k) => {
    const p = m.processes[k], { root, ...left } = inside[k];
    const some = left.tasks + left.scopes > 0;
    const why = p.died ? 'it crashed or was killed' : `${p.segment > 0 ? 'it goes on in the next file, or ' : ''}the process crashed, was killed, or still runs`;
    return say('unfinished', 'The log of process ', root === none ? `${p.pid}` : { text: `${p.pid}, ${short(m.names[root], 60)}`, span: root },
      `, stops after ${duration(p.end)} without its last line: ${why}. `, ...(some ? [{ text: both(left), find: 'unfinished' as const }, ' in it had not ended.'] : ['Everything in it had ended.']));
  });
  if (stopped.length > 3) lines.push(say('unfinished', `So do the logs of ${count(stopped.length - 3, 'process', 'processes')} more.`));
  const outlived = { tasks: 0, scopes: 0 };
  m.processes.forEach((p, k) => {
    if (!p.closed) return;
    outlived.tasks += inside[k].tasks;
    outlived.scopes += inside[k].scopes;
  });
  if (outlived.tasks + outlived.scopes > 0) lines.push(say('unfinished', 'When the recorders of their processes were closed, ', { text: both(outlived), find: 'unfinished' }, ' had not ended.'));
  return lines;
}

/** Returns what is missing from the log. */
function gaps(m: Model): Line[] {
  const lines: Line[] = [];
  if (m.trioVis) lines.push(say('lost', `This is a file of trio-vis: it does not say how tasks ended${m.ordinal ? ', and its times are steps, not seconds' : ''}.`));
  const lost = m.losses.reduce((sum, l) => sum + l.lines, 0);
  if (m.losses.length > 0) {
    const where = m.losses.length === 1 ? `after ${duration(m.losses[0].at)}` : `in ${m.losses.length} places, first after ${duration(m.losses[0].at)}`;
    const whose = m.processes.length > 1 && m.processes[m.losses[0].process] ? ` in process ${m.processes[m.losses[0].process].pid}` : '';
    lines.push(say('lost', `${lost > 0 ? count(lost, 'line') : 'Lines'} of the log ${lost === 1 ? 'is' : 'are'} lost ${where}${whose}${m.losses[0].why ? `: ${oneLine(m.losses[0].why)}` : ''}. What was going on then is drawn as far as it is known.`));
  }
  const torn = m.processes.filter((p) => p.truncated).length;
  if (m.truncated) lines.push(say('lost', m.processes.length > 1 ? `${count(torn, 'log is', 'logs are')} cut in the middle of a line.` : 'The log is cut in the middle of a line.'));
  if (m.skipped.length > 0) lines.push(say('lost', `${count(m.skipped.length, 'file is', 'files are')} left out: ${short(m.skipped[0], 200)}${m.skipped.length > 1 ? '; and others.' : '.'}`));
  if (m.damaged > 0) lines.push(say('lost', `${count(m.damaged, 'line')} of the log ${m.damaged === 1 ? 'makes' : 'make'} no sense and ${m.damaged === 1 ? 'was' : 'were'} left out.`));
  return lines;
}

function both({ tasks, scopes }: { tasks: number; scopes: number }): string {
  return [tasks > 0 && count(tasks, 'task'), scopes > 0 && count(scopes, 'scope')].filter(Boolean).join(' and ');
}

const quote = (err: string) => (err ? ` “${short(oneLine(err), 160)}”` : ' an error');
const link = (m: Model, span: Span): Word => ({ text: short(m.names[span], 60), span });

function say(tone: Line['tone'] | 'running', ...words: (string | Word)[]): Line {
  return { tone: tone === 'running' ? 'unfinished' : tone, words: words.map((w) => (typeof w === 'string' ? { text: w } : w)) };
}
