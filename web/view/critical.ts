// The critical path of a span: the spans for which its end waited. It is found by going back
// in time from the end. Each time belongs to the child that was the last to end before the
// part of the path already found, or to the span itself if there is none. CRISP and Jaeger's
// critical path do the same.
//
// Nothing is on the path while it only waits for its cancellation.
//
// Where a scope was canceled, the path follows the cause. What ended after the cancellation
// was waited for from the cancellation on, since it may have done nothing before but wait for
// it. Before that comes what caused the cancellation: the task that failed, won or was the
// master; for a timeout the scope itself, up to its deadline; for the end of a scope above, the
// cause of that. A body that failed, and a caller of Cancel, count as the scope itself, with
// what it had waited for. A task that is not awaited counts only from the end of its scope on,
// and one that is given up only until then.
//
// At the beginning of a child of a scope, the path goes on with what made it begin. The log does
// not name the task that spawned it. There are two candidates: the sibling that was the last to
// end before, for which the body may have waited, and, of those alive at the moment, the one that
// ended first after it, which may have spawned the child as its last act. An end is close to the
// moment if no more than a fiftieth of the time for which the second one had been alive is
// between. If the end of only one is close, it is that one, and if both are, the closer one. If
// neither is, the body was the spawner, with what it had waited for; but once the body has
// returned, tasks are what spawns, so that it was the one alive. A task that may only have waited
// for its cancellation is no candidate.
//
// Nor does the log always name what asked for a cancellation: that of a task alone, of a scope by
// Cancel, or of a context around a scope. What was canceled so is on the path from then on only. The
// time before is that of the scope around, whose body or another task asked, and the path goes on
// there as at the beginning of a child. If the scope was in a task, the path leaves the task only
// where the end of a sibling is close and the scope had not reached its deadline. The log has no time for the cancellation of a task alone: it is that of the
// first scope in the task that was canceled with it, or else the task's end. Exceptions: a task that
// reached its own deadline was waited for, and a scope with a task that ended close to a call of
// Cancel was canceled by its body, which had waited for that task.
import { canceler } from './causes.ts';
import { Flag, none, type Model, type Span } from './model.ts';

export interface Piece { span: Span; from: number; to: number }

/** A span, with the time of it that is still to be divided. */
interface Frame { span: Span; from: number; at: number; isBeginning: boolean; children: ByEnd; over: number; cause: Cause } // isBeginning: a child began at at, or was canceled

/** How to go on before the moment over: with children, with the task that caused it, with the span alone, with a scope above, or with what is around it. */
type Cause = { kind: 'children' | 'alone' } | { kind: 'task' | 'above' | 'around'; span: Span };
const children: Cause = { kind: 'children' }, alone: Cause = { kind: 'alone' };

/** Returns the pieces of the path in the order of time. Together they are as long as the span. */
export function criticalPath(m: Model, of: Span): Piece[] {
  const pieces: Piece[] = [];
  const stack: Frame[] = [];
  const ends = Float64Array.from(m.end);
  for (const [span, at] of m.stuck) ends[span] = at;
  enter(of, m.begin[of], m.end[of]);
  while (stack.length > 0) {
    const frame = stack[stack.length - 1];
    const child = frame.children.last(frame.at);
    const to = child === undefined ? -Infinity : ends[child];
    if (frame.cause !== children && frame.at > frame.from && (child === undefined || to <= frame.over)) {
      follow(frame);
      continue;
    }
    if (frame.isBeginning && !m.isScope[frame.span] && goUp(frame)) continue;
    const spawner = frame.isBeginning ? spawnerAt(frame, to) : none;
    frame.isBeginning = false;
    if (spawner !== none) {
      const at = frame.at;
      goBack(frame, m.begin[spawner]);
      enter(spawner, frame.at, at);
      continue;
    }
    if (child === undefined || to <= frame.from) {
      piece(frame.span, frame.from, frame.at);
      stack.pop();
      continue;
    }
    frame.children.drop();
    const from = waitedFrom(frame.span, frame.over, child);
    if (from >= to || from >= frame.at) continue; // not waited for, since another child ended later
    piece(frame.span, to, frame.at);
    goBack(frame, from, m.isScope[frame.span] ? from === m.begin[child] || from === askedAt(child) : from === askedAt(child) && !hasTimedOut(child));
    enter(child, frame.at, to);
  }
  return pieces.reverse();

  function goBack(frame: Frame, to: number, isBeginning = true) {
    frame.isBeginning = isBeginning && to > frame.from;
    frame.at = Math.max(frame.from, to);
  }

  /** Leaves a task in which a scope was canceled at frame.at, if another task of the task's scope may have asked for that, and reports whether it did. */
  function goUp({ span, at }: Frame): boolean {
    const up = stack[stack.length - 2];
    if (up?.span !== m.parent[span]) return false;
    const close = (at - m.begin[span]) / 50;
    const before = up.children.last(at), alive = up.children.nearest(at, span);
    const isEnd = before !== undefined && at - ends[before] <= close && waitedFrom(up.span, up.over, before) === m.begin[before];
    if (!isEnd && (alive === undefined || ends[alive] - at > close)) return false;
    stack.pop();
    up.at = at;
    up.isBeginning = true;
    return true;
  }

  /** Returns the sibling that has spawned the child that began at frame.at; none if that was the body. ended is when the last of those before ended. */
  function spawnerAt({ span, at, children }: Frame, ended: number): Span {
    if (!m.isScope[span]) return none;
    const alive = children.nearest(at);
    if (alive === undefined) return none;
    const before = at - ended, after = ends[alive] - at;
    const close = (at - m.begin[alive]) / 50;
    if (after <= close && after < before) return alive;
    const hasReturned = m.start[span] >= 0 && m.start[span] < at;
    return hasReturned && before > close ? alive : none;
  }

  function enter(span: Span, from: number, at: number, isBeginning = false) {
    const ended = m.isScope[span] ? m.cause.get(span) : undefined;
    const cause = ended && ended.at > from && ended.at <= at ? causeOf(span) : children;
    if (m.first[span] === none && cause === children) { piece(span, from, at); return; }
    const over = ended?.at ?? Infinity;
    stack.push({ span, from, at, isBeginning, children: new ByEnd(m, span, ends, (child) => waitedFrom(span, over, child) === m.begin[child]), over, cause });
  }

  /** Returns from when on a child of a span that ended at over was waited for: since its beginning, unless it may have done nothing before but wait for its cancellation. */
  function waitedFrom(span: Span, over: number, child: Span): number {
    const isLate = m.isScope[span] === 1 && (ends[child] > over || canceler(m, child) === span || !(m.isScope[child] || m.flags[child] & Flag.Awaited));
    return Math.max(m.begin[child], isLate ? over : -1, askedAt(child) ?? -1);
  }

  /** Returns when a span was canceled by what the log does not name; undefined if it was not. */
  function askedAt(i: Span): number | undefined {
    if (canceler(m, i) !== none) return undefined;
    const cause = m.cause.get(i);
    if (m.isScope[i]) {
      if (cause === undefined || cause.by !== none) return undefined;
      return cause.kind === 'parent canceled' || (cause.kind === 'requested' && !hasWaited(i, cause.at)) ? cause.at : undefined;
    }
    const alone = m.alone.get(i);
    if (alone?.kind === 'timeout' || (!alone && m.state[i] !== 'canceled')) return undefined;
    let first = ends[i];
    for (let c = m.first[i]; c !== none; c = m.next[c]) {
      if (m.cause.get(c)?.kind === 'parent canceled' && canceler(m, c) === none && !hasTimedOut(c)) first = Math.min(first, m.cause.get(c)!.at);
    }
    return first;
  }

  /** Whether a task of a scope, which was not canceled, ended close to a moment: the body had waited for it. */
  function hasWaited(scope: Span, at: number): boolean {
    const close = (at - m.begin[scope]) / 50;
    for (let c = m.first[scope]; c !== none; c = m.next[c]) {
      if (!m.isScope[c] && m.state[c] !== 'canceled' && Math.abs(ends[c] - at) <= close && canceler(m, c) === none) return true;
    }
    return false;
  }

  function hasTimedOut(scope: Span): boolean { return (m.deadline.get(scope) ?? Infinity) <= m.cause.get(scope)!.at; }

  function causeOf(scope: Span): Cause {
    const { kind, by } = m.cause.get(scope)!;
    if (by !== none) return { kind: 'task', span: by };
    const above = canceler(m, scope);
    if (above !== none) return { kind: 'above', span: above };
    if (m.parent[scope] !== none && askedAt(scope) !== undefined) return { kind: 'around', span: around(scope) };
    return kind === 'timeout' || kind === 'parent canceled' ? alone : children;
  }

  /** Returns the task that a scope is in, or the scope above if that task may only have waited for its cancellation. */
  function around(scope: Span): Span {
    const up = m.parent[scope];
    if (m.isScope[up]) return up;
    const over = m.cause.get(m.parent[up])?.at ?? Infinity;
    return waitedFrom(m.parent[up], over, up) === m.begin[up] ? up : m.parent[up];
  }

  /** Goes on from the cancellation of a scope with what caused it. */
  function follow(frame: Frame) {
    const { cause, span, from } = frame;
    const at = Math.max(from, Math.min(frame.at, frame.over));
    piece(span, at, frame.at);
    frame.at = at;
    frame.isBeginning = false;
    frame.cause = children;
    if (cause.kind === 'task') {
      const to = Math.min(ends[cause.span], at);
      const began = Math.max(from, waitedFrom(span, Infinity, cause.span));
      if (began >= to) { frame.children.clear(); return; }
      piece(span, to, at);
      goBack(frame, began);
      enter(cause.span, began, to);
    } else if (cause.kind === 'above') {
      stack.pop();
      const ended = Math.max(from, Math.min(at, m.cause.get(cause.span)!.at));
      piece(span, ended, at);
      if (ended > from) enter(cause.span, from, ended);
    } else if (cause.kind === 'around') {
      stack.pop();
      const ended = Math.max(from, Math.min(at, ends[cause.span]));
      piece(span, ended, at);
      if (ended > from) enter(cause.span, from, ended, true);
    } else {
      frame.children.clear();
    }
  }

  function piece(span: Span, from: number, to: number) {
    if (to > from) pieces.push({ span, from, to });
  }
}

/** The children of a span by their ends, the last first. They are in buckets, which are sorted when they are reached. */
class ByEnd {
  private readonly buckets: Span[][];
  private isSorted = false; // the last bucket
  private readonly passed: Span[] = []; // those that ended later than the time that was asked for last, the nearest at the end

  constructor(private readonly m: Model, span: Span, private readonly ends: Float64Array, private readonly counts: (child: Span) => boolean) {
    const children: Span[] = [];
    let low = Infinity, high = -Infinity;
    for (let c = m.first[span]; c !== none; c = m.next[c]) {
      children.push(c);
      low = Math.min(low, ends[c]);
      high = Math.max(high, ends[c]);
    }
    const n = Math.ceil(children.length / 32);
    this.buckets = n > 1 ? Array.from({ length: n }, () => []) : [children];
    if (n <= 1) return;
    const width = (high - low) / n || 1;
    for (const c of children) this.buckets[Math.min(Math.floor((ends[c] - low) / width), n - 1)].push(c);
  }

  /** Returns the last of them that had ended at a time. The times that are asked for never rise. */
  last(at: number): Span | undefined {
    for (;;) {
      const n = this.buckets.length;
      if (n === 0) return undefined;
      const bucket = this.buckets[n - 1];
      if (bucket.length === 0) {
        this.buckets.pop();
        this.isSorted = false;
        continue;
      }
      if (!this.isSorted) bucket.sort((a, b) => this.ends[a] - this.ends[b] || this.m.begin[b] - this.m.begin[a]);
      this.isSorted = true;
      const child = bucket[bucket.length - 1];
      if (this.ends[child] <= at) return child;
      if (this.counts(child)) this.passed.push(child);
      bucket.pop();
    }
  }

  /** Returns the one that was alive at the time that last was asked for and ended first after it, among those that count, without one that is not looked at again. */
  nearest(at: number, except = none): Span | undefined {
    const { passed, m } = this;
    while (passed.length > 0 && (passed[passed.length - 1] === except || m.begin[passed[passed.length - 1]] >= at)) passed.pop(); // nor was it alive before
    return passed[passed.length - 1];
  }

  /** Drops what last has returned. */
  drop() { this.buckets[this.buckets.length - 1]?.pop(); }

  clear() { this.buckets.length = 0; }
}

/** Returns how long each span is on the path, the longest first. */
export function shares(pieces: Piece[]): { span: Span; time: number }[] {
  const times = new Map<Span, number>();
  for (const p of pieces) times.set(p.span, (times.get(p.span) ?? 0) + p.to - p.from);
  return [...times].map(([span, time]) => ({ span, time })).sort((a, b) => b.time - a.time);
}
