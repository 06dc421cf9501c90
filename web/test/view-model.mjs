// Makes models for tests from outlines.

/**
 * Returns the wire format of an outline. Each row is [level, kind, name, begin, stop, more]:
 * kind is s for a scope and t for a task; more has state, flags, err, start, and the cause of a
 * scope. A scope that is said to have ended because of its parent did so if that has ended before,
 * or because of what cause.with names.
 */
export function wireOf(end, rows, log = {}) {
  const strings = [''];
  const text = (s) => (strings.includes(s) ? strings.indexOf(s) : strings.push(s) - 1);
  const path = [];
  const wire = {
    program: 'test', go: '', pid: 1, run: 'x', started: '2026-01-01T00:00:00Z', trioVis: false, ordinal: false,
    end, closed: true, segment: 0, truncated: false, damaged: 0, losses: [], processes: [], skipped: [], process: [], strings, kind: '',
    id: [], parent: [], name: [], state: [], flags: [], begin: [], start: [], stop: [], err: [],
    causes: [], endedBy: [], deadline: [], ready: [], stuck: [], abandoned: [], stack: [], ...log,
  };
  rows.forEach(([level, kind, name, begin, stop, more = {}], i) => {
    path.length = level;
    wire.kind += kind;
    wire.id.push(i + 1);
    wire.parent.push(path[level - 1] ?? -1);
    wire.name.push(text(name));
    wire.state.push(text(more.state ?? (kind === 's' ? (stop < 0 ? 'open' : 'closed') : stop < 0 ? 'running' : 'ok')));
    wire.flags.push(more.flags ?? 5);
    wire.begin.push(begin);
    wire.start.push(more.start ?? (kind === 's' ? -1 : begin));
    wire.stop.push(stop);
    wire.err.push(text(more.err ?? ''));
    if (more.cause) {
      const by = rows.findIndex((r) => r[2] === more.cause.by);
      const above = path.findLast((k) => wire.kind[k] === 's');
      const known = wire.causes.find((c) => c.row === above);
      const cause = more.cause.with === undefined ? known && known.at <= more.cause.at ? above : -1 : path.findLast((k) => rows[k][2] === more.cause.with) ?? -1;
      if ((more.cause.kind === 'parent canceled' || more.cause.with) && cause >= 0) wire.endedBy.push([i, cause]);
      wire.causes.push({ row: i, at: more.cause.at, kind: text(more.cause.kind), by, err: text(more.cause.err ?? '') });
    }
    path.push(i);
  });
  return wire;
}
