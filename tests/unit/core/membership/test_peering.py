import random
from dataclasses import replace

import pytest

from braidmq.core.links.link import MALFORMED_MAX, Action, BrokerAddress, Close, Failure, Open, Resolve
from braidmq.core.membership.peering import ABOUT_ROWS_MAX, PeeringCore
from braidmq.errors import ProtocolError
from braidmq.settings import Settings
from braidmq.wire.control import (
    Goodbye,
    Heartbeat,
    Hello,
    Peer,
    Peers,
    PeerStatus,
    Welcome,
    decode_control,
    encode_control,
)
from braidmq.wire.envelope import REQUEST, VERSION_AT, Envelope, encode
from braidmq.wire.gossip import About, Ack, Gossip, Ping, Probe, Rumor, ServiceAbout, State, Sync
from braidmq.wire.kinds import Control


def address(name: str, serial: int = 1) -> BrokerAddress:
    key = name.encode().ljust(32, b"k")
    certificate = f"certificate {serial} of {name}".encode()
    return BrokerAddress(name, (f"tcp://{name}:5555",), key, certificate, serial)


def certificate_of(name: str) -> bytes:
    return address(name).certificate


def verify(certificate: bytes) -> BrokerAddress:
    word, serial, _of, name = certificate.decode().split(" ")
    if word != "certificate":
        raise ProtocolError("not signed by the authority")
    return address(name, int(serial))


class Peering:
    """The core of broker b1, with frames decoded. All peers in `alive` say heartbeats and answer PINGs.

    Attributes:
        sent: what came to each peer over the connection that b1 has made to it.
        answered: what came to it over a connection of its own.
    """

    def __init__(self, *names: str, **settings: float) -> None:
        self.now = 1000.0
        own, options = address("b1"), Settings(**settings)  # type: ignore[arg-type]
        self.core = PeeringCore(own, options, random.Random(1), verify, software="test", now=self.now)
        self.alive: set[str] = set()
        self.actions: list[Action] = []
        self.sent: dict[str, list[Control]] = {}
        self.answered: dict[str, list[Control]] = {}
        for name in names:
            self.core.learn(address(name), self.now)
        self.tick()

    def pump(self) -> None:
        self.core.validate_state()
        for action in self.core.take_actions():
            self.actions.append(action)
            if isinstance(action, Resolve):
                self.core.on_resolved(action.name, list(action.endpoints), self.now)
                self.pump()
        for name, messages in self.core.take_sends().items():
            for message in messages:
                received = decode_control(message)
                assert received is not None
                self.sent.setdefault(name, []).append(received)
                if isinstance(received, Ping) and name in self.alive:
                    self.send(name, Ack(received.number))
        for name, answers in self.core.take_answers().items():
            self.answered.setdefault(name, []).extend(answers)
        self.core.validate_state()

    def tick(self, seconds: float = 0.0) -> None:
        end = self.now + seconds
        while self.core.next_deadline() <= end:
            self.now = max(self.now, self.core.next_deadline())
            for name in self.alive:
                self.send(name, Heartbeat())
            self.core.on_timer(self.now)
            self.pump()
        self.now = end

    def send(self, name: str, *messages: Control) -> None:
        """Let a peer say something over b1's connection to it."""
        self.core.on_frame(name, b"".join(encode_control(each, 0) for each in messages), self.now)
        self.pump()

    def say(self, name: str, message: Ping | Ack | Probe | Gossip | Sync) -> None:
        """Let a peer say something over its own connection to b1."""
        self.core.on_message(name, message, self.now)
        self.pump()

    def up(self, *names: str) -> None:
        for name in names:
            self.core.on_connected(name, self.now)
            self.alive.add(name)
            self.send(name, Welcome(name, "b1", 1000, 1024))

    def lose(self, name: str) -> None:
        self.alive.discard(name)
        self.core.on_failed(name, Failure.CLOSED, self.now)
        self.pump()

    def session(self, name: str, *, up: bool = True) -> None:
        self.core.on_session(name, up=up, now=self.now)
        self.pump()

    def rumor(self, by: str, name: str, state: State, incarnation: int = 0, certificate: bytes = b"") -> None:
        self.send(by, Gossip([Rumor(name, incarnation, state, by, certificate)]))

    def links(self) -> dict[str, str]:
        return {row.name: row.link for row in self.core.rows(self.now)}

    def states(self) -> dict[str, str]:
        """What observers are told."""
        return {row.name: row.state for row in self.core.rows(self.now)}

    def listed(self) -> list[Peer]:
        """What nodes are told of the others."""
        own, *others = self.core.peers()
        assert own == Peer(certificate_of("b1"), connected=True, state=self.core.membership.state)
        return others

    def take(self, name: str, kind: type[Control]) -> list[Control]:
        """Return what came to a peer over b1's connection, of this kind, and forget all of it."""
        return [message for message in self.sent.pop(name, []) if isinstance(message, kind)]

    def opened(self) -> list[str]:
        return [action.name for action in self.actions if isinstance(action, Open)]

    def log(self) -> list[str]:
        return [str(event) for event in self.core.take_events()]


class TestConnections:
    def test_broker_that_is_configured_is_connected_to_and_greeted(self) -> None:
        peering = Peering("b2")
        assert peering.actions == [
            Resolve("b2", ("tcp://b2:5555",)),
            Open("b2", "tcp://b2:5555", address("b2").key),
        ]
        peering.core.on_connected("b2", peering.now)
        peering.pump()
        assert peering.sent == {"b2": [Hello("test", paced=True)]}

    def test_new_peer_is_told_all_that_is_known_and_asked_for_the_same(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        (sync,) = peering.take("b3", Sync)
        assert isinstance(sync, Sync)
        assert sync.answer
        assert sync.members[0] == Rumor("b1", 0, "alive", "", certificate_of("b1"))
        assert {row.name for row in sync.members} == {"b1", "b2", "b3"}

    def test_broker_that_a_rumor_tells_of_is_connected_to(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.rumor("b2", "b3", "alive", certificate=certificate_of("b3"))
        assert peering.states() == {"b2": "alive", "b3": "alive"}
        peering.tick(0.1)
        assert peering.opened() == ["b2", "b3"]

    def test_broker_that_a_peer_lists_is_learned_and_connected_to(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.send("b2", Peers([Peer(certificate_of(name)) for name in ("b1", "b2", "b3")]))
        assert peering.links() == {"b2": "up", "b3": "waiting"}
        peering.tick(0.1)
        assert peering.opened() == ["b2", "b3"]

    @pytest.mark.parametrize("certificate", [b"", b"forged 1 of b3", b"certificate 1 of b4"])
    def test_broker_without_a_valid_certificate_of_its_own_is_not_taken(self, certificate: bytes) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.rumor("b2", "b3", "alive", certificate=certificate)
        peering.tick(0.1)
        assert "b3" not in peering.links()
        assert "b3" not in peering.core.membership.members
        assert "b3" not in peering.opened()

    def test_forged_certificate_in_a_list_is_not_taken(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.send("b2", Peers([Peer(b"forged 1 of b4"), Peer(certificate_of("b3"))]))
        assert sorted(peering.links()) == ["b2", "b3"]
        assert any("certificate is refused" in line for line in peering.log())

    def test_silent_peer_is_suspect_and_then_given_up(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.alive.clear()
        peering.tick(1.7)
        assert peering.links() == {"b2": "suspect"}
        peering.tick(1.5)
        assert peering.links()["b2"] in {"waiting", "connecting"}
        assert Close("b2", silent=True) in peering.actions

    def test_suspect_peer_that_is_heard_is_up_again(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.alive.clear()
        peering.tick(1.7)
        peering.send("b2", Heartbeat())
        assert peering.links() == {"b2": "up"}

    def test_draining_peer_is_told_that_this_was_noted(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.send("b2", Goodbye("draining"))
        assert peering.take("b2", Goodbye) == [Goodbye("noted")]
        assert peering.links() == {"b2": "draining"}

    def test_learned_broker_that_nobody_lists_and_that_is_no_member_is_forgotten(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.send("b2", Peers([Peer(certificate_of("b2")), Peer(certificate_of("b3"))]))
        peering.tick(0.1)
        peering.core.on_failed("b3", Failure.UNREACHABLE, peering.now)
        peering.tick(5.0)
        assert "b3" in peering.links(), "b2 lists it"
        peering.send("b2", Peers([Peer(certificate_of("b2"))]))
        for _ in range(10):
            if peering.links().get("b3") == "connecting":
                peering.core.on_failed("b3", Failure.UNREACHABLE, peering.now)
            peering.tick(1.0)
        assert "b3" not in peering.links()

    def test_member_is_not_forgotten_though_nobody_lists_it(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.rumor("b2", "b3", "alive", certificate=certificate_of("b3"))
        peering.send("b2", Peers([Peer(certificate_of("b2"))]))
        peering.tick(0.1)
        peering.core.on_failed("b3", Failure.UNREACHABLE, peering.now)
        peering.tick(2.0)
        assert "b3" in peering.links()


class TestRoutes:
    def test_message_for_a_peer_that_is_connected_only_inwards_goes_there(self) -> None:
        peering = Peering("b2")
        peering.session("b2")
        assert [type(message) for message in peering.answered["b2"]] == [Sync]
        peering.say("b2", Ping(5))
        (ack,) = peering.answered["b2"][1:]
        assert isinstance(ack, Ack)
        assert ack.number == 5
        assert "b2" not in peering.sent

    def test_connection_of_its_own_comes_first(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.session("b2")
        peering.sent.clear()
        peering.say("b2", Ping(5))
        (ack,) = peering.take("b2", Ack)
        assert isinstance(ack, Ack)
        assert ack.number == 5
        assert "b2" not in peering.answered

    def test_connection_that_is_silent_while_the_peer_speaks_over_its_own_is_not_used(self) -> None:
        """The peer's host lost power and is back: the old connection is dead, and nobody was told."""
        peering = Peering("b2")
        peering.up("b2")
        peering.session("b2")
        peering.alive.discard("b2")
        peering.tick(Settings().heartbeat_s)
        peering.sent.clear()
        peering.say("b2", Ping(7))
        assert peering.take("b2", Ack), "one heartbeat may be late"
        peering.tick(0.1)
        peering.answered.clear()
        peering.say("b2", Ping(8))
        assert not peering.take("b2", Ack)
        assert [each.number for each in peering.answered["b2"] if isinstance(each, Ack)] == [8]

    def test_message_for_a_peer_that_is_not_connected_at_all_is_dropped(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b3")
        peering.session("b2")
        peering.session("b2", up=False)
        peering.answered.clear()
        peering.core.membership.on_message("b2", Ping(5), peering.now)
        peering.pump()
        assert "b2" not in peering.answered
        assert "b2" not in peering.sent

    def test_peer_that_has_connected_is_connected_to_at_once(self) -> None:
        peering = Peering("b2", reconnect_s=60.0, reconnect_s_max=600.0)
        peering.core.on_failed("b2", Failure.UNREACHABLE, peering.now)
        peering.core._links.links["b2"].wake_at = peering.now + 100.0
        peering.tick(1.0)
        assert peering.opened() == ["b2"]
        peering.session("b2")
        peering.tick(0.1)
        assert peering.opened() == ["b2", "b2"]

    def test_one_of_two_sessions_is_enough(self) -> None:
        peering = Peering("b2")
        peering.session("b2")
        peering.session("b2")
        peering.session("b2", up=False)
        peering.answered.clear()
        peering.say("b2", Ping(5))
        assert "b2" in peering.answered

    def test_probe_on_behalf_of_a_peer_is_passed_on(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        peering.sent.clear()
        peering.session("b2")
        peering.say("b2", Probe(9, "b3"))
        assert len(peering.take("b3", Ping)) == 1
        assert [ack.number for ack in peering.take("b2", Ack) if isinstance(ack, Ack)] == [9]


class TestMembership:
    def test_peers_are_alive_once_met_and_unknown_before(self) -> None:
        peering = Peering("b2")
        assert peering.states() == {"b2": "unknown"}
        assert peering.listed() == []
        peering.up("b2")
        assert peering.states() == {"b2": "alive"}
        assert peering.listed() == [Peer(certificate_of("b2"), connected=True)]

    def test_others_are_asked_at_once_when_a_connection_is_lost(self) -> None:
        peering = Peering("b2", "b3", probe_s=60.0)
        peering.up("b2", "b3")
        peering.sent.clear()
        peering.lose("b3")
        assert [probe.target for probe in peering.take("b2", Probe) if isinstance(probe, Probe)] == ["b3"]

    def test_others_are_asked_at_once_when_a_connection_is_silent(self) -> None:
        peering = Peering("b2", "b3", probe_s=60.0)
        peering.up("b2", "b3")
        peering.sent.clear()
        peering.alive.discard("b3")
        peering.tick(1.45)
        assert peering.take("b2", Probe) == []
        peering.tick(0.2)
        assert [probe.target for probe in peering.take("b2", Probe) if isinstance(probe, Probe)] == ["b3"]

    def test_others_are_asked_when_the_last_session_of_a_peer_ends(self) -> None:
        peering = Peering("b2", "b3", probe_s=60.0)
        peering.up("b2")
        peering.session("b3")
        peering.session("b3")
        peering.sent.clear()
        peering.session("b3", up=False)
        assert peering.take("b2", Probe) == []
        peering.session("b3", up=False)
        assert [probe.target for probe in peering.take("b2", Probe) if isinstance(probe, Probe)] == ["b3"]

    @pytest.mark.parametrize("state", ["suspect", "leaving"])
    def test_peer_that_is_suspect_or_leaves_is_listed_as_such(self, state: State) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        peering.rumor("b2", "b3", state)
        assert peering.states() == {"b2": "alive", "b3": state}
        assert Peer(certificate_of("b3"), connected=True, state=state) in peering.listed()

    def test_dead_peer_is_not_listed_but_told_to_observers(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        peering.rumor("b2", "b3", "dead")
        assert peering.listed() == [Peer(certificate_of("b2"), connected=True)]
        assert peering.states() == {"b2": "alive", "b3": "dead"}

    def test_peer_that_is_lost_and_silent_dies_and_is_listed_again_once_it_is_back(self) -> None:
        peering = Peering("b2", "b3", handshake_s_max=10.0)
        peering.up("b2", "b3")
        peering.lose("b3")
        peering.tick(30.0)
        assert peering.states()["b3"] == "dead"
        peering.core.on_failed("b3", Failure.UNREACHABLE, peering.now)
        peering.tick(6.0)
        peering.sent.clear()
        peering.up("b3")
        (sync,) = peering.take("b3", Sync)
        assert isinstance(sync, Sync)
        (row,) = (row for row in sync.members if row.name == "b3")
        peering.rumor("b3", "b3", "alive", row.incarnation + 1)
        assert peering.states()["b3"] == "alive"
        assert Peer(certificate_of("b3"), connected=True) in peering.listed()

    def test_drain_tells_every_peer(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2")
        peering.session("b3")
        peering.sent.clear()
        peering.core.drain(peering.now)
        peering.pump()
        for messages in (peering.sent["b2"], peering.answered["b3"]):
            told = messages[-1]
            assert isinstance(told, Gossip)
            assert [(rumor.name, rumor.state) for rumor in told.rumors] == [("b1", "leaving")]
        assert peering.core.peers()[0].state == "leaving"

    def test_broker_that_is_no_longer_registered_is_forgotten(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        peering.send("b3", About("b3", 1, settled=True))
        version = peering.core.version
        peering.core.forget("b3", peering.now)
        peering.pump()
        assert peering.actions[-1] == Close("b3")
        assert peering.links() == {"b2": "up"}
        assert "b3" not in peering.core.membership.members
        assert "b3" not in peering.core.abouts
        assert peering.core.version > version
        peering.core.forget("b3", peering.now)
        peering.core.forget("never met", peering.now)
        assert peering.opened() == ["b2", "b3"]

    @pytest.mark.parametrize("again", [False, True])
    def test_connection_to_a_forgotten_broker_may_be_complete_just_then(self, again: bool) -> None:
        peering = Peering("b2")
        peering.core.forget("b2", peering.now)
        if again:  # under another certificate
            peering.core.learn(address("b2", 2), peering.now)
        peering.core.on_reached("b2")
        peering.core.on_connected("b2", peering.now)
        peering.pump()
        assert peering.sent == {}
        assert peering.links() == ({"b2": "waiting"} if again else {})

    def test_session_of_a_forgotten_broker_may_end_later(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.session("b2")
        peering.core.forget("b2", peering.now)
        peering.session("b2", up=False)
        assert peering.links() == {}
        assert peering.core.membership.members == {}


class TestAbout:
    def about(self, version: int, *services: str, name: str = "b2") -> About:
        return About(name, version, settled=True, services=[ServiceAbout(service, 1, 1) for service in services])

    def test_is_kept_and_told_to_observers(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        assert not peering.core.has_settled
        peering.send("b2", About("b2", 1, [], 7, 8, 9, settled=True, services=[ServiceAbout("echo", 1, 2)]))
        assert peering.core.offers("echo") == ["b2"]
        assert peering.core.offers("sum") == []
        assert peering.core.offered() == {b"echo"}
        assert peering.core.has_settled
        assert peering.core.rows(peering.now) == [
            PeerStatus("b2", "alive", "up", nodes=7, in_flight=8, queued=9, services=1)
        ]

    def test_late_one_undoes_nothing(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.send("b2", self.about(5, "new"))
        for version in (4, 0, 5):
            peering.send("b2", self.about(version, "old"))
            assert peering.core.offered() == {b"new"}
        peering.send("b2", self.about(6, "newer"))
        assert peering.core.offered() == {b"newer"}

    def test_restarted_peer_begins_anew(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        peering.send("b2", self.about(5, "echo"))
        peering.lose("b2")
        assert peering.core.offered() == frozenset()
        assert not peering.core.has_settled
        peering.tick(0.2)
        peering.up("b2")
        peering.send("b2", self.about(0, "sum"))
        assert peering.core.offered() == {b"sum"}

    def test_before_the_session_is_not_taken(self) -> None:
        peering = Peering("b2")
        peering.core.on_connected("b2", peering.now)
        peering.send("b2", self.about(1, "echo"))
        assert peering.core.offered() == frozenset()

    def test_about_somebody_else_is_refused_and_said_once(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        peering.send("b3", self.about(1, "echo", name="b3"))
        peering.log()
        for version in (2, 3, 4):
            peering.send("b2", self.about(version, "lie", name="b3"))
            peering.send("b2", self.about(version, "lie", name="b9"))
        assert peering.core.offered() == {b"echo"}
        assert peering.core.abouts.keys() == {"b3"}
        assert peering.log() == ["b2 speaks for b3: refused; a broker describes itself only"]

    def test_services_are_found_by_name_as_they_come_and_go(self) -> None:
        peering = Peering("b2", "b3")
        peering.up("b2", "b3")
        peering.send("b2", self.about(1, "echo", "sum"))
        peering.send("b3", self.about(1, "echo", "echo", name="b3"))
        assert sorted(peering.core.offers("echo")) == ["b2", "b3"]
        peering.send("b2", self.about(2, "sum"))
        assert peering.core.offers("echo") == ["b3"]
        peering.send("b3", About("b3", 2, services=[ServiceAbout("echo", 0, 0)]))
        assert peering.core.offers("echo") == []
        peering.lose("b2")
        assert peering.core.offers("sum") == []
        assert peering.core.offered() == frozenset()

    def test_more_services_than_a_broker_can_have_are_not_kept(self) -> None:
        peering = Peering("b2")
        peering.up("b2")
        names = [f"s{number}" for number in range(ABOUT_ROWS_MAX + 10)]
        peering.send("b2", self.about(1, *names))
        assert len(peering.core.offered()) == ABOUT_ROWS_MAX
        assert len(peering.core.abouts["b2"].services) == ABOUT_ROWS_MAX

    def test_version_grows_with_what_is_told_and_not_without(self) -> None:
        peering = Peering("b2")
        version = peering.core.version
        for step in (
            lambda: peering.up("b2"),
            lambda: peering.send("b2", self.about(1, "echo")),
            lambda: peering.rumor("b2", "b3", "alive", certificate=certificate_of("b3")),
            lambda: peering.core.learn(address("b2", serial=2), peering.now),
            lambda: peering.lose("b2"),
        ):
            step()
            assert peering.core.version > version
            version = peering.core.version
        peering = Peering("b2")
        peering.up("b2")
        version = peering.core.version
        peering.tick(5.0)
        assert peering.core.version == version


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"garbage",
        bytes(40),
        encode(Envelope(REQUEST, bytes(16))),
        encode_control(Heartbeat(), 0)[:4] + b"\x20" + encode_control(Heartbeat(), 0)[5:],
        encode_control(Heartbeat(), 0)[:-1] + b"\xc1",
    ],
    ids=["empty", "text", "zeroes", "a request", "another major version", "a malformed control message"],
)
def test_garbage_of_a_peer_does_not_raise_and_changes_nothing(frame: bytes) -> None:
    peering = Peering("b2")
    peering.up("b2")
    version, rows = peering.core.version, peering.core.rows(peering.now)
    peering.core.on_frame("b2", frame, peering.now)
    peering.pump()
    assert (peering.core.version, peering.core.rows(peering.now)) == (version, rows)


def test_broker_whose_connection_has_broken_is_unreachable_only_once_it_was_tried_again() -> None:
    net = Peering("b2")
    assert not net.core.is_unreachable("b2")
    net.up("b2")
    net.lose("b2")
    assert not net.core.is_unreachable("b2")
    net.tick(5.0)
    net.core.on_failed("b2", Failure.UNREACHABLE, net.now)
    assert net.core.is_unreachable("b2")
    net.session("b2")
    assert not net.core.is_unreachable("b2")


@pytest.mark.parametrize("failure", [Failure.UNREACHABLE, Failure.HUNG_UP, Failure.NOT_REGISTERED])
def test_broker_that_has_never_been_there_is_unreachable(failure: Failure) -> None:
    net = Peering("b2")
    net.core.on_failed("b2", failure, net.now)
    assert net.core.is_unreachable("b2")
    assert not net.core.is_unreachable("b3"), "it is not known yet"


def test_message_of_another_major_version_is_told_and_counted_and_what_stands_behind_it_is_read() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.core.take_events()
    foreign = bytearray(encode_control(Heartbeat(), 0))
    foreign[VERSION_AT] = 0x20
    peering.core.on_frame("b2", bytes(foreign) + encode_control(About("b2", 1, nodes=7), 0), peering.now)
    assert [event.text() for event in peering.core.take_events()] == [
        "b2 sent what is not BRAID/1: a message of major version 2"
    ]
    assert peering.core.abouts["b2"].nodes == 7


def test_broker_that_sends_nothing_but_another_major_version_is_left() -> None:
    peering = Peering("b2")
    peering.up("b2")
    foreign = bytearray(encode_control(Heartbeat(), 0))
    foreign[VERSION_AT] = 0x20
    peering.core.on_frame("b2", bytes(foreign) * (MALFORMED_MAX + 1), peering.now)
    peering.tick(0.1)
    assert Close("b2") in peering.actions


def test_frame_of_a_broker_that_was_just_forgotten_is_dropped() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.core.forget("b2", peering.now)
    peering.send("b2", Heartbeat())
    peering.core.on_failed("b2", Failure.CLOSED, peering.now)
    peering.core.on_resolved("b2", ["tcp://b2:5555"], peering.now)
    assert peering.links() == {}


def renamed(name: str, serial: int, *, of: str) -> BrokerAddress:
    return replace(address(name, serial), key=address(of).key)


def test_a_broker_with_another_name_speaks_of_itself_by_it() -> None:
    peering = Peering("b2")
    peering.up("b2")
    own = renamed("shop", 2, of="b1")
    peering.core.change_own(own, peering.now)
    peering.core.learn(own, peering.now)
    peering.core.learn(address("b1"), peering.now)
    peering.sent.clear()
    peering.tick(1.0)
    assert peering.core.known == ["b2"]
    assert peering.core.membership.name == "shop"
    told = [rumor for each in peering.sent["b2"] if isinstance(each, Gossip | Ping) for rumor in each.rumors]
    assert {(each.name, each.certificate) for each in told if each.name != "b2"} == {("shop", own.certificate)}
    peering.send("b2", Gossip([Rumor("shop", 0, "suspect", "b2")]))
    assert peering.core.membership.incarnation == 1
    peering.core.learn(replace(address("b1", 3), key=b"new".ljust(32)), peering.now)
    assert peering.core.known == ["b2", "b1"]


def test_a_broker_takes_the_name_of_one_that_it_knew() -> None:
    peering = Peering("b2", "b3")
    peering.up("b2", "b3")
    peering.core.change_own(renamed("b3", 2, of="b1"), peering.now)
    peering.tick(1.0)
    assert peering.core.known == ["b2"]
    assert list(peering.core.membership.members) == ["b2"]


def test_a_peer_with_another_name_is_left_before_it_is_met_again() -> None:
    peering = Peering("b2")
    peering.up("b2")
    peering.actions.clear()
    peering.core.learn(renamed("shop", 2, of="b2"), peering.now)
    peering.tick(1.0)
    assert peering.core.known == ["shop"]
    kinds = [(type(action).__name__, action.name) for action in peering.actions]
    assert kinds.index(("Close", "b2")) < kinds.index(("Open", "shop"))
