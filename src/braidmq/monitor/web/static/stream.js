/**
 * The stream of the monitor: snapshots and events of the log, for as long as the page is there.
 *
 * It is read by `fetch`, as `EventSource` tells neither that a token is wanted nor when it will try again, and forgets
 * where it was if it is closed.
 */

import { EventParser } from "./events.js";

/** The first pause after a connection has failed; each further one is twice as long. */
const PAUSE_MS_MIN = 500;

/** The longest pause: a monitor that was restarted is to be seen soon. */
const PAUSE_MS_MAX = 15_000;

/** A snapshot comes each second; a stream that is silent for so long is a dead connection. */
const SILENT_MS_MAX = 15_000;

/** Return the pause before a try, a random part of the whole, so that many pages do not come at once. Pure. */
export function pause(failures, random) {
  const whole = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** (failures - 1));
  return whole / 2 + (whole / 2) * random;
}

export class Stream {
  #failures = 0;
  #lastId = null;
  #timer = null;
  #abort = null;
  #told;

  /** `told` is called with `{event, data}`, and with `{state}`: `connecting`, `live`, `waiting` (`until`, in milliseconds), `unauthorised`. */
  constructor(told) {
    this.#told = told;
  }

  /** Connect now, also if the next try is due later. */
  start() {
    this.stop();
    this.#connect();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #connect() {
    const abort = new AbortController();
    this.#abort = abort;
    this.#told({ state: "connecting" });
    try {
      await this.#read(abort);
      throw new Error("the stream has ended");
    } catch (error) {
      if (this.#abort !== abort) return; // it was stopped, or started anew
      if (error instanceof Unauthorised) this.#told({ state: "unauthorised" });
      else this.#again();
    } finally {
      abort.abort();
    }
  }

  async #read(abort) {
    let watch = setTimeout(() => abort.abort(), SILENT_MS_MAX);
    try {
      const headers = { Accept: "text/event-stream" };
      if (this.#lastId !== null) headers["Last-Event-ID"] = this.#lastId;
      const response = await fetch("api/stream", { headers, cache: "no-store", signal: abort.signal });
      if (response.status === 401) throw new Unauthorised();
      if (!response.ok) throw new Error(`the monitor answers ${response.status}`);
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watch);
        watch = setTimeout(() => abort.abort(), SILENT_MS_MAX);
        for (const { event, data, id } of parser.feed(value)) {
          if (id !== null) this.#lastId = id;
          if (this.#failures !== 0) this.#failures = 0;
          this.#told({ state: "live" });
          this.#told({ event, data: JSON.parse(data) });
        }
      }
    } finally {
      clearTimeout(watch);
    }
  }

  #again() {
    this.#failures += 1;
    const wait = pause(this.#failures, Math.random());
    this.#told({ state: "waiting", until: Date.now() + wait });
    this.#timer = setTimeout(() => this.#connect(), wait);
  }
}

class Unauthorised extends Error {}
