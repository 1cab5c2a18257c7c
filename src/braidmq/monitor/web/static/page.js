/** The page of one thing, a broker, a service or a node: its condition, what is wrong with it, its figures and tables. */

import { Actions } from "./actions.js";
import { badge, change } from "./badge.js";
import * as condition from "./condition.js";
import { h, shown } from "./dom.js";
import { Facts } from "./facts.js";
import { Findings } from "./findings.js";
import { Log } from "./log.js";
import { Plots } from "./plots.js";
import { href } from "./route.js";

/**
 * A page makes its tables in its constructor and hands them to `lay`. It says where its thing is (`find`), how that is
 * (`stateOf`), its figures (`factsOf`), and fills its tables (`fill`). `isThere` and `mayAct` are for things that are
 * known longer than they are there.
 */
export class ThingPage {
  /** The findings by name, for what the tables show of others. */
  found = new Map();
  #head;
  #facts = new Facts();
  #findings = new Findings();
  #actions;
  #plots = null;
  #log;

  /** `actions` may be done to it, `lines` are commands that help, and its past is plotted if it is `plotted`. */
  constructor(store, name, { kind, list, actions, lines, plotted = false }) {
    this.name = name;
    this.title = `${kind} ${name}`;
    this.#head = new Head(kind, name, list);
    this.#actions = new Actions(actions, name, lines);
    if (plotted) this.#plots = new Plots(`${kind.toLowerCase()}:${name}`);
    this.#log = new Log(store, { name });
  }

  /** Put the page together; `tables` are pairs of a title and a table. */
  lay(...tables) {
    this.element = h(
      "div",
      null,
      this.#head.element,
      this.#findings.element,
      h("section", { class: "panel" }, h("h2", null, "Now"), this.#facts.element),
      this.#actions.element,
      this.#plots?.element,
      ...tables.map(([title, table]) => h("section", { class: "panel" }, h("h2", null, title), table.element)),
      this.#log.element,
    );
  }

  isThere(thing) {
    return thing !== undefined;
  }

  mayAct(thing) {
    return this.isThere(thing);
  }

  start() {
    this.#plots?.start();
  }

  stop() {
    this.#plots?.stop();
  }

  update(store) {
    const { net } = store;
    this.found = condition.byName(net.findings);
    const thing = this.find(net);
    this.#head.update(thing === undefined ? null : this.stateOf(thing));
    this.#findings.update(net.findings.filter(({ names }) => names.includes(this.name)), net);
    if (this.isThere(thing)) this.#facts.update(this.factsOf(thing));
    this.fill(net, thing);
    this.#actions.update(store, this.mayAct(thing));
    this.#log.update(store);
  }
}

class Head {
  #badge = badge({ level: "unknown", word: "…" });
  #gone;

  constructor(kind, name, list) {
    const back = h("p", { class: "crumb" }, h("a", { href: href(list) }, `All ${list}`));
    this.#gone = h("p", { class: "empty" }, `The net has no ${kind.toLowerCase()} of this name now. What is below is what was known of it.`);
    this.element = h("header", { class: "page-head" }, back, h("h1", { tabindex: -1 }, `${kind} `, h("span", { class: "name" }, name)), this.#badge, this.#gone);
  }

  /** Show how it is; null if it is not there. */
  update(state) {
    shown(this.#gone, state === null);
    change(this.#badge, state ?? { level: "unknown", word: "not there" });
  }
}
