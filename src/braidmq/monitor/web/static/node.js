/** The page of a node. */

import { Actions } from "./actions.js";
import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { h } from "./dom.js";
import { Facts } from "./facts.js";
import { Findings } from "./findings.js";
import { count, duration } from "./format.js";
import { Log } from "./log.js";
import { Head } from "./page.js";
import { Table } from "./table.js";

export class NodePage {
  #name;
  #found = new Map();
  #head;
  #facts = new Facts();
  #findings = new Findings();
  #brokers;
  #services;
  #actions;
  #log;

  constructor(store, name) {
    this.#name = name;
    this.title = `Node ${name}`;
    this.#head = new Head("Node", name, "nodes");
    const found = () => this.#found;
    const keyOf = (row) => row.name;
    this.#actions = new Actions(["take_out", "put_back"], name, [
      { about: "A node whose key is in wrong hands is revoked by the operator:", line: `braidmq revoke ${name} --net DIR` },
      { about: "Why it does not get to a broker, on its machine:", line: `braidmq doctor --join ${name}.braid` },
    ]);
    this.#log = new Log(store, { name });
    this.#brokers = new Table({ caption: "Brokers", columns: columns.ofBrokers(found), keyOf, level: (row) => condition.ofBroker(row, this.#found).level, hint: "It is not connected to any broker." });
    this.#services = new Table({ caption: "Services", columns: columns.ofServices(found), keyOf, level: (row) => condition.ofService(row, this.#found).level, hint: "It serves nothing: it only calls." });
    this.element = h(
      "div",
      null,
      this.#head.element,
      this.#findings.element,
      h("section", { class: "panel" }, h("h2", null, "Now"), this.#facts.element),
      this.#actions.element,
      h("section", { class: "panel" }, h("h2", null, "Services that it serves"), this.#services.element),
      h("section", { class: "panel" }, h("h2", null, "Brokers that it is connected to"), this.#brokers.element),
      this.#log.element,
    );
  }

  start() {}

  stop() {}

  update(store) {
    const { net } = store;
    this.#found = condition.byName(net.findings);
    const node = net.nodes.find(({ name }) => name === this.#name);
    this.#head.update(node === undefined ? null : condition.ofNode(node, this.#found));
    this.#findings.update(net.findings.filter(({ names }) => names.includes(this.#name)), net);
    if (node !== undefined) this.#facts.update(facts(node));
    this.#brokers.update(net.brokers.filter(({ name }) => node?.brokers.includes(name)));
    this.#services.update(net.services.filter(({ name }) => node?.serves.includes(name)));
    this.#actions.update(store, node !== undefined);
    this.#log.update(store);
  }
}

const facts = (node) => [
  ["Session", node.state],
  ["Calls in flight", count(node.in_flight)],
  ["Silent for", duration(node.silent_ms / 1000)],
  ["Brokers", count(node.brokers.length)],
  ["Serves", node.serves.length === 0 ? "nothing" : count(node.serves.length)],
];
