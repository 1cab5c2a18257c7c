/** The picture of a net: its brokers and how they see each other, and its nodes, as long as there are few. */

import * as condition from "./condition.js";
import { attributes, h, shown, svg, sync, text } from "./dom.js";
import { count, counted } from "./format.js";
import { show, sign } from "./icons.js";
import { NODES_DRAWN_MAX, brokers as placed, nodes as around } from "./layout.js";
import { href } from "./route.js";

/** The narrowest picture: below it names would not fit. */
const WIDTH_MIN = 280;

/** Letters of a name that fit beside its sign. */
const CHARS = { circle: 16, rows: 9, node: 14 };

/** Lines between brokers in rows: only between such as answer and do not see each other well, and so many of them. */
const GAPS_DRAWN_MAX = 200;

const cut = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

export class Topology {
  #ways = svg("g", { class: "ways" });
  #nodes = svg("g", { class: "dots" });
  #brokers = svg("g", { class: "brokers" });
  #picture = svg("svg", { class: "topology", role: "group", "aria-label": "The net as a picture" }, this.#ways, this.#nodes, this.#brokers);
  #summary = h("p", { class: "quiet" });
  #empty = h("p", { class: "empty" }, "No broker is known yet.");
  #width = 0;
  #net = null;
  #found = null;

  element = h("div", { class: "topology-frame" }, this.#picture, this.#empty, this.#summary);

  constructor() {
    new ResizeObserver(([{ contentRect }]) => {
      const width = Math.max(WIDTH_MIN, Math.floor(contentRect.width));
      if (width === this.#width) return;
      this.#width = width;
      if (this.#net !== null) this.#draw();
    }).observe(this.element);
  }

  /** Show a net; `found` are its findings by name. */
  update(net, found) {
    [this.#net, this.#found] = [net, found];
    if (this.#width > 0) this.#draw();
  }

  #draw() {
    const { brokers, nodes } = this.#net;
    shown(this.#empty, brokers.length === 0);
    const names = brokers.map((broker) => broker.name);
    const picture = placed(names, this.#width, nodes.length > 0);
    const drawn = picture.kind === "circle" && nodes.length <= NODES_DRAWN_MAX ? nodes : [];
    attributes(this.#picture, { width: this.#width, height: picture.height, viewBox: `0 0 ${this.#width} ${picture.height}`, "data-kind": picture.kind });
    const dots = around(drawn, picture, this.#width);
    const seen = condition.pairs(brokers);
    this.#drawWays(picture, seen, drawn, dots);
    this.#drawNodes(drawn, dots);
    this.#drawBrokers(picture, drawn.length < nodes.length);
    text(this.#summary, summary(this.#net, seen, drawn));
  }

  #drawWays(picture, seen, drawn, dots) {
    const lines = [];
    const levels = new Map(seen.gaps.map((gap) => [`${gap.here} ${gap.there}`, gap.level]));
    if (picture.kind === "circle") {
      const names = [...picture.brokers.keys()];
      names.forEach((here, index) => {
        for (const there of names.slice(index + 1)) {
          lines.push(way(here, there, picture.brokers.get(here), picture.brokers.get(there), levels.get(`${here} ${there}`) ?? "well"));
        }
      });
    } else {
      const told = new Set(this.#net.brokers.filter((broker) => broker.told).map((broker) => broker.name));
      const apart = seen.gaps.filter(({ here, there }) => told.has(here) && told.has(there));
      for (const gap of apart.slice(0, GAPS_DRAWN_MAX)) {
        lines.push(way(gap.here, gap.there, picture.brokers.get(gap.here), picture.brokers.get(gap.there), gap.level));
      }
    }
    for (const node of drawn) {
      for (const broker of node.brokers) {
        const place = picture.brokers.get(broker);
        if (place !== undefined) lines.push(way(node.name, broker, dots.get(node.name), place, "path"));
      }
    }
    sync(this.#ways, lines, (line) => line.key, () => svg("line"), (element, line) => attributes(element, line.shown));
  }

  #drawNodes(drawn, dots) {
    const make = (node) => svg("a", { href: href("node", node.name) }, svg("circle", { r: 5 }), svg("text", { "text-anchor": "middle" }), svg("title"));
    sync(this.#nodes, drawn, (node) => node.name, make, (element, node) => {
      const [circle, label, title] = element.children;
      const { x, y } = dots.get(node.name);
      const how = condition.ofNode(node, this.#found);
      const role = node.serves.length > 0 ? "worker" : "caller";
      attributes(element, { "data-level": how.level, "data-role": role, transform: `translate(${round(x)} ${round(y)})` });
      attributes(circle, { r: role === "worker" ? 6 : 4 });
      attributes(label, { y: y < this.#picture.viewBox.baseVal.height / 2 ? -9 : 17 });
      text(label, cut(node.name, CHARS.node));
      text(title, `${role} ${node.name}: ${how.word}`);
    });
  }

  #drawBrokers(picture, folded) {
    const make = (broker) => {
      const mark = sign("unknown");
      attributes(mark, { width: 16, height: 16 });
      const label = svg("text", { class: "broker-name" });
      return svg("a", { href: href("broker", broker.name) }, svg("rect", { rx: 8 }), mark, label, svg("text", { class: "broker-count" }), svg("title"));
    };
    sync(this.#brokers, this.#net.brokers, (broker) => broker.name, make, (element, broker) => {
      const [box, mark, label, number, title] = element.children;
      const { x, y } = picture.brokers.get(broker.name);
      const how = condition.ofBroker(broker, this.#found);
      const name = cut(broker.name, CHARS[picture.kind]);
      const told = how.level === "well" || how.level === "note" ? (folded ? counted(broker.nodes, "node") : how.word) : how.word;
      const [width, height] = picture.kind === "rows" ? [84, 36] : [Math.max(92, 44 + 7.6 * Math.max(name.length, told.length * 0.85)), 46];
      attributes(element, { "data-level": how.level, transform: `translate(${round(x)} ${round(y)})` });
      attributes(box, { x: -width / 2, y: -height / 2, width, height });
      attributes(mark, { x: -width / 2 + 9, y: -8 });
      show(mark, how.level);
      attributes(label, { x: -width / 2 + 31, y: -3 });
      attributes(number, { x: -width / 2 + 31, y: 12 });
      text(label, name);
      text(number, told);
      text(title, `broker ${broker.name}: ${how.word}, ${counted(broker.nodes, "node")}`);
    });
  }
}

const round = (value) => Math.round(value * 10) / 10;

function way(from, to, here, there, level) {
  const shownAs = { x1: round(here.x), y1: round(here.y), x2: round(there.x), y2: round(there.y), "data-level": level };
  return { key: `${from} ${to}`, shown: shownAs };
}

/** What the picture shows, in words. */
function summary(net, { well, total, gaps }, drawn) {
  if (net.brokers.length === 0) return "";
  const pairs = total === 0 ? "" : gaps.length === 0 ? `All ${counted(total, "pair")} of brokers see each other. ` : `${count(well)} of ${counted(total, "pair")} of brokers see each other. `;
  const folded = drawn.length < net.nodes.length ? `${counted(net.nodes_total, "node")} ${net.nodes_total === 1 ? "is" : "are"} counted at the brokers.` : "Larger dots serve, smaller ones only call.";
  return `${pairs}${net.nodes_total === 0 ? "No node is connected." : folded}`;
}
