/** The sentence of health, which stands above every page. */

import { identity, ofNet } from "./condition.js";
import { attribute, h, shown, text } from "./dom.js";
import { clock, sentence } from "./format.js";
import { show, sign } from "./icons.js";

const AGREE = {
  true: "The brokers agree on who is there.",
  false: "The brokers do not agree on who is there.",
};

export class Health {
  #icon = sign("unknown");
  #words = h("p", { class: "sentence" });
  #note = h("p", { class: "health-note" });
  #announced = h("p", { class: "unseen", role: "status" });
  #substance = null;

  element = h("section", { class: "health", "aria-label": "Health of the net", "data-level": "unknown" });

  constructor() {
    this.element.append(this.#icon, h("div", null, this.#words, this.#note), this.#announced);
  }

  /** Show what the store knows. */
  update({ net, state, heardAt }) {
    shown(this.element, state !== "unauthorised");
    if (net === null) {
      this.#show("unknown", "Waiting for the monitor to tell how the net is", "");
      return;
    }
    const away = state === "waiting";
    const when = `Seen by ${net.node} at ${clock(net.at)}.`;
    const note = net.level === "unreachable" ? when : `${AGREE[net.agree]} ${when}`;
    this.#show(ofNet(net), net.health, away ? `This was at ${clock(heardAt / 1000)}: the monitor has not answered since.` : note);
    attribute(this.element, "data-stale", away);
    this.#announce(net);
  }

  #show(level, words, note) {
    attribute(this.element, "data-level", level);
    show(this.#icon, level);
    text(this.#words, sentence(words));
    text(this.#note, note);
  }

  /** Tell a screen reader the sentence when something else is the matter, and not each second as its durations grow. */
  #announce(net) {
    const wrong = net.findings.filter((finding) => finding.wrong);
    const substance = [net.level, ...wrong.map(identity)].join("\n");
    if (substance === this.#substance) return;
    this.#substance = substance;
    text(this.#announced, sentence(net.health));
  }
}
