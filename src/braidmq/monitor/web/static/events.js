/** Server-sent events: bytes in, events out, as the HTML standard has them. Pure. */

/** A line that is longer than this is no event of the monitor. */
const CHARS_MAX = 32 * 1024 * 1024;

export class EventParser {
  #buffer = "";
  #data = [];
  #event = "";
  #id = null;

  /** Take a piece of text; return the events `{event, data, id}` that it has completed. */
  feed(piece) {
    this.#buffer += piece;
    const lines = this.#buffer.split(/\r\n|\n|\r(?!$)/);
    this.#buffer = lines.pop();
    if (this.#buffer.length > CHARS_MAX) throw new Error("an event is too long");
    const events = [];
    for (const line of lines) {
      if (line === "") this.#end(events);
      else this.#field(line);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment, which keeps the connection alive
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
  }

  #end(events) {
    if (this.#data.length > 0) {
      events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    }
    this.#data = [];
    this.#event = "";
  }
}
