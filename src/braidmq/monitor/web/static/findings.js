/** What is wrong, and what is worth a note: since when, whom it befalls, and what to do. */

import { identity } from "./condition.js";
import { attribute, h, shown, sync, text } from "./dom.js";
import { moment, sentence } from "./format.js";
import { quoting } from "./command.js";
import { sign } from "./icons.js";
import { href, kindOf } from "./route.js";

/** Names that are linked one by one. */
const NAMES_MAX = 12;

/** Findings that are shown at once: more of them have a common reason, which is among the first. */
const SHOWN_MAX = 30;

export class Findings {
  #heading = h("h2", null, "What is wrong");
  #list = h("ul", { class: "findings" });
  #more = h("p", { class: "quiet" });

  element = h("section", { class: "panel" }, this.#heading, this.#list, this.#more);

  /** Show findings of a net; nothing, if there are none. */
  update(findings, net) {
    shown(this.element, findings.length > 0);
    text(this.#heading, findings.some((finding) => finding.wrong) ? "What is wrong" : "Worth a note");
    sync(this.#list, findings.slice(0, SHOWN_MAX), identity, (finding) => item(finding, net), (element, finding) => patch(element, finding, net));
    shown(this.#more, findings.length > SHOWN_MAX);
    text(this.#more, findings.length > SHOWN_MAX ? `and ${findings.length - SHOWN_MAX} more` : "");
  }
}

function item(finding, net) {
  const level = finding.wrong ? "wrong" : "note";
  const names = h("p", { class: "finding-who" }, "Concerns ");
  finding.names.slice(0, NAMES_MAX).forEach((name, index) => {
    const kind = kindOf(net, name);
    names.append(index > 0 ? ", " : "", kind === null ? h("b", null, name) : h("a", { href: href(kind, name), class: "name" }, name));
  });
  if (finding.names.length > NAMES_MAX) names.append(` and ${finding.names.length - NAMES_MAX} more`);
  const remedy = h("div", { class: "remedy" }, h("h4", null, "What to do"), h("p", null, ...quoting(finding.remedy)));
  return h(
    "li",
    { class: "finding", "data-level": level },
    sign(level),
    h("div", null, h("div", { class: "finding-head" }, h("h3"), h("p", { class: "finding-since" })), h("p", { class: "finding-why" }), names, remedy),
  );
}

function patch(element, finding, net) {
  const [{ children: [head, since] }, why] = element.children[1].children;
  const level = finding.wrong ? "Wrong" : "Note";
  text(head, sentence(finding.what, finding.names));
  attribute(head, "aria-label", `${level}: ${finding.what}`);
  text(why, finding.why === "" ? "" : `${sentence(finding.why, finding.names)}.`);
  shown(why, finding.why !== "");
  text(since, finding.since === null ? "" : `since ${moment(finding.since, net.at)}`);
}
