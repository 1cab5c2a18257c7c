/** Signs of levels. Each has a form of its own: none is told apart by colour alone. */

import { attribute, svg } from "./dom.js";

const FORMS = {
  well: { frame: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Z", mark: "M4.8 8.3 7 10.5l4.2-4.8" },
  note: { frame: "M8 1.2 15.4 14.4H.6Z", mark: "M8 6v4M8 12.2v.1" },
  wrong: { frame: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1Z", mark: "m5.5 5.5 5 5m0-5-5 5" },
  unknown: { frame: "M8 1 15 8 8 15 1 8Z", mark: "M5 8h6" },
};

/** Return the sign of a level; the word beside it says the same to those who cannot see it. */
export function sign(level) {
  const icon = svg("svg", { class: "sign", viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" });
  icon.append(svg("path", { class: "sign-frame" }), svg("path", { class: "sign-mark" }));
  show(icon, level);
  return icon;
}

/** Let a sign show another level. */
export function show(icon, level) {
  if (icon.getAttribute("data-level") === level) return;
  attribute(icon, "data-level", level);
  attribute(icon.firstChild, "d", FORMS[level].frame);
  attribute(icon.lastChild, "d", FORMS[level].mark);
}
