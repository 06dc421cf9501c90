// The critical path of a span: the spans for which its end waited. It is found by going back
// in time from the end. Each time belongs to the child that was the last to end before the
// part of the path already found, or to the span itself if there is none. A task that is
// not awaited counts only from the end of its scope on, since only then is it waited for.
// A task that is given up counts until then. CRISP and Jaeger's critical path do the same.
import { Flag, none, type Model, type Span } from './model.ts';

export interface Piece { span: Span; from: number; to: number }

interface Child { span: Span; from: number; to: number } // the time in which it was waited for

/** Returns the pieces of the path in the order of time. Together they are as long as the span. */
export function criticalPath(m: Model, of: Span): Piece[] {
  const pieces: Piece[] = [];
  const stack: { span: Span; from: number; at: number; children: Child[] }[] = [];
  enter(of, m.begin[of], m.end[of]);
  while (stack.length > 0) {
    const frame = stack[stack.length - 1];
    const child = frame.children.pop();
    if (child === undefined || child.to <= frame.from) {
      piece(frame.span, frame.from, frame.at);
      stack.pop();
      continue;
    }
    if (child.from >= frame.at || child.to > frame.at) continue; // not waited for, since another child ended later
    piece(frame.span, child.to, frame.at);
    frame.at = Math.max(frame.from, child.from);
    enter(child.span, frame.at, child.to);
  }
  return pieces.reverse();

  function enter(span: Span, from: number, at: number) {
    const children: Child[] = [];
    const over = m.cause.get(span)?.at ?? Infinity;
    for (let c = m.first[span]; c !== none; c = m.next[c]) {
      const isAwaited = m.isScope[c] || m.flags[c] & Flag.Awaited;
      const [from, to] = [isAwaited ? m.begin[c] : Math.max(m.begin[c], over), m.stuck.get(c) ?? m.end[c]];
      if (from <= to) children.push({ span: c, from, to });
    }
    children.sort((a, b) => a.to - b.to || b.from - a.from);
    stack.push({ span, from, at, children });
  }

  function piece(span: Span, from: number, to: number) {
    if (to > from) pieces.push({ span, from, to });
  }
}

/** Returns how long each span is on the path, the longest first. */
export function shares(pieces: Piece[]): { span: Span; time: number }[] {
  const times = new Map<Span, number>();
  for (const p of pieces) times.set(p.span, (times.get(p.span) ?? 0) + p.to - p.from);
  return [...times].map(([span, time]) => ({ span, time })).sort((a, b) => b.time - a.time);
}
