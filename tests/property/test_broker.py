"""The broker's core under anything that its members, the network and the registry can do to it.

The rig checks `validate_state` and every worker's credit at each step. The machine keeps its own account of what
each client may still hear, and holds every answer against it.
"""

from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from braidmq.core.timers import GRAIN_S
from braidmq.members import Role
from braidmq.wire.control import Demand, Heartbeat, Hello, Peers, Ready, Report, Services, Status, Welcome
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    UINT32,
    WORKING,
    Envelope,
    Progress,
    Reason,
    Withdrawal,
    encode,
)
from braidmq.wire.extension import Field, pack_field
from braidmq.wire.gossip import About, Ack, Gossip, Gossiped, Nack, Paths, Ping, Probe, Rumor, Seek, ServiceAbout, Sync
from braidmq.wire.kinds import Control
from braidmq.wire.operation import DRAIN, PUT_BACK, TAKE_OUT, Operate
from tests.support.examples import TIMES
from tests.support.rigs.broker_rig import BROKER, FINAL, FakeMember, Rig

CLIENTS = ("c1", "c2")
WORKERS = ("w1", "w2", "w3")
BROKERS = ("b2", "b3")
EVERYONE = CLIENTS + WORKERS + BROKERS
TIME_MS_MAX = 5_000
MALFORMED = b"\xff"
"""An extension block."""

CONTROLS: tuple[Control, ...] = (
    Hello(), Welcome("b", "m", 1, 1), Demand("echo", 9), Heartbeat(), Services(["echo"]), Peers([]), Status(), Report(),
)  # fmt: skip

CHANGES = (
    "connect", "connect", "normal", "normal", "normal", "clog", "goodbye", "noted", "drain", "gone", "powerless",
)  # fmt: skip
Hostility = Control | bytes | tuple[int, int, int] | None
"""A control message out of place, garbage, a message with one byte changed, or another key on a live route.

The time at which a message says it was written is left alone: it only makes its own sender's requests look old."""

rumors = st.builds(
    Rumor,
    st.sampled_from([BROKER, "b2", "b3", "b4", "nobody"]),
    st.sampled_from([0, 0, 1, 2, 5, UINT32]),
    st.sampled_from(["alive", "suspect", "leaving", "dead"]),
    st.sampled_from(["", BROKER, "b2", "b3"]),
    st.sampled_from([b"", b"", b"b2", b"b4", b"forged !"]),
)
some_rumors = st.lists(rumors, max_size=3)
numbers = st.integers(0, 12)
gossip: st.SearchStrategy[Gossiped] = (
    st.builds(Ping, numbers, some_rumors)
    | st.builds(Ack, numbers, some_rumors)
    | st.builds(Probe, numbers, st.sampled_from([BROKER, "b2", "b3", "nobody"]), some_rumors)
    | st.builds(Nack, numbers)
    | st.builds(Gossip, some_rumors)
    | st.builds(Sync, some_rumors, st.booleans())
)
abouts = st.builds(
    About,
    st.sampled_from(["b2", "b2", "b2", "b3"]),
    st.integers(0, 5),
    settled=st.booleans(),
    services=st.lists(st.builds(ServiceAbout, st.sampled_from(["echo", "sum"]), numbers, numbers), max_size=2),
)

picks = st.integers(0, 1_000)
services = st.sampled_from(["echo", "echo", "echo", "echo", "sum", "sum", "max", "min"])
tags = st.none() | st.integers(0, 3)
"""None is a new one; the others are few, so that they collide."""
hostilities: st.SearchStrategy[Hostility] = (
    st.sampled_from(CONTROLS)
    | st.binary(max_size=80)
    | st.tuples(
        st.sampled_from([REPLY, WORKING, REJECT, CANCEL, LOST, 0, 9]),
        st.integers(0, 43).filter(lambda at: not 8 <= at < 12),
        st.integers(0, 255),
    )
    | st.none()
)


class Asked:
    """A request that its client waits for, with the deadline that the broker gave it."""

    def __init__(self, client: FakeMember, request: Envelope) -> None:
        self.client = client
        self.request = request
        self.deadline = 0.0
        self.given_up = False
        self.superseded = False


class Machine(RuleBasedStateMachine):
    """See the module."""

    @initialize(
        balance=st.sampled_from(["least-outstanding", "round-robin"]),
        queue_messages_max=st.sampled_from([100, 100, 3, 0]),
        in_flight_max=st.sampled_from([100, 100, 5]),
        tag=st.sampled_from([0, UINT32 - 3]),
        settle_s=st.sampled_from([0.0, 1.0]),
        services_max=st.sampled_from([1, 2, 3, 4]),
    )
    def start(self, tag: int, **knobs: Any) -> None:
        self.rig = self.make_rig(
            in_flight_bytes_max=2_048,
            queue_bytes_max=3_000,
            payload_bytes_max=1_024,
            connections_per_key_max=2,
            nodes_max=10,
            **knobs,
        )
        self.rig.core.dispatcher._assignments._tag = tag
        self.connections: list[FakeMember] = []
        self.asked: dict[tuple[bytes, int], Asked] = {}
        self.assigned: dict[tuple[bytes, int], tuple[FakeMember, Envelope]] = {}
        self.callers: dict[bytes, bytes] = {}
        self.left = False
        for name in EVERYONE:
            self.register(name)
            self.connect(name)
        self.peer = self.rig.peer("b2")
        self.operator = self.rig.connect("ops", operate=True)
        for member in self.connections[len(CLIENTS) : len(CLIENTS + WORKERS)]:
            member.ready("echo", 1)
            member.ready("sum", 1)

    def make_rig(self, **settings: Any) -> Rig:
        return Rig(**settings)

    def register(self, name: str) -> None:
        if name in CLIENTS:
            self.rig.register(name, calls=("*",))
        elif name in BROKERS:
            self.rig.register(name, role=Role.BROKER)
        else:
            self.rig.register(name, calls=("sum",), serves=("*",))

    def pick(self, pick: int) -> FakeMember | None:
        return self.connections[pick % len(self.connections)] if self.connections else None

    # -- members come, go and are cut off

    def connect(self, name: str) -> None:
        """One that is refused stays and goes on as a stranger."""
        if len(self.connections) < 12:
            member = self.rig.stranger(name)
            self.connections.append(member)
            member.hello()

    @rule(pick=picks, clogged=st.booleans(), back=st.sampled_from([True, True, True, False]))
    def disconnect(self, pick: int, clogged: bool, back: bool) -> None:
        """With all that did not reach it unsent, or without; and most come back."""
        member = self.pick(pick)
        if member is not None:
            if clogged and member.stuck is None:
                member.stuck = []
            self.connections.remove(member)
            self.forget(member)
            member.disconnect()
            if back:
                self.connect(member.name.decode())

    @rule(pick=picks, name=st.sampled_from(EVERYONE), what=st.sampled_from(CHANGES))
    def change_members(self, pick: int, name: str, what: str) -> None:
        member = self.pick(pick)
        if what == "connect":
            self.connect(name)
        elif what == "clog" and member is not None and member.stuck is None:
            member.stuck = []  # nothing reaches it from here on, and all of that is unsent once it is gone
        elif what == "goodbye" and member is not None:
            member.goodbye()
        elif what == "noted" and member is not None:
            member.goodbye("noted")
        elif what == "drain" and pick % 4 == 0:
            self.rig.drain()
        elif what in {"gone", "powerless", "normal"}:
            self.register(name)
            if what == "gone":
                del self.rig.registry.members[f"key-of-{name}"]
            elif what == "powerless":
                self.rig.register(name)
            self.rig.change_registry()

    # -- clients

    @rule(
        pick=picks,
        count=st.integers(1, 4),
        service=services,
        tag=tags,
        time_ms=st.sampled_from([TIME_MS_MAX, TIME_MS_MAX, TIME_MS_MAX, 1_500, 400, 400, 50, 0]),
        receiver=st.sampled_from([b"", b"", b"", b"w1", b"w2", b"nobody"]),
        size=st.sampled_from([0, 0, 10, 600, 600, 600, 1_025]),
        age_ms=st.sampled_from([0, 0, 0, 300]),
        retry_count=st.sampled_from([0, 0, 1]),
        extension=st.sampled_from([b"", b"", pack_field(Field.AVOID, b"w1"), MALFORMED]),
    )
    def request(self, pick: int, count: int, service: str, tag: int | None, **fields: Any) -> None:
        callers = [each for each in self.connections if each.name.decode() in CLIENTS and pick % 8] or self.connections
        if callers:
            client = callers[pick % len(callers)]
            for _ in range(count):
                self.send_request(client, service, tag, **fields)

    def send_request(self, client: FakeMember, service: str, tag: int | None, **fields: Any) -> None:
        id_ = (len(self.callers) + 1).to_bytes(16)
        self.callers[id_] = client.name
        tag = 100 + len(self.callers) if tag is None else tag
        fields["sent_ms"] = (client.sent_ms - fields.pop("age_ms")) & UINT32
        payload = bytes(fields.pop("size"))
        request = client.envelope(service, payload, tag=tag, id=id_, sender=b"somebody else", working_ms=100, **fields)
        session = self.rig.core.sessions.get(client.route)
        if session is None or tag in session.requests:
            client.frame(encode(request))
            return
        self.read(client)
        asked = self.asked[client.route, tag] = Asked(client, request)
        client.frame(encode(request))
        if tag in session.requests:
            asked.deadline = session.requests[tag].deadline
            assert asked.deadline <= self.rig.now + request.time_ms / 1000, "more time than the client gave"
        elif request.retry_count and request.extension == MALFORMED:
            self.read(client)
            self.asked.pop((client.route, tag), None)  # it was dropped, unless it was refused before

    @rule(pick=picks, how=st.sampled_from([*Withdrawal, 99]))
    def cancel(self, pick: int, how: int) -> None:
        if self.asked:
            asked = list(self.asked.values())[pick % len(self.asked)]
            asked.superseded = True
            asked.given_up = asked.given_up or how != Withdrawal.SUPERSEDED
            asked.client.cancel(asked.request, how)

    @rule(pick=picks, late_ms=st.sampled_from([0, 50, 5_000, UINT32]))
    def renew(self, pick: int, late_ms: int) -> None:
        """Its client counts on what waits, or says so of anything at all."""
        if self.asked:
            asked = list(self.asked.values())[pick % len(self.asked)]
            written_ms = (int(self.rig.now * 1000) - late_ms) & UINT32
            renewal = Envelope(
                RENEW, asked.request.id, tag=asked.request.tag, sent_ms=asked.client.sent_ms, time_ms=written_ms
            )
            asked.client.frame(encode(renewal))

    # -- workers

    @rule(pick=picks, service=services, credit=st.sampled_from([0, 1, 2, 3, UINT32]))
    def ready(self, pick: int, service: str, credit: int) -> None:
        worker = self.pick(pick)
        if worker is None:
            return
        session = self.rig.core.sessions.get(worker.route)
        if session is None or session.state == "leaving" or not session.member.may_serve(service):
            worker.control(Ready(service, credit))
        else:
            worker.ready(service, credit)

    @rule(
        pick=picks,
        count=st.integers(1, 3),
        command=st.sampled_from([REPLY, REPLY, REPLY, WORKING, REJECT, REJECT, LOST]),
        code=st.sampled_from([0, 0, Reason.BUSY, *Reason, 99]),
    )
    def answer(self, pick: int, count: int, command: int, code: int = 1) -> None:
        for _ in range(min(count, len(self.assigned))):
            worker, request = list(self.assigned.values())[pick % len(self.assigned)]
            if command != WORKING:
                del self.assigned[worker.route, request.tag]
            worker.send_answer(command, request, payload=request.id, code=code, sender=b"somebody else")
            self.read_all()

    @rule(pick=picks, thief=picks, command=st.sampled_from([REPLY, WORKING, REJECT, LOST]))
    def answer_for_another(self, pick: int, thief: int, command: int) -> None:
        robber = self.pick(thief)
        if self.assigned and robber is not None:
            _worker, request = list(self.assigned.values())[pick % len(self.assigned)]
            if (robber.route, request.tag) not in self.assigned:
                robber.send_answer(command, request, payload=b"forged")

    # -- operators, and others who ask the same

    @rule(
        action=st.sampled_from([TAKE_OUT, TAKE_OUT, PUT_BACK, PUT_BACK, DRAIN]),
        name=st.sampled_from([*WORKERS, *WORKERS, "c1", "b3", BROKER]),
        pick=picks,
        entitled=st.sampled_from([True, True, True, False]),
    )
    def operate(self, action: str, name: str, pick: int, entitled: bool) -> None:
        if self.operator.route not in self.rig.core.sessions:
            self.operator = self.rig.stranger("ops")
            self.operator.hello()
        member = self.operator if entitled else self.pick(pick)
        if member is not None:
            out = {route for route, session in self.rig.core.sessions.items() if session.withheld is not None}
            member.control(Operate(pick, action, name))
            self.operator.take()
            left = {route for route, session in self.rig.core.sessions.items() if session.withheld is not None}
            assert entitled or out == left
            assert entitled or not self.rig.core.leaving or self.left
            self.left = self.rig.core.leaving
            if entitled and self.operator.route in self.rig.core.sessions and action != DRAIN:
                named = [each for each in self.rig.core.sessions.values() if each.member.name == name]
                assert all((each.withheld is not None) is (action == TAKE_OUT) for each in named if name in WORKERS)

    # -- brokers among themselves

    @rule(pick=picks, message=gossip)
    def say_as_a_broker(self, pick: int, message: Gossiped) -> None:
        """Over a session: true, false, or out of place, as a node must never send it."""
        member = self.pick(pick)
        if member is None:
            return
        membership, session = self.rig.peering.membership, self.rig.core.sessions.get(member.route)
        version, malformed = membership.version, self.rig.counters["malformed"]
        member.control(message)
        if session is not None and session.member.role is Role.NODE:
            assert self.rig.counters["malformed"] == malformed + 1
            assert membership.version == version, "a node has changed what is known of the brokers"

    @rule(message=gossip | abouts)
    def hear(self, message: Gossiped | About) -> None:
        """Over the broker's own connection to a peer."""
        if self.peer.connected:
            before = self.rig.peering.abouts.get("b2")
            self.peer.say(message)
            held = self.rig.peering.abouts.get("b2")
            assert self.rig.peering.abouts.keys() <= {"b2"}, "it has spoken for another one"
            assert before is None or (held is not None and held.version >= before.version)

    @rule(alive=st.booleans())
    def peer_comes_or_goes(self, *, alive: bool) -> None:
        if self.peer.connected and not alive:
            self.peer.lose()
        self.peer.alive = alive

    @rule(pick=picks, service=st.sampled_from(["echo", "sum", "none"]))
    def seek(self, pick: int, service: str) -> None:
        member = self.pick(pick)
        if member is not None:
            member.control(Seek(service))

    # -- garbage

    @rule(pick=picks, hostile=hostilities)
    def be_hostile(self, pick: int, hostile: Hostility) -> None:
        member = self.pick(pick)
        if member is None:
            return
        if isinstance(hostile, Control):
            member.control(hostile)
        elif isinstance(hostile, bytes):
            member.frame(hostile)
        elif isinstance(hostile, tuple):
            command, at, value = hostile
            if (at, value) not in {(5, REQUEST), (5, CANCEL)}:  # it would mean something
                message = encode(Envelope(command, bytes(16), service=b"echo", tag=1 << 30, sent_ms=member.sent_ms))
                member.frame(message[:at] + bytes((value,)) + message[at + 1 :])
        elif member.route in self.rig.core.sessions:
            forger = FakeMember(self.rig, "forger", member.route, f"not-{member.principal}")
            forger.request("echo", tag=77)
            forger.goodbye()

    # -- time and the broker's own life

    @rule(seconds=st.sampled_from([0.01, 0.06, 0.3, 0.8, 2.0]), alive=st.sampled_from([True, True, True, False]))
    def pass_time(self, seconds: float, alive: bool) -> None:
        end = self.rig.now + seconds
        while self.rig.now < end - 1e-9:
            if alive:
                for member in self.connections:
                    member.heartbeat()
            self.rig.advance(min(0.5, end - self.rig.now))

    @rule(seconds=st.sampled_from([0.4, 0.5, 2.0, 10.0]), pick=picks)
    def stall(self, seconds: float, pick: int) -> None:
        """The broker is stopped, and afterwards reads what has come before it looks at its timers."""
        draining = self.rig.core.dispatcher.draining
        silent_s = {
            route: (self.rig.now - session.heard_at, session.usage.principal)
            for route, session in self.rig.core.sessions.items()
            if not (draining and session.noted)  # it may end at any tick
        }
        self.rig.now += seconds
        self.answer(pick, 2, REPLY)
        self.rig.tick()
        settings = self.rig.settings
        for route in silent_s.keys() - self.rig.core.sessions.keys():
            was_silent_s, principal = silent_s[route]
            if self.rig.registry.member(principal) is not None:
                assert was_silent_s + 0.1 > settings.dead_after_s, "given up for the broker's own pause"

    # -- the account

    def forget(self, member: FakeMember) -> None:
        """A session is over: nothing is owed to it or held by it any more."""
        self.read(member)
        self.asked = {key: asked for key, asked in self.asked.items() if asked.client is not member}
        self.assigned = {key: each for key, each in self.assigned.items() if each[0] is not member}
        member.held.clear()
        member.granted.clear()

    def read_all(self) -> None:
        for member in self.connections:
            self.read(member)

    def read(self, member: FakeMember) -> None:
        for received in member.take():
            if isinstance(received, Paths):
                assert set(received.brokers) <= {"b2"}
                assert received.service in {"echo", "sum", "none"}
            if not isinstance(received, Envelope) or received.command == CANCEL:
                continue
            if received.command == REQUEST:
                assert received.sender == self.callers[received.id]
                assert not any(asked.superseded and asked.request.id == received.id for asked in self.asked.values()), (
                    "a worker got what its client had withdrawn before"
                )
                self.assigned[member.route, received.tag] = (member, received)
            else:
                self.check_answer(member, received)

    def check_answer(self, member: FakeMember, answer: Envelope) -> None:
        asked = self.asked.get((member.route, answer.tag))
        assert asked is not None, "an answer that nobody waits for"
        assert answer.id == asked.request.id, "the answer to another request"
        assert not asked.given_up, "an answer after CANCEL"
        if answer.sender == BROKER.encode():
            assert answer.command in (REJECT, LOST) or (answer.command, answer.code) == (WORKING, Progress.QUEUED)
        elif (answer.command, answer.code) == (WORKING, Progress.SILENT):
            assert answer.sender.decode() in WORKERS
        else:
            assert answer.sender.decode() in WORKERS
            assert answer.receiver == member.name
            assert answer.payload == asked.request.id, "what another worker said"
        if answer.command in FINAL:
            del self.asked[member.route, answer.tag]

    @invariant()
    def accounts_agree(self) -> None:
        """What the broker holds is what its clients wait for, and a request ends unheard of only at its deadline."""
        sessions, now = self.rig.core.sessions, self.rig.now
        self.read_all()
        for member in self.connections:
            if member.route not in sessions:
                self.forget(member)
        held = {(route, tag): each for route, session in sessions.items() for tag, each in session.requests.items()}
        for key, transit in held.items():
            assert transit.deadline > now - 2 * GRAIN_S, "held beyond its deadline"
            assert not self.asked[key].given_up
        for key, asked in list(self.asked.items()):
            if key not in held:
                unheard = asked.given_up or asked.client.stuck is not None or asked.deadline <= now
                assert unheard, "a request that vanished before its deadline"
                del self.asked[key]

    def teardown(self) -> None:
        """Whatever is still asked ends by its deadline."""
        if hasattr(self, "rig"):
            for _ in range(TIME_MS_MAX // 1000 + 1):
                self.pass_time(1.0, True)
                self.accounts_agree()
            assert not self.asked
            assert self.rig.core.dispatcher.queues.bytes == 0


TestBroker: Any = Machine.TestCase
TestBroker.settings = hypothesis_settings(max_examples=15 * TIMES, stateful_step_count=50, deadline=None)
