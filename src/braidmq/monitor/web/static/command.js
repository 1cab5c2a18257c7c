/** Commands to copy, and texts that quote them. */

import { h, text } from "./dom.js";
import { parts } from "./format.js";

/** How long a button says that it has copied. */
const SAID_MS = 2000;

/** Return a command with a button that copies it. */
export function command(line) {
  const code = h("code", null, line);
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy the command ${line}` }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copied(line, code);
    text(button, done ? "Copied" : "Press Ctrl+C");
    setTimeout(() => text(button, "Copy"), SAID_MS);
  });
  return h("span", { class: "command" }, code, button);
}

/** Copy a line; where the browser does not allow it, as on plain HTTP, select it, and return false. */
async function copied(line, code) {
  try {
    await navigator.clipboard.writeText(line);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return false;
  }
}

/** Return the nodes of a text in which commands stand in backticks. */
export function quoting(words) {
  return parts(words).map((part) => {
    if (part.command) return command(part.text);
    return part.code ? h("code", null, part.text) : document.createTextNode(part.text);
  });
}
