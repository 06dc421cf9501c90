// The vertical position of each span. The horizontal one is time.
//
// A task is a bar of one row, and below it are the scopes that it opened. A scope is a box:
// a row for its name, and below it its tasks and forks. Heights are in quarters of a row.
import { pack, type Block } from './lanes.ts';
import { none, type Model } from './model.ts';

export const row = 4;
const padding = 1; // at the bottom of a box, so that nested boxes have separate edges

export interface Layout {
  top: Int32Array;
  height: Int32Array; // of a span with all spans below it
  total: number;
  // Rows: the spans at height tops[r], by time, are spans[from[r]] up to spans[from[r+1]].
  tops: Int32Array;
  from: Int32Array;
  spans: Int32Array;
}

/**
 * Lays the spans out. Of three layouts it takes the first that is not too high: each block
 * in a lane of its own, lanes shared with wide gaps, and lanes shared without gaps.
 */
export function layout(m: Model): Layout {
  const whole = Math.max(m.logEnd, 1);
  for (const [gap, spans, most] of [[Infinity, 45, 45], [0.12 * whole, 500, 60]]) {
    if (m.n > spans) continue;
    const placed = place(m, gap);
    if (placed.total <= most * row) return { ...placed, ...rows(m, placed) };
  }
  const placed = place(m, 0);
  return { ...placed, ...rows(m, placed) };
}

function place(m: Model, gap: number) {
  const top = new Int32Array(m.n);
  const height = new Int32Array(m.n);
  const from = Float64Array.from(m.begin);
  const to = Float64Array.from(m.end);
  const packed = (first: number): number => {
    const blocks: (Block & { span: number })[] = [];
    for (let c = first; c !== none; c = m.next[c]) blocks.push({ span: c, from: from[c], to: to[c], height: height[c], top: 0 });
    if (blocks.some((b, k) => k > 0 && b.from < blocks[k - 1].from)) blocks.sort((a, b) => a.from - b.from);
    const total = pack(blocks, gap);
    for (const b of blocks) top[b.span] = b.top;
    return total;
  };
  for (let i = m.n - 1; i >= 0; i--) {
    for (let c = m.first[i]; c !== none; c = m.next[c]) {
      from[i] = Math.min(from[i], from[c]);
      to[i] = Math.max(to[i], to[c]);
    }
    height[i] = row + packed(m.first[i]) + (m.isScope[i] ? padding : 0);
  }
  const total = packed(m.n > 0 ? 0 : none);
  for (let i = 0; i < m.n; i++) if (m.parent[i] !== none) top[i] += top[m.parent[i]] + row;
  return { top, height, total };
}

/**
 * Returns the spans by row and time. The spans of a row do not overlap, so the log has them
 * in the order of time, unless a child began before its parent.
 */
function rows(m: Model, { top, total }: { top: Int32Array; total: number }) {
  const starts = new Int32Array(total + 1);
  for (let i = 0; i < m.n; i++) starts[top[i] + 1]++;
  const tops: number[] = [];
  for (let t = 0; t < total; t++) {
    if (starts[t + 1] > 0) tops.push(t);
    starts[t + 1] += starts[t];
  }
  const from = Int32Array.from([...tops.map((t) => starts[t]), m.n]);
  const spans = new Int32Array(m.n);
  for (let i = 0; i < m.n; i++) spans[starts[top[i]]++] = i;
  for (let r = 0; r < tops.length; r++) {
    for (let k = from[r] + 1; k < from[r + 1]; k++) {
      if (m.begin[spans[k]] >= m.begin[spans[k - 1]]) continue;
      spans.subarray(from[r], from[r + 1]).sort((a, b) => m.begin[a] - m.begin[b] || a - b);
      break;
    }
  }
  return { tops: Int32Array.from(tops), from, spans };
}
