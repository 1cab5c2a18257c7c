"""The broker's core while its registry moves: anything that brokers, publishers, tokens' holders and guests can say.

It is the machine of test_broker.py, with all that it checks, at a broker whose registry comes through the net. Beside
that, no member is ever of an older registry than the newest one that was in force, and nobody gets what is not his.
"""

from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from braidmq.core.broker.registrar import Registrar
from braidmq.core.registry.handing import HANDED_BYTES_MAX, HANDED_BYTES_PER_S
from braidmq.members import Member, Role
from braidmq.trust.enrolments import OVERUSE
from braidmq.wire.control import Hello
from braidmq.wire.kinds import Control
from braidmq.wire.registry import (
    PART_BYTES,
    PARTS_AHEAD,
    CertificateIs,
    Enrol,
    Enrolled,
    EnrolmentRow,
    Published,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
    RosterIs,
)
from tests.property.test_broker import BROKERS, CLIENTS, EVERYONE, Machine, picks
from tests.support.examples import TIMES
from tests.support.rigs.broker_rig import FakeMember, Received, Rig
from tests.support.rigs.credentials import MovingRegistry, encoded
from tests.support.tokens import END, NOW, TOKEN, enrol, invite, member_key

VERSION_MAX = 2**63 - 1
OPERATORS = ("o1", "o2")
USES = 2
CONNECTIONS_MAX = 12
ENROLMENTS = (
    *(enrol(number) for number in (1, 2, 3, 4)),
    enrol(1, made_at=NOW - 1), enrol(2, key=member_key(1)), enrol(5, name="c1"), enrol(6, made_at=END + 1),
)  # fmt: skip
BLOBS = st.sampled_from(ENROLMENTS) | st.binary(max_size=100)

versions = st.integers(0, 8) | st.sampled_from([VERSION_MAX, 2**62])
sizes = st.sampled_from([1, 6, 40, PART_BYTES, 5 * 1024 * 1024])
registries = st.builds(
    lambda version, gone: encoded(version, *gone),
    st.integers(1, 8),
    st.lists(st.sampled_from([*CLIENTS, "w1", "b2", "b3", "o1"]), max_size=2, unique=True),
)
rows = st.lists(st.builds(EnrolmentRow, BLOBS, st.sampled_from([0, NOW - 900, NOW, NOW + 900, 2**40])), max_size=3)
words: st.SearchStrategy[Control] = (
    st.builds(RegistryVersion, versions, st.sampled_from([b"", b"x"]), st.sampled_from([0, 1, NOW * 1000, 2**53]))
    | st.builds(RegistryWanted, versions, st.sampled_from([0, 1, PART_BYTES, 4 * 1024 * 1024]), st.integers(1, 16))
    | st.builds(RegistryPart, versions, versions, sizes, sizes | st.just(0), st.binary(max_size=8))
    | st.builds(Enrol, BLOBS)
    | st.builds(Enrolled, rows)
    | st.builds(Hello, st.just("fake"), asks=st.booleans(), serial=versions, roster=versions)
    | st.sampled_from([RosterIs(b"x"), CertificateIs(b"x"), Published(5)])
)


class RegistryMachine(Machine):
    """See the module."""

    def make_rig(self, **settings: Any) -> Rig:
        self.book = MovingRegistry(invite(uses=USES), peers=("b2",), size=1024 * 1024)
        rig = Rig(registry=self.book, credentials=self.book, unix_s=NOW, **settings)
        self.book.on_adopted = rig.revoke_grants
        for name in OPERATORS:
            self.book.members[f"key-of-{name}"] = Member(name, Role.NODE, publish=True)
        self.newest, self.began, self.handed = 0, rig.now, 0
        return rig

    @property
    def registrar(self) -> Registrar:
        found = self.rig.core.registrar
        assert found is not None
        return found

    # -- who comes

    @rule(name=st.sampled_from([*OPERATORS, *BROKERS]))
    def somebody_with_a_say_comes(self, name: str) -> None:
        self.connect(name)

    @rule(number=st.integers(0, 4), asks=st.booleans())
    def a_holder_or_one_that_was_enrolled_comes(self, number: int, *, asks: bool) -> None:
        if len(self.connections) < CONNECTIONS_MAX:
            key = member_key(number) if number else TOKEN.curve_key
            member = self.rig.stranger(f"replica-{number}", principal=key.hex())
            self.connections.append(member)
            member.control(Hello("fake", asks=asks))

    @rule(name=st.sampled_from([*EVERYONE, *OPERATORS]), times=st.integers(1, 3))
    def a_guest_asks_for_its_papers(self, name: str, times: int) -> None:
        guest = self.rig.stranger(name)
        for _ in range(times):
            guest.control(Hello("fake", asks=True))
        assert guest.route not in self.rig.core.sessions
        assert len(guest.of(RosterIs)) <= 1
        guest.disconnect()

    # -- what they say

    @rule(pick=picks, word=words, times=st.sampled_from([1, 1, 3, 40]))
    def say_of_the_registry(self, pick: int, word: Control, times: int) -> None:
        """By anybody, as part of a conversation or out of place."""
        member = self.pick(pick)
        if member is not None:
            version = self.book.version
            for _ in range(times):
                member.control(word)
            if isinstance(word, RegistryVersion | RegistryPart):
                assert self.book.version == version, "nothing comes into force before it is checked"

    @rule(word=words, times=st.sampled_from([1, 1, 3, 40]))
    def hear_of_the_registry(self, word: Control, times: int) -> None:
        """Over the broker's own connection to a peer."""
        for _ in range(times):
            if self.peer.connected:
                self.peer.say(word)

    @rule(pick=picks, registry=registries, whole=st.booleans(), over_link=st.booleans())
    def hand_in(self, pick: int, registry: bytes, *, whole: bool, over_link: bool) -> None:
        """Somebody with the right to has a registry, or says so, and it is checked to its end."""
        sources = [each for each in self.connections if each.name.decode() in (*OPERATORS, *BROKERS)]
        version = int(registry.partition(b"/")[0])
        for word in (
            RegistryVersion(version, b"x"),
            RegistryPart(version, 0, len(registry), 0, registry if whole else registry[:-1]),
        ):
            if over_link and self.peer.connected:
                self.peer.say(word)
            elif sources:
                sources[pick % len(sources)].control(word)
        for _ in range(3):
            self.rig.tick()

    @rule(pick=picks, since=versions, over_link=st.booleans())
    def ask_without_end(self, pick: int, since: int, *, over_link: bool) -> None:
        """Somebody with the right to asks for all of the registry, again and again."""
        sources = [each for each in self.connections if each.name.decode() in (*OPERATORS, *BROKERS)]
        for _ in range(20):
            wanted = RegistryWanted(since, 0, PARTS_AHEAD)
            if over_link and self.peer.connected:
                self.peer.say(wanted)
            elif sources:
                sources[pick % len(sources)].control(wanted)

    # -- the account

    def read(self, member: FakeMember) -> None:
        for received in member.inbox:
            self.check_word(member, received)
        super().read(member)

    def check_word(self, member: FakeMember, received: Received) -> None:
        name = member.name.decode()
        if isinstance(received, CertificateIs):
            assert received.certificate == b"certificate of " + member.name or received.certificate in ENROLMENTS
        elif isinstance(received, RegistryPart | RegistryWanted):
            assert name in (*OPERATORS, *BROKERS)
            self.handed += len(received.data) if isinstance(received, RegistryPart) else 0
        elif isinstance(received, Published):
            assert name in OPERATORS
        elif isinstance(received, Enrolled):
            assert name in BROKERS if received.rows else name == "replica-0"

    @invariant()
    def the_registry_only_moves_on(self) -> None:
        assert self.book.version >= self.newest
        self.newest = self.book.version
        for session in self.rig.core.sessions.values():
            assert session.member.name not in self.book.gone, "one that was revoked has a session"

    @invariant()
    def everything_is_bounded(self) -> None:
        elapsed_s = self.rig.now - self.began
        self.handed += sum(len(part.data) for part in self.peer.of(RegistryPart))
        assert self.handed <= HANDED_BYTES_MAX + HANDED_BYTES_PER_S * elapsed_s + PARTS_AHEAD * PART_BYTES
        assert len(self.book.roll.rows) <= OVERUSE * USES
        self.registrar.validate_state()


TestRegistrar: Any = RegistryMachine.TestCase
TestRegistrar.settings = hypothesis_settings(max_examples=10 * TIMES, stateful_step_count=50, deadline=None)
