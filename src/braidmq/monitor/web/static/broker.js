/** The page of a broker. */

import { badge, change } from "./badge.js";
import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { NOTHING, count, duration, rate } from "./format.js";
import { ThingPage } from "./page.js";
import { href } from "./route.js";
import { Table, linked } from "./table.js";

/** How a broker is seen, in a word that says whether there is a connection as well. */
const seen = (view) => (view.link === "up" || view.link === "" ? view.state : `${view.state}, ${view.link}`);

export class BrokerPage extends ThingPage {
  #views;
  #nodes;

  constructor(store, name) {
    super(store, name, {
      kind: "Broker",
      list: "brokers",
      actions: ["drain"],
      lines: [{ about: "A broker whose key is in wrong hands is revoked by the operator:", line: `braidmq revoke ${name} --net DIR` }],
      plotted: true,
    });
    const draw = (of) => (cell, row) => (cell.firstChild === null ? cell.append(badge(of(row))) : change(cell.firstChild, of(row)));
    const way = (id, title, pick) => ({ id, title, of: (row) => pick(row)?.state ?? null, draw: draw((row) => ({ level: condition.ofView(pick(row)), word: pick(row) === undefined ? "not told" : seen(pick(row)) })) });
    this.#views = new Table({
      caption: "Other brokers",
      columns: [linked({ id: "name", title: "Broker", of: (row) => row.name }, (row) => href("broker", row.name)), way("sees", `${name} sees it`, (row) => row.sees), way("seen", `It sees ${name}`, (row) => row.seen)],
      keyOf: (row) => row.name,
      hint: "There is no other broker.",
    });
    this.#nodes = new Table({ caption: "Nodes", columns: columns.ofNodes(() => this.found), keyOf: (row) => row.name, size: 25, level: (row) => condition.ofNode(row, this.found).level, hint: "No node is connected to it." });
    this.lay(["Other brokers", this.#views], ["Nodes that are connected to it", this.#nodes]);
  }

  find(net) {
    return net.brokers.find(({ name }) => name === this.name);
  }

  stateOf(broker) {
    return condition.ofBroker(broker, this.found);
  }

  mayAct(broker) {
    return broker?.told === true;
  }

  fill(net, broker) {
    const others = net.brokers.filter(({ name }) => name !== this.name);
    this.#views.update(others.map((other) => ({ name: other.name, sees: broker?.sees[other.name], seen: other.sees[this.name] })));
    this.#nodes.update(net.nodes.filter((node) => node.brokers.includes(this.name)));
  }

  factsOf(broker) {
    return [
      ["Addresses", broker.endpoints.join(", ") || NOTHING],
      ["Up for", duration(broker.uptime_s)],
      ["Software", broker.software ?? NOTHING],
      ["Nodes", count(broker.nodes)],
      ["Services", count(broker.services)],
      ["Requests/s", rate(broker.requests_per_s)],
      ["Replies/s", rate(broker.replies_per_s)],
      ["Rejects/s", rate(broker.rejects_per_s)],
      ["Queued", count(broker.queued)],
      ["In flight", count(broker.outstanding)],
      ...(broker.problem ? [["Problem", broker.problem]] : []),
    ];
  }
}
