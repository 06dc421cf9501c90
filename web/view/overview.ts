// How many tasks were alive at each time of the log.
import type { Model } from './model.ts';
import { none, Tone } from './model.ts';

export interface Counts { times: Float64Array; alive: Int32Array; most: number }

/** Counts the tasks: alive[k] tasks were alive from times[k] on, and at most most. */
export function countAlive(m: Model): Counts {
  const steps: number[] = [];
  const begins: number[] = [], ends: number[] = [];
  for (let i = 0; i < m.n; i++) {
    if (m.isScope[i]) continue;
    begins.push(m.begin[i]);
    if (m.stop[i] >= 0 || m.end[i] < m.logEnd) ends.push(m.end[i]); // unfinished, in a process that is known to have ended
  }
  const begin = Float64Array.from(begins).sort();
  const end = Float64Array.from(ends).sort();
  const alive: number[] = [];
  let now = 0, most = 0;
  for (let b = 0, e = 0; b < begin.length || e < end.length;) {
    const at = Math.min(begin[b] ?? Infinity, end[e] ?? Infinity);
    while (b < begin.length && begin[b] === at) { now++; b++; }
    most = Math.max(most, now); // before the ends, so that a task that takes no time counts
    while (e < end.length && end[e] === at) { now--; e++; }
    steps.push(at);
    alive.push(now);
  }
  return { times: Float64Array.from(steps), alive: Int32Array.from(alive), most };
}

/** Returns the largest number alive in each of width columns between two times. */
export function columns(counts: Counts, from: number, to: number, width: number): Int32Array {
  const most = new Int32Array(width);
  const { times, alive } = counts;
  const scale = width / (to - from);
  for (let k = 0; k < times.length; k++) {
    const first = Math.max(0, Math.floor((times[k] - from) * scale));
    const last = Math.min(width - 1, k + 1 < times.length ? Math.floor((times[k + 1] - from) * scale) : width - 1);
    for (let column = first; column <= last; column++) if (alive[k] > most[column]) most[column] = alive[k];
  }
  return most;
}

/** Returns the times at which tasks failed, and those at which scopes ended by a failure. */
export function alarms(m: Model): { failed: number[]; canceled: number[] } {
  const failed: number[] = [], canceled: number[] = [];
  for (let i = 0; i < m.n; i++) {
    if (m.tone[i] !== Tone.Failed) continue;
    if (m.isScope[i]) canceled.push(m.cause.get(i)?.at ?? m.end[i]);
    else if (m.parent[i] !== none) failed.push(m.end[i]);
  }
  return { failed, canceled };
}
