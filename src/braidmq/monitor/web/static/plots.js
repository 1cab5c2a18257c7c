/** Plots over the last hour or day, of the net or of one thing of it. */

import { Refusal, get } from "./api.js";
import { attribute, h, shown, text } from "./dom.js";
import { NOTHING, clock, count, minute, ms, rate, short } from "./format.js";
import { POINTS_MAX, extremes, joined, points } from "./series.js";

/** How often newer points are asked for, by span. */
const EVERY_MS = { hour: 2000, day: 60_000 };

const HEIGHT = 150;

/** A plot shows at least so many seconds, though there may be fewer points at first. */
const SECONDS_MIN = 300;

/** What is plotted together. Lines are told apart by their dashes as well as by their colours. */
const PLOTS = [
  { title: "Calls per second", show: rate, lines: [["requests_per_s", "Requests"], ["replies_per_s", "Replies"], ["rejects_per_s", "Rejects"]] },
  { title: "Time of a call, in milliseconds", show: ms, lines: [["p50_ms", "Median"], ["p99_ms", "99 %"]] },
  { title: "Requests that wait for a worker", show: count, lines: [["queued", "Queued"]] },
  { title: "Requests that are with workers", show: count, lines: [["outstanding", "In flight"]] },
];

const DASHES = [[], [6, 3], [2, 3]];

/** uPlot, which the page loads behind its own modules: the first screen does not wait for it. */
const library = new Promise((resolve) => {
  if (document.readyState === "complete") resolve(globalThis.uPlot);
  else addEventListener("load", () => resolve(globalThis.uPlot), { once: true });
});

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class Plot {
  #plot = null;
  #data = null;
  #values;
  #frame = h("div", { class: "plot-frame", "aria-hidden": "true" });
  #spoken = h("p", { class: "unseen" });

  constructor({ title, show, lines }, group) {
    Object.assign(this, { title, format: show, lines, group });
    this.#values = lines.map(() => h("b", null, NOTHING));
    const legend = lines.map(([, name], index) => h("span", { class: "legend", "data-line": index + 1 }, h("i", { "aria-hidden": "true" }), `${name} `, this.#values[index]));
    this.element = h("figure", { class: "plot" }, h("figcaption", null, h("h3", null, title), h("p", { class: "legends" }, ...legend)), this.#frame, this.#spoken);
  }

  draw({ times, values }, UPlot) {
    this.#data = [times, ...this.lines.map(([name]) => values[name] ?? times.map(() => null))];
    if (this.#plot === null) this.#make(UPlot);
    else this.#plot.setData(this.#data);
    this.#tell();
  }

  /** Forget the picture: its colours or its size have changed. */
  forget() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  #make(UPlot) {
    const line = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const series = this.lines.map(([, name], index) => ({ label: name, stroke: colour(`--line-${index + 1}`), width: 1.75, dash: DASHES[index], points: { show: false } }));
    const options = {
      width: Math.max(200, this.#frame.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: this.group } },
      scales: { x: { range: (_, first, last) => [Math.min(first, last - SECONDS_MIN), last] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
      axes: [
        { ...line, space: 70, size: 28, values: (_, splits) => splits.map(minute) },
        { ...line, size: 46, values: (_, splits) => splits.map(short) },
      ],
      series: [{}, ...series],
      hooks: { setCursor: [() => this.#tell()] },
    };
    this.#plot = new UPlot(options, this.#data, this.#frame);
  }

  /** Write the values under the cursor, else the newest ones. */
  #tell() {
    const index = this.#plot?.cursor.idx ?? null;
    const spoken = [];
    this.lines.forEach(([, name], line) => {
      const { last, most } = extremes(this.#data[line + 1]);
      text(this.#values[line], this.format(index === null ? last : this.#data[line + 1][index]));
      spoken.push(`${name}: ${this.format(last)} now, ${this.format(most)} at most`);
    });
    const first = this.#data[0].at(0);
    text(this.#spoken, first === undefined ? "Nothing was measured yet." : `Since ${clock(first)}: ${spoken.join("; ")}.`);
  }
}

export class Plots {
  #of;
  #span = "hour";
  #points = null;
  #plots;
  #buttons;
  #timer = null;
  #problem = h("p", { class: "empty" });
  #asked = 0;
  #width = 0;
  #widths;
  #scheme;
  #recolour = () => this.#redraw();

  /** `of` is what is plotted: `net`, `broker:NAME` or `service:NAME`. */
  constructor(of) {
    this.#of = of;
    this.#plots = PLOTS.map((plot) => new Plot(plot, of));
    this.#buttons = ["hour", "day"].map((span) => h("button", { type: "button", on: { click: () => this.#choose(span) } }, `Last ${span}`));
    const spans = h("div", { class: "choice", role: "group", "aria-label": "Time span of the plots" }, ...this.#buttons);
    const head = h("div", { class: "panel-head" }, h("h2", null, "Over time"), spans);
    this.element = h("section", { class: "panel" }, head, this.#problem, h("div", { class: "plots" }, ...this.#plots.map((plot) => plot.element)));
    this.#widths = new ResizeObserver(([{ contentRect }]) => this.#fit(contentRect.width));
    this.#scheme = matchMedia("(prefers-color-scheme: dark)");
  }


  start() {
    this.#widths.observe(this.element);
    this.#scheme.addEventListener("change", this.#recolour);
    this.#choose(this.#span);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#widths.disconnect();
    this.#scheme.removeEventListener("change", this.#recolour);
    for (const plot of this.#plots) plot.forget();
  }

  #choose(span) {
    this.#span = span;
    this.#points = null;
    this.#buttons.forEach((button, index) => attribute(button, "aria-pressed", ["hour", "day"][index] === span ? "true" : "false"));
    this.#ask();
  }

  async #ask() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    const asked = this.#asked;
    try {
      if (!document.hidden) await this.#more(asked);
      if (asked === this.#asked) shown(this.#problem, false);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (asked !== this.#asked) return;
      shown(this.#problem, true);
      text(this.#problem, error.status === 404 ? "Nothing was measured of it yet." : `No newer points: ${error.message}.`);
    }
    if (asked === this.#asked) this.#timer = setTimeout(() => this.#ask(), EVERY_MS[this.#span]);
  }

  async #more(asked) {
    const last = this.#points?.times.at(-1);
    const after = last === undefined ? "" : `&after=${last}`;
    const path = `api/history?of=${encodeURIComponent(this.#of)}&span=${this.#span}${after}`;
    const [answer, UPlot] = await Promise.all([get(path), library]);
    if (asked !== this.#asked) return;
    const fresh = points(answer);
    this.#points = this.#points === null ? fresh : joined(this.#points, fresh, POINTS_MAX[this.#span]);
    for (const plot of this.#plots) plot.draw(this.#points, UPlot);
  }

  #fit(width) {
    if (width === this.#width) return;
    this.#width = width;
    this.#redraw();
  }

  async #redraw() {
    if (this.#points === null) return;
    const UPlot = await library;
    for (const plot of this.#plots) {
      plot.forget();
      plot.draw(this.#points, UPlot);
    }
  }
}
