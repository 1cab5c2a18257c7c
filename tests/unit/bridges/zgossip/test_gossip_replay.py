"""What real nodes of libczmq have sent is answered as they need it, with the bridge in the place of either side.

What the recorded other side had sent is what is expected, but for tuples that go back to where they came from: a node
of libczmq returns them, a bridge does not. A tuple that the recorded side had published itself comes from the net.
"""

import json
from pathlib import Path

import pytest

from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.limits import PASS_S, PING_S
from braidmq.bridges.zgossip.requests import GET
from tests.support.gossip import World, is_wellformed, tuples

RECORDED = json.loads((Path(__file__).parents[3] / "data" / "zgossip.json").read_text())["transcripts"]
DIALLED = (
    ("01-hello-publish", "b"), ("02-idle", "b"), ("03-duplicate-keys", "b"), ("04-restart", "b"),
    ("06-three-nodes", "b"), ("06-three-nodes", "c"), ("08-ping-keeps-alive", "bridge"),
)  # fmt: skip


LOST = {(b"c", b"from-a")}
"""Came together with another value, which is higher."""


class Replay:
    """A recording of which one side, `place`, is the bridge.

    Attributes:
        wanted: what the recorded side has sent, by hearer.
        got: what the bridge has sent, by hearer.
        said: what each has said to it.
        due: the tuples that the recorded side has told to each, and had not heard from it before.
    """

    def __init__(self, name, place):
        self.world = World()
        self.place = place
        self.wanted, self.got, self.said, self.due = {}, {}, {}, {}
        self.known = set()
        start = self.world.now - RECORDED[name][0][0]
        for at, speaker, hearer, what in RECORDED[name]:
            self.world.advance(max(0.0, start + at - self.world.now))
            if place in (speaker.split("#")[0], hearer.split("#")[0]):
                self.play(speaker, hearer, what)
        self.world.advance(PASS_S)
        self.look()

    def play(self, speaker, hearer, what):
        bridge_speaks = speaker.split("#")[0] == self.place
        other = hearer if bridge_speaks else speaker
        for rows in (self.wanted, self.got, self.said):
            rows.setdefault(other, [])
        due = self.due.setdefault(other, set())
        if what == "+":
            if bridge_speaks:
                self.world.connect(other)
        elif what == "-":
            self.world.close(other)
        elif bridge_speaks:
            self.wanted[other].append(bytes.fromhex(what))
            self.publish(bytes.fromhex(what))
            due.update(set(tuples(self.wanted[other][-1:])) - wellformed_tuples(self.said[other]))
        else:
            self.said[other].append(bytes.fromhex(what))
            self.known.update(wellformed_tuples([bytes.fromhex(what)]))
            self.world.say(other, bytes.fromhex(what))
        self.look()

    def publish(self, frame):
        """Let the bridge's net have a tuple that only the recorded side can have published."""
        for key, value in set(tuples([frame])) - self.known:
            self.known.add((key, value))
            self.world.tell("net", key, value)

    def look(self):
        """Note what the bridge has sent; a node to which it goes answers PING, once it has told what it knows."""
        sent, self.world.sent = self.world.sent, []
        for name, frame in sent:
            self.got.setdefault(name, []).append(frame)
            if frame == wire.PING:
                self.world.say(name, wire.PONG)


def wellformed_tuples(frames):
    return set(tuples([frame for frame in frames if is_wellformed(frame)]))


@pytest.mark.parametrize("name", sorted(set(RECORDED) - {"07-crossing-values"}))
def test_nodes_that_come_are_told_what_they_were_told(name):
    replay = Replay(name, "a")
    assert any(replay.wanted.values())
    for other, due in replay.due.items():
        got = replay.got.get(other, [])
        assert due - LOST <= set(tuples(got)), other
        assert got.count(wire.PONG) == replay.said[other].count(wire.PING)
        assert got.count(wire.INVALID) <= len(wellformed_tuples(replay.said[other]))


@pytest.mark.parametrize(("name", "place"), DIALLED)
def test_nodes_to_whom_the_bridge_goes_are_told_what_they_were_told(name, place):
    replay = Replay(name, place)
    connections = sum(what == "+" and speaker.startswith(place) for _, speaker, _, what in RECORDED[name])
    [(other, wanted)] = replay.wanted.items()
    got = replay.got[other]
    assert got.count(wire.HELLO) == connections + replay.said[other].count(wire.INVALID) >= wanted.count(wire.HELLO)
    assert got.count(wire.PING) >= sum(lasted(name, place)) / PING_S - connections
    assert {wire.read(frame)[0] for frame in got} <= {wire.Kind.HELLO, wire.Kind.PUBLISH, wire.Kind.PING}
    assert replay.due[other] <= set(tuples(got))


def lasted(name, place):
    """Return how long each connection of a place has lasted."""
    began = {}
    for at, speaker, _, what in RECORDED[name]:
        if speaker.startswith(place) and what == "+":
            began[speaker] = at
        elif what == "-" and speaker in began:
            yield at - began.pop(speaker)


def test_tuple_that_the_reference_has_dropped_is_kept():
    replay = Replay("02-idle", "a")
    assert replay.got["b"].count(wire.INVALID) == 0  # the bridge has not forgotten it
    assert replay.world.ask(GET, b"b/late") == b"1"


def test_values_that_cross_come_to_rest():
    for place in "ab":
        replay = Replay("07-crossing-values", place)
        assert len(replay.got.get("b" if place == "a" else "a", ())) <= 20
        assert replay.world.ask(GET, b"c") == b"from-b"
