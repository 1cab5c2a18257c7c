/** Where the brokers and nodes of a net stand in its picture. Pure. */

/** So many brokers stand in a circle, in which lines between all of them can be followed; more stand in rows. */
export const CIRCLE_BROKERS_MAX = 10;

/** So many nodes are drawn one by one; more are told as a count at each broker. */
export const NODES_DRAWN_MAX = 40;

/** The width and height of a broker in rows. */
const TILE = { width: 92, height: 46 };

/** From the middle of a broker in the circle to that of the next one, at least. */
const APART = 112;

/** Room around the middles of the brokers for themselves, and for the nodes. */
const MARGIN = { self: 52, nodes: 96 };

/** The height of a picture with a broker and nothing else. */
const LONELY = 120;

/** Return `{kind, height, brokers: Map(name -> {x, y}), radius}` for a picture of a width; `surrounded` if nodes are drawn as well. */
export function brokers(names, width, surrounded) {
  const least = names.length < 2 ? 0 : APART / 2 / Math.sin(Math.PI / names.length);
  const fits = names.length <= CIRCLE_BROKERS_MAX && least <= width / 2 - MARGIN.self;
  return fits ? circle(names, width, least, surrounded) : rows(names, width);
}

function circle(names, width, least, surrounded) {
  const wished = Math.min(400, Math.max(280, width * 0.6));
  const height = names.length < 2 && !surrounded ? LONELY : Math.max(wished, 2 * (least + MARGIN.nodes));
  const radius = names.length < 2 ? 0 : Math.max(least, Math.min(height, width) / 2 - MARGIN.nodes);
  const places = new Map();
  names.forEach((name, index) => {
    const turn = (2 * Math.PI * index) / names.length - Math.PI / 2;
    places.set(name, { x: width / 2 + radius * Math.cos(turn), y: height / 2 + radius * Math.sin(turn), turn });
  });
  return { kind: "circle", height, radius, brokers: places };
}

function rows(names, width) {
  const columns = Math.max(1, Math.floor(width / TILE.width));
  const gap = width / columns;
  const places = new Map();
  names.forEach((name, index) => {
    const row = Math.floor(index / columns);
    places.set(name, { x: gap * (index % columns) + gap / 2, y: TILE.height * row + TILE.height / 2 + 6, turn: 0 });
  });
  return { kind: "rows", height: Math.ceil(names.length / columns) * TILE.height + 12, radius: 0, brokers: places };
}

/** Return the places of nodes around a circle of brokers, each as near to its brokers as the others leave room. */
export function nodes(found, picture, width) {
  const reach = Math.min(picture.height, width) / 2 - 16;
  const across = { x: Math.min(width / 2 - 24, reach * 1.6), y: reach };
  const wishes = found
    .map((node) => ({ name: node.name, turn: wish(node, picture) }))
    .sort((a, b) => a.turn - b.turn || (a.name < b.name ? -1 : 1));
  const places = new Map();
  const gap = (2 * Math.PI) / wishes.length;
  const start = wishes.length === 0 ? 0 : best(wishes, gap);
  wishes.forEach(({ name }, index) => {
    const turn = start + gap * index;
    places.set(name, { x: width / 2 + across.x * Math.cos(turn), y: picture.height / 2 + across.y * Math.sin(turn) });
  });
  return places;
}

/** Where a node would like to stand: in the direction of the middle of its brokers, else of its name. */
function wish(node, picture) {
  let [x, y] = [0, 0];
  for (const name of node.brokers) {
    const place = picture.brokers.get(name);
    if (place !== undefined) [x, y] = [x + Math.cos(place.turn), y + Math.sin(place.turn)];
  }
  if (Math.hypot(x, y) > 0.01) return Math.atan2(y, x);
  let sum = 0;
  for (const char of node.name) sum = (sum * 31 + char.codePointAt(0)) % 360;
  return (sum / 180) * Math.PI - Math.PI;
}

/** The turn of the first node with which all are nearest to their wishes, if they stand at equal distances. */
function best(wishes, gap) {
  const offsets = wishes.map(({ turn }, index) => turn - gap * index);
  const x = offsets.reduce((sum, offset) => sum + Math.cos(offset), 0);
  const y = offsets.reduce((sum, offset) => sum + Math.sin(offset), 0);
  return Math.atan2(y, x);
}
