/** What all pages of one thing share: a head with its condition, and what is said when it is not there (any more). */

import { badge, change } from "./badge.js";
import { h, shown } from "./dom.js";
import { href } from "./route.js";

export class Head {
  #badge = badge({ level: "unknown", word: "…" });
  #gone;

  constructor(kind, name, list) {
    const back = h("p", { class: "crumb" }, h("a", { href: href(list) }, `All ${list}`));
    this.#gone = h("p", { class: "empty" }, `The net has no ${kind.toLowerCase()} of this name now. What is below is what was known of it.`);
    this.element = h("header", { class: "page-head" }, back, h("h1", { tabindex: -1 }, `${kind} `, h("span", { class: "name" }, name)), this.#badge, this.#gone);
  }

  /** Show how it is; null if it is not there. */
  update(condition) {
    shown(this.#gone, condition === null);
    change(this.#badge, condition ?? { level: "unknown", word: "not there" });
  }
}
