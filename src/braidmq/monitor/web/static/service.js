/** The page of a service. */

import { Actions } from "./actions.js";
import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { h } from "./dom.js";
import { Facts } from "./facts.js";
import { Findings } from "./findings.js";
import { count, ms, rate } from "./format.js";
import { Log } from "./log.js";
import { Head } from "./page.js";
import { Plots } from "./plots.js";
import { href } from "./route.js";
import { Table, linked } from "./table.js";

export class ServicePage {
  #name;
  #found = new Map();
  #head;
  #facts = new Facts();
  #findings = new Findings();
  #parts;
  #workers;
  #plots;
  #actions;
  #log;

  constructor(store, name) {
    this.#name = name;
    this.title = `Service ${name}`;
    this.#head = new Head("Service", name, "services");
    this.#actions = new Actions(["try"], name, [{ about: "How long calls take over each path:", line: `braidmq ping ${name} --join NAME.braid --count 100` }]);
    this.#plots = new Plots(`service:${name}`);
    this.#log = new Log(store, { name });
    const number = (id, title) => ({ id, title, of: (row) => row[id], show: (row) => count(row[id]), numeric: true });
    this.#parts = new Table({
      caption: "At each broker",
      columns: [linked({ id: "broker", title: "Broker", of: (row) => row.broker }, (row) => href("broker", row.broker)), number("workers", "Workers"), number("credit", "Credit"), number("outstanding", "In flight"), number("queued", "Queued")],
      keyOf: (row) => row.broker,
      hint: "No broker tells of it.",
    });
    this.#workers = new Table({ caption: "Workers", columns: columns.ofNodes(() => this.#found), keyOf: (row) => row.name, size: 25, level: (row) => condition.ofNode(row, this.#found).level, hint: "Nobody serves it." });
    this.element = h(
      "div",
      null,
      this.#head.element,
      this.#findings.element,
      h("section", { class: "panel" }, h("h2", null, "Now"), this.#facts.element),
      this.#actions.element,
      this.#plots.element,
      h("section", { class: "panel" }, h("h2", null, "At each broker"), this.#parts.element),
      h("section", { class: "panel" }, h("h2", null, "Workers"), this.#workers.element),
      this.#log.element,
    );
  }

  start() {
    this.#plots.start();
  }

  stop() {
    this.#plots.stop();
  }

  update(store) {
    const { net } = store;
    this.#found = condition.byName(net.findings);
    const service = net.services.find(({ name }) => name === this.#name);
    this.#head.update(service === undefined ? null : condition.ofService(service, this.#found));
    this.#findings.update(net.findings.filter(({ names }) => names.includes(this.#name)), net);
    if (service?.callable === true) this.#facts.update(facts(service));
    const parts = Object.entries(service?.by_broker ?? {});
    this.#parts.update(parts.map(([broker, part]) => ({ broker, ...part })));
    this.#workers.update(net.nodes.filter((node) => node.serves.includes(this.#name)));
    this.#actions.update(store, service?.callable === true);
    this.#log.update(store);
  }
}

const facts = (service) => [
  ["Workers", count(service.workers)],
  ["Credit", count(service.credit)],
  ["In flight", count(service.outstanding)],
  ["Queued", count(service.queued)],
  ["Replies/s", rate(service.replies_per_s)],
  ["Median", ms(service.p50_ms)],
  ["99 %", ms(service.p99_ms)],
];
