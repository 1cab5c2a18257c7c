/** The pure modules of the pages. tests/unit/monitor/web/test_static.py runs this. */

import assert from "node:assert/strict";
import { test } from "node:test";

const pages = new URL("../../../src/braidmq/monitor/web/static/", import.meta.url);
const [condition, { EventParser }, format, layout, order, route, series, stream] = await Promise.all(
  ["condition", "events", "format", "layout", "order", "route", "series", "stream"].map((name) => import(new URL(`${name}.js`, pages))),
);

const broker = (name, sees, told = true) => ({ name, told, state: told ? "up" : null, sees });
const up = { state: "alive", link: "up" };
const dead = { state: "dead", link: "waiting" };
const finding = (kind, wrong, ...names) => ({ kind, wrong, names });

test("numbers and times are told as people read them", () => {
  assert.deepEqual([null, 0, 3.14159, 99.96, 12_345.6].map(format.rate), ["–", "0", "3.1", "100", "12,346"]);
  assert.deepEqual([undefined, 0.0123, 1.2345, 12.345, 123.4, 12_345].map(format.ms), ["–", "0.012 ms", "1.2 ms", "12.3 ms", "123 ms", "12.3 s"]);
  assert.deepEqual([-1, 59.9, 61, 3_660, 90_000].map(format.duration), ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
  assert.equal(format.listed(["a", "b", "c"], 2), "a, b and 1 more");
  assert.equal(format.counted(1, "node") + format.counted(2000, "node"), "1 node2,000 nodes");
});

test("a sentence begins with a capital, and a name stays as it is", () => {
  assert.equal(format.sentence("something is wrong"), "Something is wrong");
  assert.equal(format.sentence("b2 is dead", ["b2"]), "b2 is dead");
  assert.equal(format.sentence(""), "");
});

test("commands are told from words that are only named", () => {
  const found = format.parts("Look (`ps`), then: `braidmq broker --join b2.braid`.");
  assert.deepEqual(found.filter(({ code }) => code).map(({ text, command }) => [text, command]), [["ps", false], ["braidmq broker --join b2.braid", true]]);
});

test("an address leads to its page and back, whatever the name", () => {
  for (const name of ["b1", "a/b", "100 %", "#?&", '<img src="x">', "ü"]) {
    assert.deepEqual(route.parse(route.href("node", name)), { page: "node", name });
  }
  for (const page of ["overview", "brokers", "log"]) assert.equal(route.parse(route.href(page)).page, page);
  for (const hash of ["#/none", "#/node", "#/node/", "#/node/%", "#/node/a/b", "#/log/x"]) assert.equal(route.parse(hash).page, "missing");
});

test("events are read whatever the pieces in which they come", () => {
  const text = ": hello\nretry: 5\n\nevent: net\nid: 7\ndata: {\"a\":\ndata:1}\r\n\r\ndata: x\n\n";
  for (let size = 1; size < text.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.feed(text.slice(at, at + size)));
    assert.deepEqual(events, [{ event: "net", data: '{"a":\n1}', id: "7" }, { event: "message", data: "x", id: "7" }], `pieces of ${size}`);
  }
});

test("pauses grow up to a limit, and are random", () => {
  assert.ok(stream.pause(1, 0) < stream.pause(1, 1));
  assert.ok(stream.pause(2, 0.5) > stream.pause(1, 0.5));
  assert.equal(stream.pause(50, 1), stream.pause(1000, 1));
});

test("rows are sorted as people do, and what is not known stands last", () => {
  const rows = [{ n: "b10", v: 1 }, { n: "b2", v: null }, { n: "b1", v: 3 }];
  const names = (of, down) => order.sorted(rows, of, down, ({ n }) => n).map(({ n }) => n);
  assert.deepEqual(names(({ n }) => n, false), ["b1", "b2", "b10"]);
  assert.deepEqual(names(({ v }) => v, true), ["b1", "b10", "b2"]);
  assert.deepEqual(names(({ v }) => v, false), ["b10", "b1", "b2"]);
  assert.deepEqual(order.asBefore(rows, ["b2", "b1"], ({ n }) => n).map(({ n }) => n), ["b2", "b1", "b10"]);
  assert.deepEqual(order.filtered(rows, " B1 0", ({ n }) => n).map(({ n }) => n), ["b10"]);
  assert.deepEqual(order.paged(101, 9, 50), { first: 100, last: 101, page: 2, pages: 3 });
  assert.deepEqual(order.paged(0, 0, 50), { first: 0, last: 0, page: 0, pages: 1 });
});

test("the worst finding says how a thing is", () => {
  const found = condition.byName([finding("slow", false, "b1"), finding("broker-dead", true, "b1", "b2"), finding("never-heard-of", true, "b3")]);
  assert.deepEqual(condition.ofBroker(broker("b1", {}), found), { level: "wrong", word: "dead" });
  assert.deepEqual(condition.ofBroker(broker("b3", {}), found), { level: "wrong", word: "never-heard-of" });
  assert.deepEqual(condition.ofBroker(broker("b4", {}, false), found), { level: "unknown", word: "not known" });
  assert.deepEqual(condition.ofNode({ name: "n", state: "draining" }, found), { level: "note", word: "draining" });
  assert.deepEqual(condition.ofService({ name: "s", workers: 0 }, found), { level: "unknown", word: "no worker" });
});

test("two brokers see each other as the one of them does that sees worse", () => {
  const found = condition.pairs([broker("b1", { b2: up, b3: dead }), broker("b2", { b1: up, b3: { state: "suspect", link: "up" } }), broker("b3", {}, false), broker("b4", {}, false)]);
  assert.equal(found.well, 1);
  assert.equal(found.total, 6);
  const level = (here, there) => found.gaps.find((gap) => gap.here === here && gap.there === there).level;
  assert.deepEqual([level("b1", "b3"), level("b2", "b3"), level("b3", "b4")], ["wrong", "note", "unknown"]);
  assert.equal(condition.ofPair(broker("b1", { b2: up }), broker("b2", { b1: dead })), "wrong");
  assert.equal(condition.ofPair(broker("b1", { b2: { state: "alive", link: "waiting" } }), broker("b2", { b1: up })), "wrong");
});

test("brokers and nodes have places within the picture, and none stands on another", () => {
  for (const [total, width] of [[1, 300], [3, 320], [10, 900], [10, 300], [11, 900], [100, 900]]) {
    const names = Array.from({ length: total }, (_, index) => `b${index}`);
    const picture = layout.brokers(names, width, true);
    const nodes = layout.nodes([{ name: "n1", brokers: names }, { name: "n2", brokers: ["b0", "gone"] }], picture, width);
    const all = [...picture.brokers.values(), ...(picture.kind === "circle" ? nodes.values() : [])];
    for (const { x, y } of all) assert.ok(x >= 0 && x <= width && y >= 0 && y <= picture.height, `${total} at ${width}`);
    assert.equal(new Set(all.map(({ x, y }) => `${Math.round(x)} ${Math.round(y)}`)).size, all.length);
  }
});

test("newer points are added, each once, and the oldest are let go", () => {
  const answer = (first, values) => series.points({ step_s: 1, first_at: first, series: { a: values } });
  const joined = series.joined(answer(100, [1, 2, 3]), answer(101.004, [2, 3, 4, null]), 4);
  assert.deepEqual(joined.values.a, [2, 3, 4, null]);
  assert.equal(joined.times.length, 4);
  assert.deepEqual(series.extremes(joined.values.a), { last: 4, most: 4 });
  assert.deepEqual(series.extremes([null]), { last: null, most: null });
  assert.deepEqual(series.joined(joined, answer(0, [9]), 4), joined);
  assert.deepEqual(series.points({ step_s: 1, first_at: 0, series: {} }).times, []);
});
