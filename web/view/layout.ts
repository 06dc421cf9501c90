// Where every span lies from top to bottom. Left to right is time.
//
// A task is a bar of one row with the scopes that it opened below it; a scope is a box
// with a row for its name and its tasks and forks below. Heights are in quarters of a row.
import { pack, type Block } from './lanes.ts';
import { none, type Model } from './model.ts';

export const row = 4;
const padding = 1; // at the bottom of a box, so that nested ones can be told apart

export interface Layout {
  top: Int32Array;
  height: Int32Array; // of the whole block
  total: number;
  // What begins at the same height, by time: spans[from[r]] up to spans[from[r+1]].
  tops: Int32Array;
  from: Int32Array;
  spans: Int32Array;
}

/** As roomy as it can be without becoming long: first every block has lanes to itself. */
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

/** Spans by row and time. Two of a row do not overlap, so the order of the log is that of time, unless a child began before its parent. */
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
