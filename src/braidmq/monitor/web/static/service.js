/** The page of a service. */

import * as columns from "./columns.js";
import * as condition from "./condition.js";
import { count, ms, rate } from "./format.js";
import { ThingPage } from "./page.js";
import { href } from "./route.js";
import { Table, linked } from "./table.js";

export class ServicePage extends ThingPage {
  #parts;
  #workers;

  constructor(store, name) {
    super(store, name, {
      kind: "Service",
      list: "services",
      actions: ["try"],
      lines: [{ about: "How long calls take over each path:", line: `braidmq ping ${name} --join NAME.braid --count 100` }],
      plotted: true,
    });
    const number = (id, title) => ({ id, title, of: (row) => row[id], show: (row) => count(row[id]), numeric: true });
    this.#parts = new Table({
      caption: "At each broker",
      columns: [linked({ id: "broker", title: "Broker", of: (row) => row.broker }, (row) => href("broker", row.broker)), number("workers", "Workers"), number("credit", "Credit"), number("outstanding", "In flight"), number("queued", "Queued")],
      keyOf: (row) => row.broker,
      hint: "No broker tells of it.",
    });
    this.#workers = new Table({ caption: "Workers", columns: columns.ofNodes(() => this.found), keyOf: (row) => row.name, size: 25, level: (row) => condition.ofNode(row, this.found).level, hint: "Nobody serves it." });
    this.lay(["At each broker", this.#parts], ["Workers", this.#workers]);
  }

  find(net) {
    return net.services.find(({ name }) => name === this.name);
  }

  stateOf(service) {
    return condition.ofService(service, this.found);
  }

  isThere(service) {
    return service?.callable === true;
  }

  fill(net, service) {
    const parts = Object.entries(service?.by_broker ?? {});
    this.#parts.update(parts.map(([broker, part]) => ({ broker, ...part })));
    this.#workers.update(net.nodes.filter((node) => node.serves.includes(this.name)));
  }

  factsOf(service) {
    return [
      ["Workers", count(service.workers)],
      ["Credit", count(service.credit)],
      ["In flight", count(service.outstanding)],
      ["Queued", count(service.queued)],
      ["Replies/s", rate(service.replies_per_s)],
      ["Median", ms(service.p50_ms)],
      ["99 %", ms(service.p99_ms)],
    ];
  }
}
