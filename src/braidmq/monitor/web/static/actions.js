/** What may be done from a page: each is confirmed, and says what has come of it. */

import { post } from "./api.js";
import { command } from "./command.js";
import { attribute, clear, h, shown, text } from "./dom.js";
import { counted, ms } from "./format.js";

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

const answered = ({ ok, text: words }) => h("p", { class: ok ? "done" : "failed" }, words);

const listed = (rows) => h("dl", { class: "facts" }, ...rows.flatMap(([term, words]) => [h("dt", null, term), h("dd", null, words)]));

/** Do something to the net; the sentence that comes back has what each broker has said. */
const operate = async (action, about) => [answered(await post(`api/actions/${action}`, about))];

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
        send: () => operate("drain", { broker: name }),
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
        send: () => operate("take_out", { node: name }),
      }),
  },
  put_back: {
    label: "Put back …",
    open: (name) =>
      dialog({
        title: `Put ${name} back?`,
        about: ["It gets new work again, if it was taken out."],
        verb: "Put it back",
        send: () => operate("put_back", { node: name }),
      }),
  },
  try: { label: "Test call …", open: testCall },
};

function testCall(name, monitor) {
  const payload = h("textarea", { name: "payload", rows: 3, spellcheck: "false", autocomplete: "off" });
  dialog({
    title: `Call ${name}`,
    about: ["One call of this service, as this monitor. Its handler really runs."],
    fields: [h("label", null, "Payload, as text", payload)],
    verb: "Call it",
    send: async () => outcomeOf(await post("api/actions/try", { service: name, payload: payload.value }), monitor),
  });
}

/** What has come of a test call: its reply, its path and its times. */
function outcomeOf(answer, monitor) {
  const rows = [];
  rows.push(["Took", ms(answer.took_ms)]);
  if (answer.ok) rows.push(["Path", `${monitor} → ${answer.broker} → ${answer.worker}`], ["Reply", counted(answer.reply_bytes, "byte")]);
  for (const [index, { broker, outcome, reason, took_ms: took }] of answer.attempts.entries()) {
    const how = outcome === "" ? "not ended" : [outcome, reason].filter(Boolean).join(", ");
    rows.push([`Attempt ${index + 1}`, `over ${broker}: ${how}, ${ms(took)}`]);
  }
  const reply = answer.reply === "" ? [] : [h("pre", { tabindex: 0, "aria-label": "Reply" }, answer.reply)];
  return [answered(answer), listed(rows), ...reply];
}

/** The buttons of the actions that may be taken with a thing, and the commands for what may not. */
export class Actions {
  #buttons = h("div", { class: "buttons" });
  #hint = h("p", { class: "quiet" });
  #names;
  #monitor = "";

  /** `names` are actions; `name` is with what; `commands` are `{about, line}` for what stays on the command line. */
  constructor(names, name, commands = []) {
    this.#names = names;
    for (const action of names) {
      this.#buttons.append(h("button", { type: "button", "data-action": action, on: { click: () => ACTIONS[action].open(name, this.#monitor) } }, ACTIONS[action].label));
    }
    const lines = commands.map(({ about, line }) => h("p", null, `${about} `, command(line)));
    this.element = h("section", { class: "panel" }, h("h2", null, "What to do with it"), this.#buttons, this.#hint, ...lines);
  }

  /** Offer what the monitor does; `possible` is whether it can be done with this thing now. */
  update({ about }, possible) {
    if (about === null) return;
    this.#monitor = about.node;
    const offered = this.#names.filter((name) => about.actions.includes(name));
    for (const button of this.#buttons.children) {
      shown(button, offered.includes(button.dataset.action));
      attribute(button, "disabled", !possible);
    }
    shown(this.#buttons, offered.length > 0);
    text(this.#hint, offered.length === this.#names.length ? "" : why(about));
    shown(this.#hint, this.#hint.textContent !== "");
  }
}

function why(about) {
  return about.token_required
    ? "This monitor offers nothing to be done from here: its certificate does not allow it."
    : "This monitor was started without a token: nothing can be done from here. Start it with --token-file to act.";
}

