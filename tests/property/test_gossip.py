"""Whatever nodes say to the zgossip bridge, in whatever order: no exception, bounded state, allowed answers.

And in the end, whoever reads and has not been cut off holds the same as the bridge.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.requests import GET, PUT
from tests.support.examples import TIMES
from tests.support.gossip import World, is_wellformed, key_of, tuples

COME = ("p", "q", "r")
REMOTES = ("s", "t")
KEYS = [
    b"k", b"l", b"apps/a", b"\xff" * 255, key_of("x"), key_of("bridge/bridge-1/zgossip", "net"),
    key_of("service/pricing/bridge-1"), key_of("service/orders/bridge-1"), key_of("bridge/bridge-1/zgossip"),
    key_of("bridge/other/http"), key_of("service/pricing/other"),
]  # fmt: skip
VALUES = [b"", b"1", b"2", b"tcp://x:1", b"\xff"]
BARE = [wire.HELLO, wire.PING, wire.PONG, wire.INVALID]

comers = st.sampled_from(COME)
remotes = st.sampled_from(REMOTES)
anybody = st.sampled_from((*COME, *REMOTES))
keys = st.sampled_from(KEYS)
values = st.sampled_from(VALUES)
published = st.builds(wire.publish, keys, values)
broken = st.builds(lambda frame, at, more: frame[:at] + more, published, st.integers(0, 30), st.binary(max_size=3))
frames = st.one_of(st.sampled_from(BARE), published, broken, st.binary(max_size=12))


class Gossip(RuleBasedStateMachine):
    """Three nodes that come, and two to which the bridge goes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(put_prefix=b"apps/")
        self.said: dict[str, list[bytes]] = {}
        self.sent: dict[str, list[bytes]] = {}
        self.views: dict[str, dict[bytes, bytes]] = {}
        self.read_to = 0

    def hear(self) -> None:
        """Take in what has been sent."""
        for name, frame in self.world.sent[self.read_to :]:
            self.sent.setdefault(name, []).append(frame)
            self.views.setdefault(name, {}).update(tuples([frame]))
        self.read_to = len(self.world.sent)

    def tell(self, name: str, message: list[bytes]) -> None:
        if name in REMOTES and name not in self.world.peers:
            return
        if len(message) == 1 and is_wellformed(message[0]):
            self.said.setdefault(name, []).append(message[0])
            self.views.setdefault(name, {}).update(tuple_of(message[0]))
        self.world.say(name, *message)
        self.hear()

    @rule(name=anybody, message=st.lists(frames, min_size=1, max_size=2))
    def anything(self, name: str, message: list[bytes]) -> None:
        self.tell(name, message)

    @rule(name=anybody, key=keys, value=values)
    def publish(self, name: str, key: bytes, value: bytes) -> None:
        self.tell(name, [wire.publish(key, value)])

    @rule(name=comers)
    def greet(self, name: str) -> None:
        self.tell(name, [wire.HELLO])

    @rule(name=remotes)
    def connect(self, name: str) -> None:
        if name not in self.world.peers:
            self.world.connect(name)
            self.hear()
            self.tell(name, [wire.PONG])

    @rule(name=anybody)
    def close(self, name: str) -> None:
        self.world.close(name)
        self.hear()
        for rows in (self.said, self.sent):
            rows.pop(name, None)
        self.views.pop(name, None)
        self.world.unreachable.discard(name)

    @rule(name=anybody)
    def stop_reading(self, name: str) -> None:
        self.world.unreachable.add(name)

    @rule(name=anybody)
    def read_again(self, name: str) -> None:
        self.world.unreachable.discard(name)

    @rule(services=st.dictionaries(st.sampled_from(["pricing", "orders"]), st.integers(0, 3)), up=st.booleans())
    def change(self, services: dict[str, int], up: bool) -> None:
        self.world.know(services, bridges={"zgossip": ["tcp://b:1"] if up else []})
        self.hear()

    @rule(names=st.none() | st.sets(st.sampled_from(["other", "bridge-1"])))
    def list_members(self, names: set[str] | None) -> None:
        self.world.list_members(names)
        self.hear()

    @rule(service=st.sampled_from([GET, PUT]), payload=keys | st.builds(lambda k, v: k + b"\0" + v, keys, values))
    def ask(self, service: str, payload: bytes) -> None:
        self.world.ask(service, payload)
        self.hear()

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 1.0, 20.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.hear()

    @precondition(lambda self: self.world.core.gauges["own_tuples"] > 1)
    @rule()
    def drain(self) -> None:
        self.world.core.drain(self.world.now)
        self.world.settle()
        self.hear()

    @invariant()
    def each_is_told_what_its_role_allows(self) -> None:
        for name, sent in self.sent.items():
            kinds = [wire.read(frame)[0] for frame in sent]
            said = [frame[2] for frame in self.said.get(name, [])]
            if name in REMOTES:
                assert set(kinds) <= {wire.Kind.HELLO, wire.Kind.PING, wire.Kind.PUBLISH}
            else:
                assert set(kinds) <= {wire.Kind.PONG, wire.Kind.INVALID, wire.Kind.PUBLISH}
                assert kinds.count(wire.Kind.PONG) <= said.count(wire.Kind.PING)
                assert kinds.count(wire.Kind.INVALID) <= said.count(wire.Kind.PUBLISH)
                assert wire.Kind.HELLO in said or wire.Kind.PUBLISH not in kinds

    def teardown(self) -> None:
        self.world.unreachable.clear()
        self.wait(5.0)
        for name in REMOTES:
            self.tell(name, [wire.PONG])
        self.wait(5.0)
        core = self.world.core
        known = {each.key: each for log in (core._own.log, core._hearsay.log) for each in log.all()}
        for name in (name for name in self.world.peers if name in REMOTES or wire.HELLO in self.said.get(name, ())):
            view = self.views.get(name, {})
            for key, each in known.items():
                if not each.flips_since or not core.counters["settled"]:
                    assert view.get(key, b"") == each.value, (name, key)


def tuple_of(frame: bytes) -> dict[bytes, bytes]:
    """Return the tuple of a well-formed message, if it has one that a bridge takes."""
    if len(frame) < 5:
        return {}
    at = 5 + frame[4]
    key, value = frame[5:at], frame[at + 4 : -4]
    return {key: value} if wire.fits(key, value) else {}


Gossip.TestCase.settings = settings(
    max_examples=30 * TIMES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestGossip = Gossip.TestCase
