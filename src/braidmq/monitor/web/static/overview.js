/** The first page: what is wrong, the services, and then the rest of the net. */

import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { command } from "./command.js";
import { h, shown } from "./dom.js";
import { Findings } from "./findings.js";
import { Log } from "./log.js";
import { Plots } from "./plots.js";
import { href } from "./route.js";
import { Table } from "./table.js";
import { Topology } from "./topology.js";

/** Rows of a table on this page. */
const ROWS = 12;

/** Events of the log on this page. */
const EVENTS = 10;

export class Overview {
  title = "Overview";
  #found = new Map();
  #findings = new Findings();
  #topology = new Topology();
  #plots = new Plots("net");
  #services;
  #brokers;
  #callers;
  #refusals;
  #refused;
  #log;
  #begun = false;

  constructor(store) {
    const found = () => this.#found;
    const keyOf = (row) => row.name;
    const level = (conditionOf) => (row) => conditionOf(row, this.#found).level;
    this.#services = new Table({ caption: "Services", columns: columns.ofServices(found), keyOf, size: ROWS, level: level(condition.ofService), hint: "No service is offered yet." });
    this.#services.hint("No service is offered yet. Serve one: ", command("braidmq serve MODULE:NODE --join NAME.braid"));
    this.#brokers = new Table({ caption: "Brokers", columns: columns.ofBrokers(found), keyOf, size: ROWS, level: level(condition.ofBroker), hint: "No broker is known yet." });
    this.#callers = new Table({ caption: "Who calls most", columns: columns.ofNodes(found), keyOf, size: ROWS, level: level(condition.ofNode), sort: { id: "flight", down: true }, hint: "No node is connected." });
    this.#refusals = new Table({ caption: "What was refused", columns: columns.ofRefusals(), keyOf: (row) => `${row.broker} ${row.kind}`, size: ROWS, sort: { id: "ago", down: false } });
    this.#refused = panel("What was refused", null, this.#refusals.element);
    this.#log = new Log(store, { most: EVENTS });
    this.element = h(
      "div",
      { class: "overview" },
      h("h1", { class: "unseen", tabindex: -1 }, "The net at a glance"),
      this.#findings.element,
      panel("Services", "services", this.#services.element),
      h("div", { class: "pair" }, panel("The net", null, this.#topology.element), this.#log.element),
      this.#plots.element,
      panel("Brokers", "brokers", this.#brokers.element),
      panel("Who calls most", "nodes", this.#callers.element),
      this.#refused,
    );
  }

  start() {
    this.#plots.start();
  }

  stop() {
    this.#plots.stop();
  }

  /** The first screen is shown first, and the rest with the next picture: a large net takes a moment. */
  update(store) {
    const { net } = store;
    this.#found = condition.byName(net.findings);
    this.#findings.update(net.findings, net);
    this.#services.update(net.services);
    if (this.#begun) this.#below(store);
    else requestAnimationFrame(() => setTimeout(() => this.#below(store)));
    this.#begun = true;
  }

  #below(store) {
    const { net } = store;
    this.#topology.update(net, this.#found);
    this.#brokers.update(net.brokers);
    this.#callers.update(net.nodes);
    this.#refusals.update(net.refusals);
    shown(this.#refused, net.refusals.length > 0);
    this.#log.update(store);
  }
}

function panel(title, page, content) {
  const all = page === null ? null : h("a", { href: href(page), class: "more" }, "All ", h("span", { class: "unseen" }, `${title.toLowerCase()} on a page`));
  return h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", null, title), all), content);
}
