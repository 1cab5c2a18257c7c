/** Which rows of a long table are shown, and in which order. Pure. */

const collator = new Intl.Collator("en", { numeric: true });

/** Compare two values: texts as people do (b2 before b10), numbers by size; what is not known stands last. */
export function compare(a, b) {
  const [known, other] = [a !== null && a !== undefined, b !== null && b !== undefined];
  if (!known || !other) return known === other ? 0 : known ? -1 : 1;
  return typeof a === "string" ? collator.compare(a, String(b)) : a - b;
}

/** Return rows sorted by `of`, downwards if so wished; rows that are not known stay last, ties go by key. */
export function sorted(rows, of, down, keyOf) {
  const missing = (value) => value === null || value === undefined;
  return [...rows].sort((a, b) => {
    const [left, right] = [of(a), of(b)];
    const order = compare(left, right);
    const turned = down && !missing(left) && !missing(right) ? -order : order;
    return turned || collator.compare(keyOf(a), keyOf(b));
  });
}

/** Return rows in the order of keys that they had before; what is new comes last, as it comes. */
export function asBefore(rows, keys, keyOf) {
  const places = new Map(keys.map((key, index) => [key, index]));
  const place = (row) => places.get(keyOf(row)) ?? Number.MAX_SAFE_INTEGER;
  return [...rows].sort((a, b) => place(a) - place(b));
}

/** Return the rows whose text holds all words of a filter. */
export function filtered(rows, words, textOf) {
  const wanted = words.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (wanted.length === 0) return rows;
  return rows.filter((row) => {
    const text = textOf(row).toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

/** Return `{first, last, page, pages}` of the rows on a page: `first` to `last - 1`. */
export function paged(total, page, size) {
  const pages = Math.max(1, Math.ceil(total / size));
  const at = Math.min(Math.max(0, page), pages - 1);
  return { first: at * size, last: Math.min(total, (at + 1) * size), page: at, pages };
}
