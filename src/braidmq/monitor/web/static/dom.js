/**
 * Elements, made and changed in place. All text goes through `textContent`: what peers name is never read as HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. `attributes.on` holds handlers by their events; true and false stand for attributes without a value. */
export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an element of SVG. */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else {
      attribute(element, name, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an attribute if it is not so already; null, undefined and false take it off. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Set several attributes that differ. */
export function attributes(element, values) {
  for (const [name, value] of Object.entries(values)) attribute(element, name, value);
}

/** Set the text of an element if it is another one. */
export function text(element, value) {
  const wanted = String(value);
  const node = element.firstChild;
  if (node !== null && node === element.lastChild && node.nodeType === Node.TEXT_NODE) {
    if (node.data !== wanted) node.data = wanted;
  } else if (element.textContent !== wanted || element.childElementCount > 0) {
    element.textContent = wanted;
  }
}

/** Show or hide an element. */
export function shown(element, whether) {
  if (element.hidden === whether) element.hidden = !whether;
}

const kept = new WeakMap();

/**
 * Make the children of `parent` those of `items`, in their order: what is new is made, what is gone is removed, all
 * others are patched where they are. `make(item)` returns an element, `patch(element, item)` brings it up to date.
 */
export function sync(parent, items, keyOf, make, patch) {
  const before = kept.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = keyOf(item);
    after.set(key, before.get(key) ?? make(item));
  }
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  for (const [key, element] of before) if (!after.has(key)) element.remove();
  let place = parent.firstChild;
  for (const element of after.values()) {
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const item of items) patch(after.get(keyOf(item)), item);
  kept.set(parent, after);
  if (focused !== null && document.activeElement !== focused && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Remove what stands in an element, also what `sync` has put there. */
export function clear(element) {
  kept.delete(element);
  element.replaceChildren();
}
