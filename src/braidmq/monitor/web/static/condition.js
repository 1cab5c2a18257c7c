/**
 * How each thing of a net is, as findings and brokers tell: a level, and a word for it. Pure.
 *
 * Levels are `well`, `note`, `wrong` and `unknown`. Every level has a colour, a sign and a word, never only a colour.
 */

/** What a finding of a kind says of the thing that it names, in one word or two. */
const WORDS = {
  "no-broker": "not reached",
  "broker-dead": "dead",
  "broker-hangs": "hangs",
  "broker-silent": "silent",
  "broker-stopped": "stopped",
  "broker-unreached": "not reached",
  "broker-refuses": "refuses",
  "brokers-apart": "cut off",
  "broker-flaps": "restarts",
  twin: "runs twice",
  "no-worker": "no worker",
  "worker-dead": "dead",
  "worker-hangs": "hangs",
  "bridge-gone": "gone",
  overload: "overloaded",
  limit: "at a limit",
  "registry-old": "old registry",
  "registry-fork": "other registry",
  clock: "wrong clock",
  "certificate-ended": "expired",
  "certificate-ends": "expires",
  "certificate-soon": "expires soon",
  "broker-drains": "draining",
  "broker-new": "just started",
  slow: "slow",
  "node-silent": "silent",
  "path-lost": "lost a path",
  "node-out": "taken out",
  "service-full": "full",
  refused: "refused",
  faults: "own errors",
  forged: "forged frames",
};

/** Return the findings by the names in them, the worst first, as they come. */
export function byName(findings) {
  const found = new Map();
  for (const finding of findings) {
    for (const name of finding.names) {
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(finding);
    }
  }
  return found;
}

/** Return `{level, word}` of what is found of a name; null if nothing is. */
function ofFindings(findings) {
  if (findings === undefined || findings.length === 0) return null;
  const first = findings.find((finding) => finding.wrong) ?? findings[0];
  return { level: first.wrong ? "wrong" : "note", word: WORDS[first.kind] ?? first.kind };
}

/** Return how a broker is. */
export function ofBroker(broker, found) {
  const named = ofFindings(found.get(broker.name));
  if (named !== null) return named;
  if (!broker.told) return { level: "unknown", word: "not known" };
  return broker.state === "draining" ? { level: "note", word: "draining" } : { level: "well", word: "well" };
}

/** Return how a service is. */
export function ofService(service, found) {
  const named = ofFindings(found.get(service.name));
  if (named !== null) return named;
  return service.workers === 0 ? { level: "unknown", word: "no worker" } : { level: "well", word: "well" };
}

/** Return how a node is. */
export function ofNode(node, found) {
  const named = ofFindings(found.get(node.name));
  if (named !== null) return named;
  if (node.state === "open") return { level: "well", word: "well" };
  return { level: "note", word: node.state };
}

/** Which of two views of a pair is worse, from well to worst. */
const RANKS = ["well", "unknown", "note", "wrong"];

/** Return how one broker sees another: a level. */
export function ofView(view) {
  if (view === undefined) return "unknown";
  if (view.state === "dead" || view.state === "unknown") return "wrong";
  if (view.state === "alive") return view.link === "up" ? "well" : "wrong";
  return "note";
}

/** Return how two brokers see each other: the worse of what those of the two tell that tell anything. */
export function ofPair(here, there) {
  const views = [];
  if (here.told) views.push(ofView(here.sees[there.name]));
  if (there.told) views.push(ofView(there.sees[here.name]));
  if (views.length === 0) return "unknown";
  return views.reduce((worst, level) => (RANKS.indexOf(level) > RANKS.indexOf(worst) ? level : worst));
}

/** Return `{well, total, gaps}` of all pairs of brokers; `gaps` are those that are not well, as `{here, there, level}`. */
export function pairs(brokers) {
  const gaps = [];
  let well = 0;
  for (let first = 0; first < brokers.length; first += 1) {
    for (let second = first + 1; second < brokers.length; second += 1) {
      const level = ofPair(brokers[first], brokers[second]);
      if (level === "well") well += 1;
      else gaps.push({ here: brokers[first].name, there: brokers[second].name, level });
    }
  }
  return { well, total: (brokers.length * (brokers.length - 1)) / 2, gaps };
}

/** The level of the whole net: as told, in the words of this page. */
export const ofNet = (net) => ({ well: "well", degraded: "wrong", unreachable: "wrong" })[net.level] ?? "unknown";

/** How findings are told apart from one look to the next, whatever their durations. */
export const identity = (finding) => `${finding.kind} ${finding.names.join(" ")}`;
