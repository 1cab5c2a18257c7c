/** What the page knows: the newest snapshot, the log, who may do what, and whether the monitor is there. */

import { Refusal, get, post } from "./api.js";
import { Stream } from "./stream.js";

/** Events of the log that are kept: the monitor has the older ones. */
export const EVENTS_MAX = 1000;

/** How many events are asked for at once. */
const EVENTS_ASKED = 50;

export class Store {
  /** The newest snapshot; null before the first one. */
  net = null;
  /** What the monitor says of itself; null before that. */
  about = null;
  /** Events of the log, the newest first. */
  log = [];
  /** Whether older ones may be asked for. */
  logIsWhole = false;
  /** `connecting`, `live`, `waiting` or `unauthorised`. */
  state = "connecting";
  /** When the next connection is tried, in milliseconds, while `waiting`. */
  until = null;
  /** When the last snapshot has come, in milliseconds. */
  heardAt = null;

  #listeners = new Set();
  #stream = new Stream((message) => this.#take(message));
  #due = false;

  /** Call `listener` after changes, once for all that come before the next picture. Returns what ends it. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ask for everything, and go on hearing. */
  async start() {
    document.addEventListener("visibilitychange", () => this.#changed());
    await this.#open();
  }

  async #open() {
    this.#stream.start();
    await Promise.all([this.#learn("about", "api/about"), this.#first(), this.older()]);
  }

  /** Try to connect now. */
  retry() {
    this.#stream.start();
  }

  /** Sign in by a token. Throws a Refusal if it is not the right one. */
  async signIn(token) {
    await post("api/login", { token });
    await this.#open();
  }

  async signOut() {
    await post("api/logout");
    this.net = null;
    this.log = [];
    this.logIsWhole = false;
    await this.#open();
  }

  /** Ask for older events of the log. */
  async older() {
    const last = this.log.at(-1);
    const before = last === undefined ? "" : `before=${last.id}&`;
    const answer = await this.#quietly(get(`api/log?${before}limit=${EVENTS_ASKED}`));
    if (answer === null) return;
    this.#keep(answer.events);
    this.logIsWhole = answer.events.length < EVENTS_ASKED || this.log.length >= EVENTS_MAX;
    this.#changed();
  }

  async #first() {
    const net = await this.#quietly(get("api/net"));
    if (net !== null && this.net === null) {
      this.net = net;
      this.heardAt = Date.now();
      this.#changed();
    }
  }

  async #learn(field, path) {
    const answer = await this.#quietly(get(path));
    if (answer !== null) this[field] = answer;
    this.#changed();
  }

  /** What an answer holds; null if there is none: the stream tells why, and tries again. */
  async #quietly(asked) {
    try {
      return await asked;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 401) this.#become("unauthorised");
      return null;
    }
  }

  #take({ state, until, event, data }) {
    if (state !== undefined) this.#become(state, until);
    if (event === "net") {
      this.net = data;
      this.heardAt = Date.now();
    } else if (event === "log") {
      this.#keep([data]);
    }
    this.#changed();
  }

  #become(state, until = null) {
    if (state === "live" && this.state === "waiting") this.#learn("about", "api/about"); // it may be another one by now
    if (state === "connecting" && this.state === "waiting") return; // it is told to be away until it is back
    if (state === "unauthorised") {
      this.#stream.stop();
      this.net = null;
      this.log = [];
    }
    this.state = state;
    this.until = until;
    this.#changed();
  }

  #keep(events) {
    const known = new Set(this.log.map((event) => event.id));
    const all = [...this.log, ...events.filter((event) => !known.has(event.id))];
    this.log = all.sort((a, b) => b.id - a.id).slice(0, EVENTS_MAX);
  }

  #changed() {
    if (this.#due || document.hidden) return; // nobody looks: it is shown when somebody does
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      for (const listener of [...this.#listeners]) listener(this);
    });
  }
}
