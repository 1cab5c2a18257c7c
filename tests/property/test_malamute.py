"""Whatever Malamute programs send, in whatever order: no exception, bounded state, and nothing that kills a client."""

import random

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.core import MalamuteCore
from braidmq.bridges.malamute.options import MalamuteOptions
from braidmq.bridges.malamute.wire import Command, Message
from braidmq.errors import BraidError, DeadlineExceeded, NoWorker, ServiceError
from braidmq.members import Member, Role
from tests.support.examples import TIMES
from tests.support.foreign_net import ForeignNet
from tests.support.malamute import STREAMS, heard, judge, mail_to, offer, opening

OPTIONS = {
    "names": {"odd name": "a.odd"},
    "services": {
        "a*": {"frames": "msgpack", "concurrency": 2},
        "b": {"duplicates": "refuse", "errors": "silent", "concurrency": 1, "timeout": "deadline"},
        "c": {"subject": "service"},
    },
}
USERS = {"p": "", "q": "", "r": "r", "s": "other"}
TEXTS = [b"", b"a", b"ab", b"b", b"c", b"net", b"odd name", b"$braidmq", b"x" * 255, b"\xff\x00", b"p", b"other"]
WORDS = [b"", b"\xaa\xa8", b"\x92\xc4\x01x\xc4\x00", b"\x90", *(bytes((0xAA, 0xA8, number)) for number in range(20))]

names = st.sampled_from(sorted(USERS))
texts = st.sampled_from(TEXTS)
patterns = st.sampled_from([b".*", b"^x", b"[", b"", b"(a|b)+$"])
contents = st.lists(st.sampled_from(WORDS), max_size=3)
messages = st.builds(
    Message,
    command=st.sampled_from(list(Command)),
    protocol=st.sampled_from([b"MALAMUTE", b"MALAMUTX"]),
    version=st.integers(0, 2),
    address=texts,
    stream=texts,
    pattern=patterns,
    sender=texts,
    subject=texts,
    tracker=texts,
    timeout_ms=st.sampled_from([0, 1, 500, 0xFFFFFFFF]),
    content=contents,
)
ENDS = [b"42", b"", b"\x91\xc4\x01x", NoWorker("n"), DeadlineExceeded("d", maybe_executed=True), ServiceError("MINE")]


class Programs(RuleBasedStateMachine):
    """Four foreign connections that say what they like, and a net that does what it likes."""

    def __init__(self) -> None:
        super().__init__()
        options = msgspec.convert(OPTIONS, MalamuteOptions)
        self.net = ForeignNet(lambda rights: MalamuteCore(options, rights, random.Random(7), 2_000))
        bridge = Member("bridge-1", Role.NODE, calls=("*",), serves=("a*", "b", "c*"))
        self.net.members.update({"": bridge, "other": bridge})
        self.net.services.update({"net": None, "b": b"42"})
        self.jobs: set[int] = set()
        self.told: dict[str, set[tuple[object, ...]]] = {}

    def say(self, name: str, frames: list[bytes]) -> None:
        self.net.peer(name, user=USERS[name], member="other" if USERS[name] == "other" else "")
        answers = self.net.say(name, *frames)
        at_once = [each for each in answers if heard(each).command is not Command.SERVICE_DELIVER]
        if name not in self.net.unreachable:
            said = wire.read(frames)
            if said is None or said.command is not Command.MAILBOX_SEND:
                judge(frames, at_once if said is None or said.command is not Command.SERVICE_OFFER else answers)
            self.count_errors(name, frames, answers)

    def count_errors(self, name: str, frames: list[bytes], answers: list[list[bytes]]) -> None:
        """See that an ERROR with a reason comes once for what is asked again: a client would go round for ever."""
        said = wire.read(frames)
        for answer in map(heard, answers):
            if answer.command is Command.ERROR and answer.reason:
                assert said is not None
                assert said.command in {Command.SERVICE_OFFER, *STREAMS}
                what = (said.command, said.address if said.command is Command.SERVICE_OFFER else said.stream,
                        said.pattern)  # fmt: skip
                assert what not in self.told.setdefault(name, set())
                self.told[name].add(what)

    @rule(name=names, frames=st.lists(st.sampled_from(WORDS) | st.binary(max_size=20), min_size=1, max_size=4))
    def anything(self, name: str, frames: list[bytes]) -> None:
        self.say(name, frames)

    @rule(name=names, message=messages, cut=st.integers(0, 3), more=st.binary(max_size=2))
    def any_message(self, name: str, message: Message, cut: int, more: bytes) -> None:
        frames = wire.frames_of(message)
        self.say(name, [(frames[0] + more)[: len(frames[0]) + len(more) - cut], *frames[1:]])

    @rule(name=names, address=texts)
    def open(self, name: str, address: bytes) -> None:
        self.say(name, opening(address))

    @rule(name=names, service=st.sampled_from([b"a", b"ab", b"b", b"c", b"no", b"odd name"]), pattern=patterns)
    def offer(self, name: str, service: bytes, pattern: bytes) -> None:
        self.say(name, offer(service, pattern))

    @rule(name=names, data=st.data(), content=contents)
    def answer_delivery(self, name: str, data: st.DataObject, content: list[bytes]) -> None:
        tokens = sorted(self.net.core._workers._tokens)
        if tokens:
            self.say(name, mail_to(b"shop/" + data.draw(st.sampled_from(tokens)), *content))

    @rule(name=names)
    def close(self, name: str) -> None:
        self.net.close(name)
        self.net.unreachable.discard(name)
        self.told.pop(name, None)

    @rule(name=names)
    def get_out_of_reach(self, name: str) -> None:
        self.net.unreachable.add(name)

    @rule(
        service=st.sampled_from(["a", "ab", "a.odd", "b", "c", "no"]),
        payload=st.sampled_from(WORDS),
        duplicate=st.booleans(),
        member=st.sampled_from(["", "other"]),
        subject=st.sampled_from([None, "", "x", "y" * 300]),
    )
    def call(self, service: str, payload: bytes, duplicate: bool, member: str, subject: str | None) -> None:
        headers = {} if subject is None else {"subject": subject, "tracker": subject}
        self.jobs.add(self.net.job(service, payload, duplicate=duplicate, member=member, headers=headers))

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        open_jobs = sorted(self.jobs - set(self.net.finished))
        if open_jobs:
            number = data.draw(st.sampled_from(open_jobs))
            self.jobs.discard(number)
            self.net.drop(number)

    @rule(data=st.data(), end=st.sampled_from(ENDS))
    def answer(self, data: st.DataObject, end: bytes | BraidError) -> None:
        asked = sorted(number for number, call in self.net.calls.items() if call.service == "net")
        if asked:
            self.net.answer(data.draw(st.sampled_from(asked)), end)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 5.0, 12.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.net.advance(seconds)

    @rule(service=st.sampled_from(["a", "b", "c"]), member=st.sampled_from(["", "other"]))
    def refuse(self, service: str, member: str) -> None:
        if self.net.offers.pop((member, service), None):
            self.net.core.on_refused(member, service, self.net.now)
            self.net.settle()

    @rule()
    def drain(self) -> None:
        self.net.core.drain(self.net.now)
        self.net.settle()

    @invariant()
    def only_what_clients_bear_is_sent(self) -> None:
        for _, frames in self.net.sent:
            heard(frames)
        self.net.sent.clear()

    def teardown(self) -> None:
        """All ends: nothing of theirs is left."""
        for name in sorted(USERS):
            self.net.close(name)
        for number in sorted(self.net.calls):
            self.net.answer(number, b"")
        self.net.advance(200)
        core = self.net.core
        assert core.idle
        assert core.next_deadline() is None
        assert not self.net.offers
        assert self.jobs <= set(self.net.finished)


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(
    deadline=None, max_examples=30 * TIMES, stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow]
)
