/** Numbers and times for people. Pure. */

/** What stands where nothing is known. */
export const NOTHING = "–";

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ONE = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A count: 2,000. */
export const count = (value) => (known(value) ? WHOLE.format(value) : NOTHING);

/** A rate: small ones with a decimal. */
export function rate(value) {
  if (!known(value)) return NOTHING;
  return value !== 0 && Math.abs(value) < 100 ? ONE.format(value) : WHOLE.format(value);
}

/** A number for the axis of a plot: 12K. */
export const short = (value) => (known(value) ? SHORT.format(value) : "");

/** Milliseconds, with so many digits as matter. */
export function ms(value) {
  if (!known(value)) return NOTHING;
  if (value >= 10_000) return `${ONE.format(value / 1000)} s`;
  if (value >= 100) return `${WHOLE.format(value)} ms`;
  return `${value >= 10 ? ONE.format(value) : Number(value.toPrecision(2))} ms`;
}

/** A time span in its two largest units, as `braidmq status` tells it. */
export function duration(seconds) {
  if (!known(seconds)) return NOTHING;
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

const two = (value) => String(value).padStart(2, "0");

/** The time of day of Unix seconds. */
export function clock(at) {
  if (!known(at)) return NOTHING;
  const date = new Date(at * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The same without seconds. */
export const minute = (at) => clock(at).slice(0, 5);

/** The time of day; with the date, if that is not the one of `now`. */
export function moment(at, now) {
  if (!known(at)) return NOTHING;
  const date = new Date(at * 1000);
  if (date.toDateString() === new Date(now * 1000).toDateString()) return clock(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`;
}

/** A count with its noun: 1 node, 2 nodes. */
export const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Names in a line, and how many more there are. */
export function listed(names, most = 8) {
  if (names.length === 0) return NOTHING;
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${count(names.length - most)} more`;
}

/** A text with a capital at its beginning, unless that is one of `names`: those are as they are. */
export function sentence(words, names = []) {
  if (words === "" || names.some((name) => words.startsWith(name))) return words;
  return words[0].toUpperCase() + words.slice(1);
}

/**
 * A text that quotes commands in backticks, in its parts: `{code, text}`. A command is what has to be typed as a whole
 * line; a single word such as `ps` is only named.
 */
export function parts(remedy) {
  return remedy
    .split("`")
    .map((words, index) => ({ code: index % 2 === 1, command: index % 2 === 1 && words.includes(" "), text: words }))
    .filter((part) => part.text !== "");
}
