// The critical path of a span: the spans for which its end waited. It is found by going back
// in time from the end. Each time belongs to the child that was the last to end before the
// part of the path already found, or to the span itself if there is none. CRISP and Jaeger's
// critical path do the same.
//
// Where a scope was canceled, the path follows the cause. What ended after the cancellation
// was waited for from the cancellation on, since it may have done nothing before but wait for
// it. Before that comes what caused the cancellation: the task that failed, won or was the
// master; for a timeout the scope itself, up to its deadline; for the end of a scope above, the
// cause of that. A body that failed, and a caller of Cancel, count as the scope itself, with
// what it had waited for. A task that is not awaited counts only from the end of its scope on,
// and one that is given up only until then.
import { canceler } from './causes.ts';
import { Flag, none, type Model, type Span } from './model.ts';

export interface Piece { span: Span; from: number; to: number }

/** A span, with the time of it that is still to be divided. */
interface Frame { span: Span; from: number; at: number; children: ByEnd; over: number; cause: Cause }

/** How to go on before the moment over: with children, with the task that caused it, with the span alone, or with a scope above. */
type Cause = { kind: 'children' | 'alone' } | { kind: 'task' | 'above'; span: Span };
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
    const to = child === undefined ? none : ends[child];
    if (frame.cause !== children && frame.at > frame.from && (child === undefined || to <= frame.over)) {
      follow(frame);
      continue;
    }
    if (child === undefined || to <= frame.from) {
      piece(frame.span, frame.from, frame.at);
      stack.pop();
      continue;
    }
    frame.children.drop();
    const from = waitedFrom(frame, child);
    if (from >= to || from >= frame.at) continue; // not waited for, since another child ended later
    piece(frame.span, to, frame.at);
    frame.at = Math.max(frame.from, from);
    enter(child, frame.at, to);
  }
  return pieces.reverse();

  function enter(span: Span, from: number, at: number) {
    const ended = m.isScope[span] ? m.cause.get(span) : undefined;
    const cause = ended && ended.at > from ? causeOf(span) : children;
    if (m.first[span] === none && cause === children) piece(span, from, at);
    else stack.push({ span, from, at, children: new ByEnd(m, span, ends), over: ended?.at ?? Infinity, cause });
  }

  /** Returns from when on a child was waited for. */
  function waitedFrom({ span, over }: Frame, child: Span): number {
    const isLate = ends[child] > over || canceler(m, child) === span || !(m.isScope[child] || m.flags[child] & Flag.Awaited);
    return m.isScope[span] && isLate ? Math.max(m.begin[child], over) : m.begin[child];
  }

  function causeOf(scope: Span): Cause {
    const { kind, by } = m.cause.get(scope)!;
    if (by !== none) return { kind: 'task', span: by };
    const above = canceler(m, scope);
    if (above !== none) return { kind: 'above', span: above };
    return kind === 'timeout' || kind === 'parent canceled' ? alone : children;
  }

  /** Goes on from the cancellation of a scope with what caused it. */
  function follow(frame: Frame) {
    const { cause, span, from } = frame;
    const at = Math.max(from, Math.min(frame.at, frame.over));
    piece(span, at, frame.at);
    frame.at = at;
    frame.cause = children;
    if (cause.kind === 'task') {
      const to = Math.min(ends[cause.span], at);
      const began = Math.max(from, m.begin[cause.span]);
      if (began >= to) { frame.children.clear(); return; }
      piece(span, to, at);
      frame.at = began;
      enter(cause.span, began, to);
    } else if (cause.kind === 'above') {
      stack.pop();
      const ended = Math.max(from, Math.min(at, m.cause.get(cause.span)!.at));
      piece(span, ended, at);
      if (ended > from) enter(cause.span, from, ended);
    } else {
      frame.children.clear();
    }
  }

  function piece(span: Span, from: number, to: number) {
    if (to > from) pieces.push({ span, from, to });
  }
}

/**
 * The children of a span by their ends, the last first. Many are in buckets, which are sorted
 * when they are reached: the path passes over most of the children of a span with many.
 */
class ByEnd {
  private readonly buckets: Span[][];
  private isSorted = false; // the last bucket
  private readonly origin: number = 0;
  private readonly width: number = 0;

  constructor(private readonly m: Model, span: Span, private readonly ends: Float64Array) {
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
    this.origin = low;
    this.width = (high - low) / n || 1;
    for (const c of children) this.buckets[Math.min(Math.floor((ends[c] - low) / this.width), n - 1)].push(c);
  }

  /** Returns the last of them that had ended at a time. Those that end later are dropped: the times that are asked for never rise. */
  last(at: number): Span | undefined {
    for (;;) {
      const n = this.buckets.length;
      if (n === 0) return undefined;
      const bucket = this.buckets[n - 1];
      if (bucket.length === 0 || (n > 1 && this.origin + (n - 1) * this.width > at + this.width)) { // with room for rounding
        this.buckets.pop();
        this.isSorted = false;
        continue;
      }
      if (!this.isSorted) bucket.sort((a, b) => this.ends[a] - this.ends[b] || this.m.begin[b] - this.m.begin[a]);
      this.isSorted = true;
      const child = bucket[bucket.length - 1];
      if (this.ends[child] <= at) return child;
      bucket.pop();
    }
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
