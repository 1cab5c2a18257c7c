/** The pages, as the part of the address behind # names them. Pure. */

/** Pages that stand for themselves. */
const LISTS = new Set(["brokers", "services", "nodes", "log"]);

/** Pages of one thing, whose name follows. */
const THINGS = new Set(["broker", "service", "node"]);

/** Return `{page, name}` of a hash; what names no page is `missing`. */
export function parse(hash) {
  const path = hash.replace(/^#?\/?/, "");
  if (path === "") return { page: "overview", name: null };
  const [page, ...rest] = path.split("/");
  if (LISTS.has(page) && rest.length === 0) return { page, name: null };
  if (THINGS.has(page) && rest.length === 1 && rest[0] !== "") {
    const name = decoded(rest[0]);
    if (name !== null) return { page, name };
  }
  return { page: "missing", name: null };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null; // a lone % is no name
  }
}

/** Return the address of a page. */
export function href(page, name = null) {
  if (page === "overview") return "#/";
  return name === null ? `#/${page}` : `#/${page}/${encodeURIComponent(name)}`;
}

/** Return which kind of thing a name is in a net: broker, service or node; null if it is none (any more). */
export function kindOf(net, name) {
  if (net.brokers.some((broker) => broker.name === name)) return "broker";
  if (net.services.some((service) => service.name === name)) return "service";
  if (net.nodes.some((node) => node.name === name)) return "node";
  return null;
}
