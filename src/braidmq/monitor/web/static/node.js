/** The page of a node. */

import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { count, duration } from "./format.js";
import { ThingPage } from "./page.js";
import { Table } from "./table.js";

export class NodePage extends ThingPage {
  #brokers;
  #services;

  constructor(store, name) {
    super(store, name, {
      kind: "Node",
      list: "nodes",
      actions: ["take_out", "put_back"],
      lines: [
        { about: "A node whose key is in wrong hands is revoked by the operator:", line: `braidmq revoke ${name} --net DIR` },
        { about: "Why it does not get to a broker, on its machine:", line: `braidmq doctor --join ${name}.braid` },
      ],
    });
    const found = () => this.found;
    const keyOf = (row) => row.name;
    this.#brokers = new Table({ caption: "Brokers", columns: columns.ofBrokers(found), keyOf, level: (row) => condition.ofBroker(row, this.found).level, hint: "It is not connected to any broker." });
    this.#services = new Table({ caption: "Services", columns: columns.ofServices(found), keyOf, level: (row) => condition.ofService(row, this.found).level, hint: "It serves nothing: it only calls." });
    this.lay(["Services that it serves", this.#services], ["Brokers that it is connected to", this.#brokers]);
  }

  find(net) {
    return net.nodes.find(({ name }) => name === this.name);
  }

  stateOf(node) {
    return condition.ofNode(node, this.found);
  }

  fill(net, node) {
    this.#brokers.update(net.brokers.filter(({ name }) => node?.brokers.includes(name)));
    this.#services.update(net.services.filter(({ name }) => node?.serves.includes(name)));
  }

  factsOf(node) {
    return [
      ["Session", node.state],
      ["Calls in flight", count(node.in_flight)],
      ["Silent for", duration(node.silent_ms / 1000)],
      ["Brokers", count(node.brokers.length)],
      ["Serves", node.serves.length === 0 ? "nothing" : count(node.serves.length)],
    ];
  }
}
