"""What bytes make of messages of zgossip, and what nodes make of its bridge that say what they like.

What is read is written as the same; the bridge bears everything, and says nothing that ends a node of libczmq.
"""

from braidmq.bridges.zgossip import wire
from fuzz.script import Script
from tests.support.gossip import KEYS, World

BYTES_MAX = 1_000

NODES = ("p", "q", "r")
KEY_NAMES = (b"k", b"braidmq/shop/service/pricing/bridge-1", b"braidmq/shop/x", b"\xff", b"k" * 255)
WAITS_S = (0.05, 0.2, 1.0, 5.0, 61.0)


def _read(frame: bytes) -> bool:
    try:
        kind, key, value = wire.read(frame)
    except wire.Malformed:
        return False
    if kind is wire.Kind.PUBLISH:
        assert wire.read(wire.publish(key, value)) == (kind, key, value), "something else is written"
    else:
        assert len(frame) == len(wire.HELLO), "bytes behind a message"
    return True


def one(data: bytes) -> int:
    """Read some bytes as a message, and let nodes and a net do what they say, one thing after the other.

    Returns:
        How many messages of zgossip there were.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    said = int(_read(data))
    script, world = Script(data), World(put_prefix=b"k")
    while not script.over:
        act, name = script.number(9), NODES[script.number(len(NODES))]
        if act == 0:
            frame = script.some(60)
            said += _read(frame)
            world.say(name, frame)
        elif act == 1:
            said += 1
            value = script.some(20).replace(b"\0", b"")
            world.tell(name, KEY_NAMES[script.number(len(KEY_NAMES))], value)
        elif act == 2:
            said += 1
            world.say(name, (wire.HELLO, wire.PING, wire.PONG, wire.INVALID)[script.number(4)])
        elif act == 3:
            world.close(name)
            world.connect(name)
        elif act == 4:
            world.close(name)
            world.unreachable.discard(name)
        elif act == 5:
            world.unreachable.add(name)
        elif act == 6:
            world.know(
                {"pricing": script.number(3)}, brokers={"b1": ["tcp://b1:1"]}, bridges={"zgossip": ["tcp://h:1"]}
            )
        elif act == 7:
            world.ask(("zgossip.get", "zgossip.put", "other")[script.number(3)], script.some(40))
        else:
            world.list_members([name] if script.number(2) else None)
            world.advance(WAITS_S[script.number(len(WAITS_S))])
    for name in NODES:
        world.close(name)
    world.advance(WAITS_S[-1])
    return said


SEEDS = (
    wire.publish(b"k", b"v"),
    wire.publish(*next(iter(KEYS.facts({"zgossip": ["tcp://h:1"]}, {}, {"pricing": 2}).items()))),
    bytes((2, 0, 0, 1, 0, 1, 118, 0, 6, 0, 1, 8, 0, 1, 2, 3, 1, 2, 1, 2, 8, 2, 0, 3)),
    bytes((7, 0, 0, 1, 107, 7, 0, 1, 4, 107, 0, 118, 118, 1, 1, 2, 97, 98, 1, 8, 0, 0, 4)),
)
"""Tuples; nodes that say HELLO and publish; a member that asks, and publishes."""
