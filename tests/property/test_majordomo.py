"""Whatever peers of the Majordomo bridge send, in whatever order: no exception, bounded state, allowed answers."""

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from braidmq.bridges.majordomo.core import MajordomoCore
from braidmq.bridges.majordomo.options import MajordomoOptions
from braidmq.errors import DeadlineExceeded, NoWorker, ServiceError
from braidmq.members import Member, Role
from tests.support.foreign_net import ForeignNet
from tests.support.majordomo import is_allowed

OPTIONS = {
    "services": {
        "a*": {"frames": "msgpack", "error_frames": True},
        "b": {"duplicates": "refuse"},
    }
}
WORDS = [
    b"", b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02", *(bytes([number]) for number in range(8)),
    b"a", b"ab", b"b", b"no", b"mmi.service", b"mmi.x", b"\xff", b"x" * 300, b"\x92\xc4\x01x\xc4\x00", b"00000001",
]  # fmt: skip
SERVICES = [b"a", b"b", b"c", b"no", b"mmi.service", b"net"]
FRONTS = {
    "old": (b"", b"MDPW01"),
    "tomo": (b"", b"MDPW02"),
    "rfc": (b"MDPW02",),
}
ASKS = [(b"", b"MDPC01"), (b"MDPC02", b"\x01"), (b"", b"MDPC02", b"\x01"), (b"", b"MDPC02", b"\x02"), (b"", b"MDPC02")]

names = st.sampled_from(["p", "q", "r", "s"])
frames = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), min_size=1, max_size=8)
bodies = st.lists(st.sampled_from(WORDS), max_size=3)


class Peers(RuleBasedStateMachine):
    """Four foreign peers that say what they like, and a net that does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        options = msgspec.convert(OPTIONS, MajordomoOptions)
        self.net = ForeignNet(lambda rights: MajordomoCore(options, rights, 2_000))
        self.net.members[""] = Member("bridge-1", Role.NODE, calls=("*",), serves=("a*", "b", "c"))
        self.net.services.update({"net": None, "b": b"42"})
        self.said: dict[str, list[list[bytes]]] = {}
        self.jobs: set[int] = set()
        self.draining = False

    def say(self, name: str, message: list[bytes]) -> None:
        if message:
            self.said.setdefault(name, []).append(message)
            self.net.say(name, *message)

    @rule(name=names, message=frames)
    def anything(self, name: str, message: list[bytes]) -> None:
        self.say(name, message)

    @rule(name=names, front=st.sampled_from(ASKS), service=st.sampled_from(SERVICES), body=bodies)
    def ask(self, name: str, front: tuple[bytes, ...], service: bytes, body: list[bytes]) -> None:
        self.say(name, [*front, service, *body])

    @rule(name=names, front=st.sampled_from(sorted(FRONTS)), service=st.sampled_from(SERVICES))
    def register(self, name: str, front: str, service: bytes) -> None:
        self.say(name, [*FRONTS[front], b"\x01", service])

    @rule(name=names, number=st.integers(3, 6), body=bodies, own=st.booleans(), front=st.sampled_from(sorted(FRONTS)))
    def reply(self, name: str, number: int, body: list[bytes], own: bool, front: str) -> None:
        worker = self.net.core._workers._workers.get(self.net.peer(name))
        if worker is None:
            self.say(name, [*FRONTS[front], bytes([number]), b"token", b"", *body])
        else:
            token = worker.token if own else b"forged"
            self.say(name, [*worker.dialect.front, bytes([number]), token, b"", *body])

    @rule(name=names)
    def close(self, name: str) -> None:
        self.net.close(name)
        self.said.pop(name, None)
        self.net.unreachable.discard(name)

    @rule(name=names)
    def get_out_of_reach(self, name: str) -> None:
        self.net.unreachable.add(name)

    @rule(service=st.sampled_from(["a", "b", "c", "no"]), payload=st.sampled_from(WORDS), duplicate=st.booleans())
    def call(self, service: str, payload: bytes, duplicate: bool) -> None:
        self.jobs.add(self.net.job(service, payload, duplicate=duplicate))

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        open_jobs = sorted(self.jobs - set(self.net.finished))
        if open_jobs:
            number = data.draw(st.sampled_from(open_jobs))
            self.jobs.discard(number)
            self.net.drop(number)

    @rule(
        data=st.data(),
        end=st.sampled_from(
            [b"42", b"", NoWorker("n"), DeadlineExceeded("d", maybe_executed=True), ServiceError("MINE")]
        ),
    )
    def answer(self, data: st.DataObject, end: bytes | NoWorker) -> None:
        asked = sorted(number for number, call in self.net.calls.items() if call.service == "net")
        if asked:
            self.net.answer(data.draw(st.sampled_from(asked)), end)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.net.advance(seconds)

    @rule(service=st.sampled_from(["a", "b", "c"]))
    def refuse(self, service: str) -> None:
        if self.net.offers.pop(("", service), None):
            self.net.core.on_refused("", service, self.net.now)
            self.net.offers["", service] = 1
            self.net.settle()
            self.net.offers.pop(("", service), None)

    @rule(names=st.sets(st.sampled_from(["a", "net", "other"])))
    def services(self, names: set[str]) -> None:
        self.net.tell_services(*names)

    @invariant()
    def every_answer_is_allowed(self) -> None:
        for name, told in self.net.sent:
            assert is_allowed(told, self.said.get(name, ())), (name, told)
        self.net.sent.clear()

    def teardown(self) -> None:
        """What is left can be ended: the bridge drains, and ends."""
        for number in sorted(self.jobs - set(self.net.finished)):
            self.net.drop(number)
        for number in list(self.net.calls):
            if number in self.net.calls:
                self.net.answer(number, b"")
        self.net.core.drain(self.net.now)
        self.net.settle()
        assert self.net.offers == {}
        for name in list(self.net.peers):
            self.net.close(name)
        assert self.net.core.idle
        assert self.net.core.next_deadline() is None or not self.net.advance(10.0)
        assert self.net.core.next_deadline() is None


TestPeers = Peers.TestCase
TestPeers.settings = settings(stateful_step_count=40, suppress_health_check=list(HealthCheck))
