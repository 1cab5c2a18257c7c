/** What the monitor is asked, but for its stream. */

/** How long an answer may take: a test call has a deadline of its own below it. */
const TIMEOUT_MS = 30_000;

/** The monitor did not do what was asked of it. `status` is that of HTTP; 0 if no answer has come. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Ask for JSON. */
export const get = (path) => ask(path, {});

/** Do something: JSON goes there and comes back. */
export function post(path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-BraidMQ-Action": "yes" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new Refusal(0, error.name === "TimeoutError" ? "the monitor has not answered in time" : "the monitor does not answer");
  }
  if (!response.ok) throw new Refusal(response.status, await reason(response));
  return response.status === 204 ? null : response.json();
}

/** What the monitor says of an error (RFC 9457); else its status. */
async function reason(response) {
  try {
    const { title, detail } = await response.json();
    const words = [title, detail].filter(Boolean).map((part) => part.replace(/\.$/, ""));
    return words.join(". ") || `the monitor answers ${response.status}`;
  } catch {
    return `the monitor answers ${response.status}`;
  }
}
