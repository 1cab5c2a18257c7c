/** What a plot shows: points of the history of the monitor, and newer ones that are added to them. Pure. */

/** The points of a span: an hour in seconds, a day in minutes. */
export const POINTS_MAX = { hour: 3600, day: 1440 };

/** Return `{step, times, values: {name: []}}` of an answer of the monitor. */
export function points({ step_s: step, first_at: first, series }) {
  const lengths = Object.values(series).map((values) => values.length);
  const length = lengths.length === 0 ? 0 : Math.max(...lengths);
  return { step, times: Array.from({ length }, (_, index) => first + index * step), values: series };
}

/** Return what was there and what is newer than that, no more than `most` points. */
export function joined(before, after, most) {
  const last = before.times.at(-1) ?? -Infinity;
  const start = after.times.findIndex((time) => time > last + after.step / 2); // clocks are set, by little
  if (start < 0) return before;
  const from = Math.max(0, before.times.length + after.times.length - start - most);
  const both = (old, fresh) => [...old.slice(from), ...fresh.slice(start)].slice(-most);
  const values = {};
  for (const [name, fresh] of Object.entries(after.values)) values[name] = both(before.values[name] ?? before.times.map(() => null), fresh);
  return { step: after.step, times: both(before.times, after.times), values };
}

/** Return the newest value that is known, and the largest; null if there is none. */
export function extremes(values) {
  let [last, most] = [null, null];
  for (const value of values) {
    if (value === null) continue;
    last = value;
    if (most === null || value > most) most = value;
  }
  return { last, most };
}
