/** What may be done from a page: each is confirmed, and says what has come of it. */

import { post } from "./api.js";
import { command } from "./command.js";
import { attribute, clear, h, text } from "./dom.js";
import { ms } from "./format.js";

let labels = 0;

/** Return a dialog with a form; `send` does what is asked for, and returns the elements that tell its outcome. */
function dialog({ title, about, fields = [], verb, grave = false, send }) {
  const id = `dialog-${(labels += 1)}`;
  const outcome = h("div", { class: "outcome", role: "status" });
  const go = h("button", { type: "submit", class: grave ? "grave" : "main" }, verb);
  const close = h("button", { type: "button" }, "Cancel");
  const form = h("form", { method: "dialog" }, h("h2", { id }, title), ...about.map((words) => h("p", null, words)), ...fields, outcome, h("div", { class: "buttons" }, close, go));
  const element = h("dialog", { "aria-labelledby": id, class: "dialog" }, form);
  close.addEventListener("click", () => element.close());
  element.addEventListener("close", () => element.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    attribute(go, "disabled", true);
    text(go, "Working …");
    clear(outcome);
    outcome.append(...(await told(send)));
    attribute(go, "disabled", false);
    text(go, "Once more");
    text(close, "Close");
  });
  document.body.append(element);
  element.showModal();
}

async function told(send) {
  try {
    return await send();
  } catch (error) {
    return [h("p", { class: "failed" }, `It was not done: ${error.message}.`)];
  }
}

const answered = ({ ok, text: words }) => [h("p", { class: ok ? "done" : "failed" }, words)];

/** Each action with its name at the monitor. */
const ACTIONS = {
  drain: {
    label: "Drain …",
    open: (name) =>
      dialog({
        title: `Drain ${name}?`,
        about: ["The broker takes no new requests, ends what it has, and stops. Nodes go on over the others.", "It has to be started on its host to come back."],
        verb: "Drain it",
        grave: true,
        send: async () => answered(await post("api/actions/drain", { broker: name })),
      }),
  },
  take_out: {
    label: "Take out …",
    open: (name) =>
      dialog({
        title: `Take ${name} out?`,
        about: ["It gets no new work, and ends what it has. Its own calls go on."],
        verb: "Take it out",
        grave: true,
        send: async () => answered(await post("api/actions/take_out", { node: name })),
      }),
  },
  try: { label: "Test call …", open: testCall },
};

function testCall(name) {
  const payload = h("textarea", { name: "payload", rows: 3, spellcheck: "false", autocomplete: "off" });
  dialog({
    title: `Call ${name}`,
    about: ["One call of this service, as this monitor. Its handler really runs."],
    fields: [h("label", null, "Payload, as text", payload)],
    verb: "Call it",
    send: async () => outcomeOf(await post("api/actions/try", { service: name, payload: payload.value })),
  });
}

/** What has come of a test call: its reply, its path and its times. */
function outcomeOf(answer) {
  const rows = [];
  if (answer.took_ms !== undefined) rows.push(["Took", ms(answer.took_ms)]);
  if (answer.path?.length > 0) rows.push(["Path", answer.path.join(" → ")]);
  for (const [index, attempt] of (answer.attempts ?? []).entries()) {
    rows.push([`Attempt ${index + 1}`, `over ${attempt.broker}: ${attempt.outcome}, ${ms(attempt.took_ms)}`]);
  }
  const list = h("dl", { class: "facts" }, ...rows.flatMap(([term, words]) => [h("dt", null, term), h("dd", null, words)]));
  const reply = typeof answer.reply === "string" ? h("pre", { tabindex: 0, "aria-label": "Reply" }, answer.reply) : null;
  return [...answered(answer), list, ...(reply === null ? [] : [reply])];
}

/** The buttons of the actions that may be taken with a thing, and the commands for what may not. */
export class Actions {
  #buttons = h("div", { class: "buttons" });
  #hint = h("p", { class: "quiet" });
  #names;

  /** `names` are actions; `name` is with what; `commands` are `{about, line}` for what stays on the command line. */
  constructor(names, name, commands = []) {
    this.#names = names;
    for (const action of names) {
      this.#buttons.append(h("button", { type: "button", "data-action": action, on: { click: () => ACTIONS[action].open(name) } }, ACTIONS[action].label));
    }
    const lines = commands.map(({ about, line }) => h("p", null, `${about} `, command(line)));
    this.element = h("section", { class: "panel" }, h("h2", null, "What to do with it"), this.#buttons, this.#hint, ...lines);
  }

  /** Let those be taken that the monitor allows; none while the thing is not there. */
  update({ about }, present) {
    const allowed = new Set(present ? (about?.actions ?? []) : []);
    const missing = this.#names.filter((name) => !allowed.has(name));
    for (const button of this.#buttons.children) attribute(button, "disabled", !allowed.has(button.dataset.action));
    text(this.#hint, missing.length === 0 ? "" : present ? why(about) : "It does not answer now.");
  }
}

function why(about) {
  if (about === null) return "";
  if (!about.token_required) return "Nothing can be done from here: the monitor was started without a token (--token-file).";
  return "The certificate of this monitor does not allow it.";
}

