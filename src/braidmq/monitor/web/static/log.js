/** What has happened in the net, the newest first. */

import { h, shown, sync, text } from "./dom.js";
import { moment, parts } from "./format.js";
import { filtered } from "./order.js";
import { href, kindOf } from "./route.js";

/** Names that are linked at an event. */
const NAMES_MAX = 6;

export class Log {
  #list = h("ol", { class: "log" });
  #older = h("button", { type: "button" }, "Older events");
  #empty = h("p", { class: "empty" });
  #search = h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the log", autocomplete: "off", spellcheck: "false" });
  #store;
  #most;
  #name;

  /** `most` events are shown; all of them, with a button for older ones, if it is left out. `name` selects those of one thing. */
  constructor(store, { most = null, name = null } = {}) {
    [this.#store, this.#most, this.#name] = [store, most, name];
    this.#search.addEventListener("input", () => this.update(this.#store));
    this.#older.addEventListener("click", () => store.older());
    const all = most === null ? this.#older : h("p", null, h("a", { href: href("log") }, "The whole log"));
    this.element = h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", null, "What has happened"), most === null ? this.#search : null), this.#list, this.#empty, all);
  }

  update({ log, logIsWhole, net }) {
    const about = this.#name === null ? log : log.filter((event) => event.names.includes(this.#name));
    const found = filtered(about, this.#search.value, (event) => `${event.kind} ${event.text} ${event.names.join(" ")}`);
    const events = this.#most === null ? found : found.slice(0, this.#most);
    sync(this.#list, events, (event) => event.id, (event) => entry(event, net), () => {});
    shown(this.#empty, events.length === 0);
    text(this.#empty, about.length > 0 ? "No event matches." : this.#name === null ? "Nothing has happened since the monitor was started." : `No event of the last ones is about ${this.#name}.`);
    shown(this.#older, !logIsWhole);
  }
}

function entry(event, net) {
  const text = parts(event.text).map((part) => (part.code ? h("code", null, part.text) : part.text));
  const names = event.names.slice(0, NAMES_MAX).map((name) => {
    const kind = kindOf(net, name);
    return kind === null ? h("span", { class: "name" }, name) : h("a", { href: href(kind, name), class: "name" }, name);
  });
  return h(
    "li",
    null,
    h("time", { datetime: new Date(event.at * 1000).toISOString() }, moment(event.at, net.at)),
    h("p", null, ...text, h("span", { class: "log-names" }, h("span", null, event.kind), ...names)),
  );
}
