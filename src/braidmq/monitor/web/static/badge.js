/** How a thing is: a sign and a word. */

import { attribute, h, text } from "./dom.js";
import { show, sign } from "./icons.js";

/** Return a badge of `{level, word}`. */
export function badge(condition) {
  const element = h("span", { class: "badge" }, sign(condition.level), h("span", null, ""));
  change(element, condition);
  return element;
}

/** Let a badge show another condition. */
export function change(element, condition) {
  attribute(element, "data-level", condition.level);
  show(element.firstChild, condition.level);
  text(element.lastChild, condition.word);
}
