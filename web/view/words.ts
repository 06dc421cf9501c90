// Times and numbers as text.

const units: [number, string][] = [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']];

let ordinal = false;

/** Sets whether times are numbers of steps, each counted as a millisecond. */
export function countSteps(is: boolean): void { ordinal = is; }

/** Formats a duration in nanoseconds with three significant digits: 3.2 s, 45.6 ms, 2 m 03 s. */
export function duration(ns: number): string {
  if (ns < 0) return `−${duration(-ns)}`;
  if (ordinal) return count(Math.round(ns / 1e6), 'step');
  const seconds = Math.round(ns / 1e9);
  if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} m`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  for (const [size, name] of units) {
    if (ns >= 0.9995 * size) return `${Number((ns / size).toPrecision(3))} ${name}`;
  }
  return '0 s';
}

/** Formats a duration that may be that of something that has not ended. */
export const lasted = (ns: number, isSoFar: boolean): string => (isSoFar ? '≥' : '') + duration(ns);

const two = (n: number) => String(n).padStart(2, '0');

/** Formats a tick of an axis. Ticks go up to most, step apart, and all have the same unit and enough decimals to differ. */
export function tick(ns: number, step: number, most: number): string {
  if (ns === 0) return '0';
  if (ordinal) return step >= 1e6 ? String(Math.round(ns / 1e6)) : '';
  if (step >= 60e9) return duration(ns);
  const [size, name] = units.find(([size]) => most >= size) ?? units[3];
  return `${(ns / size).toFixed(Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9)))} ${name}`;
}

/** Parses "100 ms", "1.5s" or "20" (milliseconds), and returns nanoseconds; NaN if the text is no duration. */
export function parseDuration(text: string): number {
  const parts = /^\s*([\d.]+)\s*(ns|us|µs|ms|s|m|h)?\s*$/.exec(text);
  if (!parts) return NaN;
  const size: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };
  return Number(parts[1]) * size[parts[2] ?? 'ms'];
}

export const thousands = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ',');

export function count(n: number, one: string, many = `${one}s`): string {
  return `${thousands(n)} ${n === 1 ? one : many}`;
}

export const percent = (part: number): string => `${part >= 0.0995 ? Math.round(part * 100) : Number((part * 100).toPrecision(2))} %`;
