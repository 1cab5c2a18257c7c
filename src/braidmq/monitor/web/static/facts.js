/** A list of facts about one thing: terms and what they are, patched in place. */

import { h, sync, text } from "./dom.js";

export class Facts {
  element = h("dl", { class: "facts" });

  /** Show `[term, text]` pairs. */
  update(pairs) {
    const make = ([term]) => h("div", null, h("dt", null, term), h("dd"));
    sync(this.element, pairs, ([term]) => term, make, (element, [, words]) => text(element.lastChild, words));
  }
}
