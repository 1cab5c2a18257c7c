/** Begins here: the parts that stand above every page, and the page that the address names. */

import { BrokerPage } from "./broker.js";
import { Connection } from "./connection.js";
import { attribute, h, text } from "./dom.js";
import { Health } from "./health.js";
import { list } from "./lists.js";
import { NodePage } from "./node.js";
import { Overview } from "./overview.js";
import { parse } from "./route.js";
import { ServicePage } from "./service.js";
import { Unauthorised } from "./signin.js";
import { Store } from "./store.js";

const PAGES = {
  overview: (store) => new Overview(store),
  broker: (store, name) => new BrokerPage(store, name),
  service: (store, name) => new ServicePage(store, name),
  node: (store, name) => new NodePage(store, name),
  missing: () => new Missing(),
};

/** The page of an address that names none. */
class Missing {
  title = "No such page";
  element = h("section", { class: "panel gate" }, h("h1", { tabindex: -1 }, "No such page"), h("p", null, "The address names no page of this monitor. ", h("a", { href: "#/" }, "To the overview")));
  start() {}
  stop() {}
  update() {}
}

const store = new Store();
const health = new Health();
const connection = new Connection(store);
const main = document.querySelector("main");
const place = h("div", { class: "place" });
let page = null;
let shownAs = null;
let painted = false;

/** Show the page of the address; while a token is wanted, the one that asks for it. */
function turn() {
  const { page: kind, name } = parse(location.hash);
  const wanted = store.state === "unauthorised" ? "unauthorised" : JSON.stringify([kind, name]);
  if (wanted === shownAs) return;
  const first = shownAs === null;
  shownAs = wanted;
  page?.stop();
  page = store.state === "unauthorised" ? new Unauthorised(store) : (PAGES[kind] ?? (() => list(kind, store)))(store, name);
  place.replaceChildren(page.element);
  document.title = `${page.title} · BraidMQ`;
  for (const link of document.querySelectorAll("nav a[data-page]")) attribute(link, "aria-current", belongs(kind, link.dataset.page) ? "page" : null);
  show();
  page.start();
  if (!first) {
    scrollTo(0, 0);
    if (store.state !== "unauthorised") page.element.querySelector("h1")?.focus({ preventScroll: true });
  }
}

const belongs = (kind, of) => kind === of || `${kind}s` === of;

function show() {
  if (store.about !== null) text(foot, `Monitor ${store.about.node}, BraidMQ ${store.about.version}`);
  health.update(store);
  connection.update(store);
  attribute(place, "hidden", store.net === null && store.state !== "unauthorised");
  if (store.net === null) return;
  page.update(store);
  if (!painted) {
    painted = true;
    requestAnimationFrame(() => performance.mark("braidmq-shown"));
  }
}

const foot = document.querySelector("#foot");
document.querySelector("#corner").append(connection.corner);
main.replaceChildren(connection.away, health.element, place);
store.listen(() => {
  turn();
  show();
});
document.querySelector("#skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part of the address behind # names the page
  main.focus();
});
addEventListener("hashchange", turn);
turn();
store.start();
