/** Whether the monitor is there, when it is tried again, and who is signed in. */

import { h, shown, text } from "./dom.js";
import { clock, duration } from "./format.js";

/** How often the time to the next try is told. */
const TICK_MS = 500;

export class Connection {
  #store;
  #lamp = h("span", { class: "lamp" });
  #sign = h("button", { type: "button", hidden: true }, "Sign out");
  #words = h("p", { role: "status" });
  #count = h("p", { "aria-hidden": "true" });
  #told = null;

  constructor(store) {
    this.#store = store;
    this.#sign.addEventListener("click", () => store.signOut());
    this.corner = h("div", { class: "corner" }, this.#lamp, this.#sign);
    const now = h("button", { type: "button", on: { click: () => store.retry() } }, "Try now");
    this.away = h("div", { class: "away", hidden: true }, this.#words, this.#count, now);
    setInterval(() => this.#tick(), TICK_MS);
  }

  update({ state, about, heardAt }) {
    const word = { connecting: "connecting", live: "live", waiting: "disconnected", unauthorised: "signed out" }[state];
    this.#lamp.dataset.state = state;
    text(this.#lamp, word);
    shown(this.#sign, state !== "unauthorised" && about?.token_required === true && about.authorised);
    shown(this.away, state === "waiting");
    if (state !== this.#told) {
      this.#told = state;
      const then = heardAt === null ? "" : ` What is shown is from ${clock(heardAt / 1000)}.`;
      text(this.#words, state === "waiting" ? `The monitor does not answer.${then}` : "");
    }
    this.#tick();
  }

  #tick() {
    const { state, until } = this.#store;
    if (state !== "waiting") return;
    const left = (until - Date.now()) / 1000;
    text(this.#count, left > 0 ? `Next try in ${duration(Math.ceil(left))}.` : "Trying …");
  }
}
