/** The columns of the tables of brokers, services and nodes. */

import { badge, change } from "./badge.js";
import * as condition from "./condition.js";
import { attribute, h, text } from "./dom.js";
import { NOTHING, count, duration, listed, ms, rate } from "./format.js";
import { href } from "./route.js";
import { linked } from "./table.js";

/** Names of services of a node, or brokers of one, that are listed in a row. */
const NAMES_MAX = 4;

/** Worst first: how levels are sorted. */
const ORDER = { wrong: 0, note: 1, unknown: 2, well: 3 };

const number = (id, title, of, show, more = {}) => ({ id, title, of, show: (row) => show(of(row)), numeric: true, ...more });

/** A column that tells how the thing of a row is. */
function state(conditionOf) {
  const draw = (cell, row) => {
    const found = conditionOf(row);
    if (cell.firstChild === null) cell.append(badge(found));
    else change(cell.firstChild, found);
  };
  return { id: "state", title: "State", of: (row) => ORDER[conditionOf(row).level], draw };
}

/** A column of how much of what the workers take at once is in use. */
function load() {
  const draw = (cell, row) => {
    if (cell.firstChild === null) {
      const bar = h("meter", { min: 0, max: 1, high: 0.8, optimum: 0, "aria-hidden": "true" });
      cell.append(bar, h("span", null, ""));
    }
    const share = row.credit > 0 ? Math.min(1, row.outstanding / row.credit) : 0;
    attribute(cell.firstChild, "value", share.toFixed(3));
    text(cell.lastChild, `${count(row.outstanding)} of ${count(row.credit)}`);
  };
  const of = (row) => (row.credit > 0 ? row.outstanding / row.credit : null);
  const help = "Requests that are with workers, of those that they take at once";
  return { id: "load", title: "Load", of, draw, numeric: true, help };
}

/** Return the columns of the table of brokers. `found` returns the findings by name. */
export function ofBrokers(found) {
  return [
    linked({ id: "name", title: "Broker", of: (row) => row.name }, (row) => href("broker", row.name)),
    state((row) => condition.ofBroker(row, found())),
    number("nodes", "Nodes", (row) => row.nodes, count),
    number("services", "Services", (row) => row.services, count, { minor: true }),
    number("requests", "Requests/s", (row) => row.requests_per_s, rate),
    number("rejects", "Rejects/s", (row) => row.rejects_per_s, rate, { minor: true }),
    number("queued", "Queued", (row) => row.queued, count),
    number("outstanding", "In flight", (row) => row.outstanding, count, { minor: true }),
    number("uptime", "Up for", (row) => row.uptime_s, duration, { minor: true }),
    { id: "software", title: "Software", of: (row) => row.software, show: (row) => row.software ?? NOTHING, minor: true },
  ];
}

/** Return the columns of the table of services. */
export function ofServices(found) {
  return [
    linked({ id: "name", title: "Service", of: (row) => row.name }, (row) => href("service", row.name)),
    state((row) => condition.ofService(row, found())),
    number("workers", "Workers", (row) => row.workers, count, { minor: true }),
    load(),
    number("queued", "Queued", (row) => row.queued, count),
    number("replies", "Replies/s", (row) => row.replies_per_s, rate, { minor: true }),
    number("p50", "Median", (row) => row.p50_ms, ms, { minor: true, help: "Half of the calls take no longer" }),
    number("p99", "99 %", (row) => row.p99_ms, ms, { minor: true, help: "99 of 100 calls take no longer" }),
  ];
}

/** Return the columns of the table of nodes. */
export function ofNodes(found) {
  return [
    linked({ id: "name", title: "Node", of: (row) => row.name }, (row) => href("node", row.name)),
    state((row) => condition.ofNode(row, found())),
    { id: "serves", title: "Serves", of: (row) => row.serves.join(" "), show: (row) => listed(row.serves, NAMES_MAX), minor: true },
    { id: "brokers", title: "Brokers", of: (row) => row.brokers.join(" "), show: (row) => listed(row.brokers, NAMES_MAX), minor: true },
    number("flight", "Calls in flight", (row) => row.in_flight, count, { help: "Requests of its own that await an answer" }),
    number("silent", "Silent", (row) => row.silent_ms / 1000, duration, { minor: true }),
  ];
}

/** Return the columns of the table of what brokers have refused. */
export function ofRefusals() {
  const told = (id, title, more = {}) => ({ id, title, of: (row) => row[id] || null, show: (row) => row[id] || NOTHING, ...more });
  return [
    told("kind", "Refused"),
    told("broker", "Broker", { minor: true }),
    number("count", "Count", (row) => row.count, count),
    told("who", "Newest"),
    told("where", "From", { minor: true }),
    told("what", "What", { minor: true }),
    number("ago", "When", (row) => row.ago_ms / 1000, (seconds) => `${duration(seconds)} ago`),
  ];
}
