/** The pages that list all brokers, all services, all nodes, or all events. */

import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { h, text } from "./dom.js";
import { counted } from "./format.js";
import { Log } from "./log.js";
import { Table } from "./table.js";

const LISTS = {
  brokers: { title: "Brokers", noun: "broker", of: columns.ofBrokers, conditionOf: condition.ofBroker, textOf: (row) => `${row.name} ${row.endpoints.join(" ")} ${row.software ?? ""}`, total: (net) => net.brokers.length },
  services: { title: "Services", noun: "service", of: columns.ofServices, conditionOf: condition.ofService, textOf: (row) => row.name, total: (net) => net.services_total },
  nodes: { title: "Nodes", noun: "node", of: columns.ofNodes, conditionOf: condition.ofNode, textOf: (row) => `${row.name} ${row.serves.join(" ")} ${row.brokers.join(" ")}`, total: (net) => net.nodes_total },
};

class List {
  #found = new Map();
  #table;
  #total = h("p", { class: "quiet" });

  constructor(page) {
    const { title, noun, of, conditionOf, textOf, total } = LISTS[page];
    Object.assign(this, { title, page, noun, total });
    this.#table = new Table({ caption: title, columns: of(() => this.#found), keyOf: (row) => row.name, textOf, level: (row) => conditionOf(row, this.#found).level, hint: `The net has no ${noun} now.` });
    this.element = h("div", null, h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, title), this.#total), h("section", { class: "panel", "aria-label": title }, this.#table.element));
  }

  start() {}

  stop() {}

  update({ net }) {
    this.#found = condition.byName(net.findings);
    const rows = net[this.page];
    const total = this.total(net);
    text(this.#total, total > rows.length ? `${counted(total, this.noun)}; brokers have told of ${rows.length}` : counted(total, this.noun));
    this.#table.update(rows);
  }
}

class LogPage {
  title = "Log";
  #log;

  constructor(store) {
    this.#log = new Log(store);
    this.element = h("div", null, h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, "Log")), this.#log.element);
  }

  start() {}

  stop() {}

  update(store) {
    this.#log.update(store);
  }
}

/** Return the page of a list. */
export const list = (page, store) => (page === "log" ? new LogPage(store) : new List(page));
