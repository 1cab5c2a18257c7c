/**
 * Tables that may be long: sorted by a column, filtered by text, shown by pages, patched in place.
 *
 * The order stands still while the pointer or the focus is in the table: a row does not run away from whoever is about
 * to take it.
 */

import { attribute, clear, h, shown, sync, text } from "./dom.js";
import { count } from "./format.js";
import { asBefore, filtered, paged, sorted } from "./order.js";

/** Tables with fewer rows than this need no filter. */
const FILTERED_ROWS_MIN = 9;

export class Table {
  #columns;
  #rows = [];
  #order = [];
  #words = "";
  #page = 0;
  #sort;
  #stale = true;
  #options;
  #search;
  #body;
  #status;
  #pager;
  #back;
  #forth;
  #empty;
  #heads;
  #scroll;

  /**
   * `columns` are `{id, title, of(row), show(row)}`: what it is sorted by, and its text; or `draw(cell, row)` in place
   * of the latter, which patches the cell. `numeric` ones stand to the right, those that are `minor` are left out on
   * small screens. `keyOf(row)` tells rows apart; `hint` is what an empty table says, an element or a text.
   */
  constructor({ caption, columns, keyOf, textOf = keyOf, size = 50, sort, hint, level = () => null }) {
    this.#options = { keyOf, textOf, size, level };
    this.#columns = columns;
    this.#sort = sort ?? { id: columns[0].id, down: false };
    this.#heads = new Map(columns.map((column) => [column.id, this.#head(column)]));
    this.#body = h("tbody");
    this.#status = h("p", { class: "table-status", role: "status" });
    this.#back = h("button", { type: "button", on: { click: () => this.#turn(-1) } }, "Previous");
    this.#forth = h("button", { type: "button", on: { click: () => this.#turn(1) } }, "Next");
    this.#pager = h("nav", { class: "pager", "aria-label": `Pages of the table: ${caption}` }, this.#back, this.#forth);
    this.#search = h("input", { type: "search", placeholder: "Filter", "aria-label": `Filter the table: ${caption}`, autocomplete: "off", spellcheck: "false" });
    this.#search.addEventListener("input", () => this.#filter());
    this.#empty = h("p", { class: "empty" }, hint ?? "Nothing is here.");
    const head = h("thead", null, h("tr", null, ...this.#heads.values()));
    this.#scroll = h("div", { class: "scroll" }, h("table", null, h("caption", { class: "unseen" }, caption), head, this.#body));
    this.element = h("div", { class: "table" }, h("div", { class: "table-tools" }, this.#search, this.#status, this.#pager), this.#scroll, this.#empty);
  }

  /** Show rows. */
  update(rows) {
    this.#rows = rows;
    this.#show();
  }

  #head(column) {
    const button = h("button", { type: "button", on: { click: () => this.#sortBy(column) } }, column.title);
    return h("th", { scope: "col", class: classes(column), title: column.help }, button);
  }

  #sortBy(column) {
    const again = this.#sort.id === column.id;
    this.#sort = { id: column.id, down: again ? !this.#sort.down : column.numeric === true };
    this.#page = 0;
    this.#stale = true;
    this.#show();
  }

  #filter() {
    this.#words = this.#search.value;
    this.#page = 0;
    this.#stale = true;
    this.#show();
  }

  #turn(by) {
    this.#page += by;
    this.#show();
  }

  #show() {
    const { keyOf, textOf, size } = this.#options;
    const found = filtered(this.#rows, this.#words, textOf);
    const column = this.#columns.find(({ id }) => id === this.#sort.id);
    const held = !this.#stale && (this.#body.matches(":hover") || this.#body.contains(document.activeElement));
    const rows = held ? asBefore(found, this.#order, keyOf) : sorted(found, column.of, this.#sort.down, keyOf);
    this.#stale = false;
    this.#order = rows.map(keyOf);
    const { first, last, page, pages } = paged(rows.length, this.#page, size);
    this.#page = page;
    sync(this.#body, rows.slice(first, last), keyOf, () => this.#row(), (element, row) => this.#patch(element, row));
    this.#tell(found.length, { first, last, page, pages });
  }

  #tell(found, { first, last, page, pages }) {
    const all = this.#rows.length;
    for (const [id, head] of this.#heads) {
      attribute(head, "aria-sort", id === this.#sort.id ? (this.#sort.down ? "descending" : "ascending") : null);
    }
    shown(this.#search, all >= FILTERED_ROWS_MIN || this.#words !== "");
    shown(this.#pager, pages > 1);
    shown(this.#scroll, all > 0);
    shown(this.#empty, all === 0);
    attribute(this.#back, "disabled", page === 0);
    attribute(this.#forth, "disabled", page === pages - 1);
    text(this.#status, pages > 1 || found !== all ? telling(first, last, found, all) : "");
  }

  #row() {
    const cells = this.#columns.map((column, index) =>
      index === 0 ? h("th", { scope: "row", class: classes(column) }) : h("td", { class: classes(column) }),
    );
    return h("tr", null, ...cells);
  }

  #patch(element, row) {
    attribute(element, "data-level", this.#options.level(row));
    this.#columns.forEach((column, index) => {
      const cell = element.children[index];
      if (column.draw) column.draw(cell, row);
      else text(cell, column.show(row));
    });
  }

  /** Say another thing while it is empty. */
  hint(...children) {
    clear(this.#empty);
    this.#empty.append(...children);
  }
}

const classes = (column) => [column.numeric ? "numeric" : "", column.minor ? "minor" : ""].join(" ").trim() || null;

function telling(first, last, found, all) {
  if (found === 0) return `none of ${count(all)} matches`;
  const range = `${count(first + 1)} to ${count(last)} of ${count(found)}`;
  return found === all ? range : `${range} that match, of ${count(all)}`;
}

/** A column that links each row to its page. */
export function linked(column, href) {
  const draw = (cell, row) => {
    const link = cell.firstChild ?? cell.appendChild(h("a", { class: "name" }));
    attribute(link, "href", href(row));
    text(link, column.of(row));
  };
  return { ...column, draw };
}
