"""The broker: brings requests to workers and answers back, and keeps nothing that could be lost.

Inputs: `on_frame`, `on_breach`, `on_unsent`, `on_disconnect`, `on_registry`, `drain`, `on_timer`. After any of them the
shell sends what `take_sends` returns, ends the connections that `take_cuts` returns, and logs what `take_events`
returns; it calls `on_timer` no later than `next_deadline`. Nothing that a peer sends raises: what is handled for one
session can end that session at most. The broker's part among the other brokers is PeeringCore, which the shell serves
as well.
"""

from collections.abc import Callable, Collection
from typing import Final, Literal

from braidmq.core.announcements import Announcements
from braidmq.core.bars import Bars
from braidmq.core.containment import shape_of
from braidmq.core.dispatch import KEY_IN_FLIGHT_FACTOR, Dispatcher
from braidmq.core.events import DEBUG, INFO, WARNING, Event, EventLog
from braidmq.core.exchange import OFFENCES_MAX, Account, Session, SessionState
from braidmq.core.intake import TURN_MESSAGES_MAX, Intake
from braidmq.core.links import STALL_S
from braidmq.core.outbox import Outbox
from braidmq.core.peering import PeeringCore
from braidmq.core.report import report
from braidmq.errors import ProtocolError
from braidmq.members import Directory, Member, Role
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.bundle import split_some
from braidmq.wire.envelope import (
    CANCEL,
    COMMON,
    CONTROL_FIRST,
    LOST,
    MAJOR,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    UINT32,
    VERSION,
    WORKING,
    Command,
)
from braidmq.wire.gossip import Paths, Seek
from braidmq.wire.limits import ROUTE_BYTES

TICK_S: Final = 0.04
"""How often the broker looks after its sessions and announcements; see also TICK_S of links.py."""

NODES_PER_HEARTBEAT_S: Final = 2_000
"""Above this many nodes the heartbeat interval grows with their number, so that a broker spends at most some
percent of a core on heartbeats."""

STRANGERS_MAX: Final = 1_024
"""Routes without a session that were told so; they are told once."""

GUEST_S_MAX: Final = 3.0
"""The log has nodes that provide no service only once they have stayed for so long: a call from the command line is
nothing that anybody wants to read of."""

TWIN_S_MAX: Final = 90.0
"""How long another process of the same key counts as running after it was met: some of the looks that brokers take."""

SEEKS_PER_TICK: Final = 64
"""SEEKs of one key that are answered between two ticks: a node that starts may seek many services, and asks again."""

REPORT_ROWS_PER_TICK: Final = 1_000
"""Sessions and services that a report may count in each tick, some percent of a core: with more of them observers wait
longer for the next one."""

ENDED_PER_TICK: Final = 50
"""Sessions that a draining broker ends in one tick: one per millisecond, so that not all nodes turn to the others at
one instant."""

_HELLO: Final = int(Command.HELLO)
_HEARTBEAT: Final = int(Command.HEARTBEAT)

NODE_COMMANDS: Final = frozenset((Command.HELLO, Command.READY, Command.GOODBYE, Command.STATUS, Command.SEEK))
"""The control messages, besides HEARTBEAT, that a broker reads from anybody. Others are skipped, and not even decoded:
lists of services cost much memory."""

BROKER_COMMANDS: Final = frozenset(
    (Command.PING, Command.ACK, Command.PROBE, Command.NACK, Command.GOSSIP, Command.SYNC)
)
"""Those that it reads from other brokers only."""

NODE_CONTROL_BYTES_MAX: Final = 4_096
"""Longest control message of a node: names, numbers and a text of 255 characters."""


class BrokerCore:
    """See the module.

    Args:
        settings: see Settings.
        directory: who is registered.
        peering: the broker among the others.
        software: what it says it runs.
        now: the time.
        process: tells this process from another one that runs with the same key.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        peering: PeeringCore,
        *,
        software: str,
        now: float,
        process: str = "",
    ) -> None:
        self.name = name = peering.own.name
        self.settings = settings
        self.peering = peering
        self.counters = dict.fromkeys(
            (
                "requests", "replies", "rejected", "lost", "expired", "cancelled", "malformed", "forged",
                "unmatched", "denied", "returned", "postponed", "working_dropped", "sessions", "sessions_dead",
                "sessions_refused", "twins", "barred", "faults",
            ),
            0,
        )  # fmt: skip
        self.sessions: dict[bytes, Session] = {}
        self._software = software
        self._process = process
        self._twin = ""
        self._twin_at = now
        self._directory = directory
        self._started_at = now
        self._accounts: dict[str, Account] = {}
        self._strangers: dict[bytes, None] = {}
        self._observers: dict[Session, None] = {}
        self._intake: Intake[Session] = Intake()
        self._bars = Bars()
        self._cuts: list[bytes] = []
        self._containment = peering.containment
        self._report_at = now
        self._seeking: dict[Account, None] = {}
        self._outbox: Outbox[bytes] = Outbox()
        self._events = EventLog()
        self.dispatcher = Dispatcher(name, settings, self._outbox, self.counters, self._events)
        if settings.settle_s:
            self.dispatcher.settle_at = now + settings.settle_s
        self._announcements = Announcements(settings, self.sessions, self.dispatcher, peering, self._outbox, now=now)
        self._tick_at = now + TICK_S
        self._ticked_at = now
        self._heartbeat_at = now + settings.heartbeat_s / 2

    # -- outputs

    def take_sends(self) -> dict[bytes, list[bytes]]:
        """Return the messages that are due to each route, in order, and forget them."""
        return self._outbox.take()

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log, and forget it."""
        return self._events.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = self.dispatcher.next_deadline()
        if due is None or due > self._tick_at:
            due = self._tick_at
        since = self._intake.since
        return due if since is None or since > due else since

    def take_cuts(self) -> list[bytes]:
        """Return the connections to end now, whatever their members do; and forget them."""
        cuts, self._cuts = self._cuts, []
        return cuts

    def barred_s(self, principal: str, now: float) -> float:
        """Return for how much longer a key is kept out, though it is registered; 0.0 if it is not."""
        return self._bars.left_s(principal, now)

    def report(self, now: float) -> control.Report:
        """Return the broker's state for an observer."""
        return report(
            self.name,
            self.sessions.values(),
            self.dispatcher,
            [self._own_row(now), *self.peering.rows(now)],
            self.counters | {f"gossip_{name}": count for name, count in self.peering.membership.counters.items()},
            software=self._software,
            uptime_s=now - self._started_at,
            now=now,
        )

    @property
    def behind(self) -> bool:
        """Whether messages that have come wait to be handled by `on_timer`."""
        return self._intake.since is not None

    @property
    def handled(self) -> int:
        """How many messages it has handled so far."""
        return self._intake.handled + self.peering.handled

    @property
    def idle(self) -> bool:
        """Whether this draining broker has nothing left to do: it has ended every session."""
        return self.dispatcher.draining and not self.sessions

    @property
    def accounts(self) -> Collection[Account]:
        """What each connected key holds here."""
        return self._accounts.values()

    @property
    def strangers(self) -> int:
        """How many routes without a session are remembered."""
        return len(self._strangers)

    # -- inputs

    def on_frame(self, route: bytes, principal: str, frame: bytes, now: float) -> None:
        """Take in a frame from the connection `route`, whose key is `principal`."""
        session = self.sessions.get(route)
        if session is not None and session.account.principal != principal:
            # Its owner's connection has ended, and somebody else has its routing id: nothing may go there any more.
            self.counters["forged"] += 1
            self._events.add(WARNING, "{} is gone: another key has its routing id", session.member.name)
            self._end(session, now)
            session = None
        if session is None:
            session = self._meet(route, principal, frame, now)
            if session is None:
                return
        session.heard_at = now
        inlet = session.account.inlet
        messages, intact = self._intake.offer(inlet, session, frame, now)
        self._read(session, messages, intact, now)
        if not messages and inlet.overflown:
            self._bar(session.account.principal, session.member, "sends more than can be read", now)

    def on_breach(self, route: bytes, principal: str, what: str, now: float) -> None:
        """Take in that the transport has read from the connection `route` `what` no member may send."""
        self.counters["malformed"] += 1
        if not self._bars.left_s(principal, now):
            self._bar(principal, self._directory.member(principal), what, now)
        self._cuts.append(route)

    def on_unsent(self, route: bytes, messages: list[bytes], now: float) -> None:
        """Take back messages for `route` that were certainly not sent; call it before `on_disconnect`."""
        session = self.sessions.get(route)
        if session is not None:
            try:
                self.dispatcher.on_unsent(session, messages, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._contain(session, error, "what was not sent to", now)

    def on_disconnect(self, route: bytes, now: float) -> None:
        """Take in that the connection `route` is gone."""
        session = self.sessions.get(route)
        if session is not None and not self._intake.end(session.account.inlet, session):
            self._on_gone(session, now)

    def on_registry(self, now: float) -> None:
        """Take in that the directory changed: members that are gone are cut off, rights are looked up anew."""
        for session in list(self.sessions.values()):
            try:
                self._on_new_rights(session, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._contain(session, error, "the new rights of", now)

    def drain(self, now: float) -> None:
        """Take no new requests from now on, and tell every member and every other broker."""
        self._events.sum_up()
        self.dispatcher.draining = True
        self.peering.drain(now)
        if self.peering.has_company:
            self._try(self.dispatcher.release_queues, now)
        for session in self.sessions.values():
            self._send_control(session, control.Goodbye("draining"), now)

    def end(self, now: float) -> None:
        """Take in that the drain time is over: what still waits here for a worker goes back to its clients."""
        self._try(self.dispatcher.release_queues, now)

    def on_timer(self, now: float) -> None:
        """Take in that time has passed. What has come before must have been taken in."""
        tick = now >= self._tick_at
        if tick:
            self._notice_stall(now)
        if self._intake.since is not None:
            self._read_on(now)
        self._try(self.dispatcher.on_timer, now)
        if self.dispatcher.failed:
            for session, error in self.dispatcher.take_failed():
                self._contain(session, error, "a request that was due of", now)
        if tick:
            self._tick(now)

    # -- what can go wrong

    def _try(self, step: Callable[[float], object], now: float) -> None:
        """Take a step that concerns no single session."""
        try:
            step(now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._containment.note(error, "a step of this broker failed, and it goes on without")

    def _contain(self, session: Session, error: Exception, what: str, now: float) -> None:
        """End the session for which something could not be handled."""
        name = session.member.name
        self._containment.note(error, f"{what} {name} could not be handled, and the session of {name} ends")
        if self.sessions.get(session.route) is not session:
            return
        try:
            self._end(session, now)
        except Exception as another:  # noqa: BLE001 - see containment.py
            self._containment.note(another, f"the session of {name} could not be ended in order")
            self.sessions.pop(session.route, None)
            self._observers.pop(session, None)
            self._announcements.on_end(session)
            session.state = SessionState.LEAVING
        self._turn_away(session.route, "ended", "the broker has met an error of its own, which its log tells", now)

    def _bar(self, principal: str, member: Member | None, why: str, now: float) -> None:
        """End all that a key has here, and keep it out for some time."""
        lasts_s = self._bars.add(principal, now)
        self.counters["barred"] += 1
        who = f"key {principal[:16]}..." if member is None else member.name
        form = "{} {}: its connections are cut, and it is barred for {} s"
        self._events.add(WARNING, form, who, why, f"{lasts_s:.0f}")
        for session in [each for each in self.sessions.values() if each.account.principal == principal]:
            try:
                self._end(session, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._contain(session, error, "the end of", now)
            self._turn_away(session.route, "refused", f"this key {why}: it is barred for {lasts_s:.0f} s", now)
            self._cuts.append(session.route)

    # -- sessions

    def _meet(self, route: bytes, principal: str, frame: bytes, now: float) -> Session | None:
        """Begin a session, if that is what the first message of a frame asks for."""
        messages, _, _ = split_some(frame, 0, 1)
        if not messages or messages[0][5] != _HELLO or messages[0][4] >> 4 != MAJOR:
            self._turn_away(route, "no-session", "say HELLO first", now)
            return None
        member = self._directory.member(principal)
        if member is not None and member.name == self.name:
            self._meet_itself(route, messages[0], now)
            return None
        return self._welcome(route, principal, now)

    def _on_gone(self, session: Session, now: float) -> None:
        """The connection of a session is gone, and what has come over it before was read."""
        try:
            self._end(session, now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._contain(session, error, "the end of", now)
        self._events.add(INFO if session.told else DEBUG, "{} disconnected", session.member.name)

    def _on_new_rights(self, session: Session, now: float) -> None:
        member = self._directory.member(session.account.principal)
        if member is None:
            self._end(session, now)
            self._turn_away(session.route, "refused", "the key is no longer registered", now)
            return
        before = session.member
        if Role.BROKER in (before.role, member.role) and (before.role, before.name) != (member.role, member.name):
            self._end(session, now)  # the other brokers' sessions are counted by their names
            self._turn_away(session.route, "ended", "the key is registered as another member now", now)
            return
        session.member = member
        session.name = member.name.encode()
        self.dispatcher.on_rights(session, now)

    def _welcome(self, route: bytes, principal: str, now: float) -> Session | None:
        member = self._directory.member(principal)
        account = self._accounts.get(principal) or Account(principal, now)
        if self.dispatcher.draining:
            self._turn_away(route, "ended", "this broker is about to stop", now)
            return None
        if member is not None and not self._bars.count_session(principal, now):
            self._bar(principal, member, "begins sessions too often", now)
            self._cuts.append(route)
            return None
        why = self._why_refused(route, account, member, now)
        if why or member is None:
            self.counters["sessions_refused"] += 1
            who = f"key {principal[:16]}..." if member is None else member.name
            if self._turn_away(route, "refused", why, now):
                self._events.add(WARNING, "refused a session to {}: {}", who, why)
            return None
        heartbeat_s = self.settings.heartbeat_s * max(1.0, len(self.sessions) / NODES_PER_HEARTBEAT_S)
        session = self.sessions[route] = Session(route, account, member, heartbeat_s, now)
        self._accounts[principal] = account
        account.sessions += 1
        self._strangers.pop(route, None)
        self.counters["sessions"] += 1
        if member.role is Role.BROKER:
            self._tell_of(session)
        else:
            self._events.add(DEBUG, "hello from {}", member.name)
        welcome = control.Welcome(
            self.name, member.name, int(heartbeat_s * 1000), self.settings.payload_bytes_max, self._software
        )
        self._send_control(session, welcome, now)
        self._announcements.on_welcome(session, now)
        if member.role is Role.BROKER:
            self.peering.on_session(member.name, up=True, now=now)
        return session

    def _meet_itself(self, route: bytes, hello: bytes, now: float) -> None:
        """Refuse this broker's own key, and say who is here: perhaps another process runs with its join file."""
        try:
            received = control.decode_control(hello)
        except ProtocolError:
            received = None
        other = received.software if isinstance(received, control.Hello) else "an unknown one"
        if other != self._process:
            self.counters["twins"] = 1
            self._twin_at = now
            if other != self._twin:
                self._twin = other
                form = "another process runs as {}, with the same join file: {}; stop one of the two"
                self._events.add(WARNING, form, self.name, other)
        self._turn_away(route, "refused", self._process, now)

    def _why_refused(self, route: bytes, account: Account, member: Member | None, now: float) -> str:
        settings = self.settings
        if member is None:
            return "the key is not registered"
        if barred_s := self._bars.left_s(account.principal, now):
            return f"this key is barred for another {barred_s:.0f} s"
        if len(route) != ROUTE_BYTES or not route[0]:
            return f"a routing id must be {ROUTE_BYTES} bytes, the first not 0"
        if len(self.sessions) >= settings.nodes_max:
            return f"nodes_max={settings.nodes_max} is reached: add brokers, or raise it here"
        if account.sessions >= settings.connections_per_key_max:
            most = settings.connections_per_key_max
            return (
                f"connections_per_key_max={most} is reached: give each process a join file of its own, or raise it here"
            )
        return ""

    def _turn_away(
        self, route: bytes, reason: Literal["ended", "no-session", "refused"], text: str, now: float
    ) -> bool:
        if route in self._strangers:
            return False
        self._note_stranger(route)
        self._outbox.put_control(route, control.Goodbye(reason, text[:255]), now)
        return True

    def _note_stranger(self, route: bytes) -> None:
        if len(self._strangers) >= STRANGERS_MAX:
            self._strangers.clear()
        self._strangers[route] = None

    def _end(self, session: Session, now: float) -> None:
        self.dispatcher.on_unsent(session, self._outbox.drop(session.route), now)
        self._forget(session, now)

    def _forget(self, session: Session, now: float) -> None:
        self.dispatcher.on_end(session, now)
        del self.sessions[session.route]
        self._observers.pop(session, None)
        self._announcements.on_end(session)
        if session.member.role is Role.BROKER:
            self.peering.on_session(session.member.name, up=False, now=now)
        session.account.sessions -= 1
        if not session.account.sessions:
            self._intake.drop(session.account.inlet)
            del self._accounts[session.account.principal]

    def _set_state(self, session: Session, state: SessionState, now: float) -> None:
        if session.state is state or session.state is SessionState.LEAVING:
            return
        session.state = state
        if state is not SessionState.LEAVING:
            self._tell_of(session)
        self._events.add(INFO if session.told else DEBUG, "{} is {}", session.member.name, state)
        self.dispatcher.on_state(session, now)

    def _tell_of(self, session: Session) -> None:
        """Let the log have a session, once."""
        if not session.told:
            session.told = True
            self._events.add(INFO, "{} connected", session.member.name)

    def _malformed(self, session: Session, what: str, now: float) -> None:
        self.counters["malformed"] += 1
        session.account.offend(now)
        if not session.warned:
            session.warned = True
            self._events.add(WARNING, "{} sent {}; more of it is only counted", session.member.name, what)

    # -- messages

    def _read(self, session: Session, messages: list[bytes], intact: bool, now: float) -> None:
        """Handle messages that stood in one frame, one behind the other."""
        message = b""
        try:
            if messages:
                written = messages[0][8:12]
                age_s = session.staleness.age_s(int.from_bytes(written), now)
                for message in messages:
                    if message[8:12] != written:  # it was added to what waited for a full pipe
                        written = message[8:12]
                        age_s = session.staleness.age_s(int.from_bytes(written), now)
                    self._on_message(session, message, age_s, now)
            if not intact:
                self._malformed(session, "a frame that is no bundle", now)
            if session.state is SessionState.SUSPECT:  # after its messages: it may take back its credit, or leave
                self._set_state(session, SessionState.OPEN, now)
            if session.account.offences > OFFENCES_MAX:
                self._bar(session.account.principal, session.member, "keeps sending what is not BRAID/1", now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._contain(session, error, f"a message ({shape_of(message)}) of", now)

    def _read_on(self, now: float) -> None:
        """Handle what waits of the frames that have come, as much as may be done in one turn."""
        left = TURN_MESSAGES_MAX
        while left > 0:
            portion = self._intake.take()
            if portion is None:
                return
            _, session, messages, intact = portion
            left -= len(messages) or 1
            if self.sessions.get(session.route) is not session:
                continue  # it has ended meanwhile
            if messages or not intact:
                self._read(session, messages, intact, now)
            else:
                self._on_gone(session, now)

    def _on_message(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        command = message[5]
        if message[4] >> 4 != MAJOR:
            self._malformed(session, f"a message of major version {message[4] >> 4}", now)
            return
        try:
            if command == REQUEST:
                self.dispatcher.on_request(session, message, age_s, now)
            elif command in (REPLY, WORKING, REJECT, LOST):
                self.dispatcher.on_answer(session, command, message, now)
            elif command == CANCEL:
                self.dispatcher.on_cancel(session, message, now)
            elif command == RENEW:
                self.dispatcher.on_renew(session, message, now)
            elif command >= CONTROL_FIRST and command != _HEARTBEAT:
                self._on_control(session, command, message, now)
        except ProtocolError as error:
            self._malformed(session, str(error), now)

    def _on_control(self, session: Session, command: int, message: bytes, now: float) -> None:
        if session.member.role is not Role.BROKER:
            if command in BROKER_COMMANDS:
                raise ProtocolError("what only brokers may say")
            if len(message) > NODE_CONTROL_BYTES_MAX:
                raise ProtocolError(f"a control message of {len(message)} bytes")
        elif command in BROKER_COMMANDS:
            self._on_gossip(session, message, now)
            return
        if command not in NODE_COMMANDS:
            return
        received = control.decode_control(message)
        if isinstance(received, control.Ready):
            self._tell_of(session)
            self.dispatcher.on_ready(session, received, now)
        elif isinstance(received, control.Hello):
            session.instance = received.instance
        elif isinstance(received, control.Goodbye):
            if received.reason == "noted":
                session.noted = True
            else:
                self._set_state(session, SessionState.LEAVING, now)
                self.dispatcher.remove_slots(session, now)
                self._send_control(session, control.Goodbye("noted"), now)
        elif isinstance(received, control.Status):
            self._observers[session] = None
        elif isinstance(received, Seek):
            account = session.account
            if account.seeks < SEEKS_PER_TICK and session.member.may_call(received.service):
                account.seeks += 1
                self._seeking[account] = None
                self._send_control(session, Paths(received.service, self.peering.offers(received.service)), now)

    def _on_gossip(self, session: Session, message: bytes, now: float) -> None:
        received = control.decode_control(message)
        assert isinstance(received, control.Gossiped)
        self.peering.on_message(session.member.name, received, now)
        self._pass_answers(now)

    def _send(self, session: Session, message: bytes) -> None:
        session.spoke = True
        self._outbox.put(session.route, message)

    def _send_control(self, session: Session, message: control.Control, now: float) -> None:
        self._send(session, control.encode_control(message, int(now * 1000) & UINT32))

    # -- time

    def _notice_stall(self, now: float) -> None:
        """Take the time in which this process has stood still off the silence of others."""
        if now - self._tick_at > STALL_S:
            stalled_s = now - self._ticked_at - TICK_S
            for session in self.sessions.values():
                session.heard_at = min(now, session.heard_at + stalled_s)
                session.spoke = False  # what was said before is as old as the standstill
        self._ticked_at = now
        self._tick_at = now + TICK_S

    def _tick(self, now: float) -> None:
        self._events.on_timer(now)
        if self._twin and now - self._twin_at > TWIN_S_MAX:
            self._twin = ""
            self.counters["twins"] = 0
        self.counters["faults"] = self._containment.count
        self._try(self._watch_sessions, now)
        self._try(self.dispatcher.on_tick, now)
        for account in self._seeking:
            account.seeks = 0
        self._seeking.clear()
        if self._observers and now >= self._report_at:
            self._try(self._answer_observers, now)
        self._try(self._pass_answers, now)
        self._try(self._announcements.on_tick, now)
        if self.dispatcher.draining:
            self._try(self._end_sessions, now)

    def _watch_sessions(self, now: float) -> None:
        """Look who is silent, and say a word to whoever has not heard one."""
        silent, self.dispatcher.silent = self.dispatcher.silent, []
        for session in silent:
            if self.sessions.get(session.route) is session:
                self._set_state(session, SessionState.SUSPECT, now)
        beat = now >= self._heartbeat_at
        if beat:
            self._heartbeat_at = now + self.settings.heartbeat_s / 2
        heartbeat = COMMON.pack(COMMON.size + 1, VERSION, Command.HEARTBEAT, 0, 0, int(now * 1000) & UINT32) + b"\x80"
        dead = []
        for session in self.sessions.values():
            if not session.told and now - session.began_at >= GUEST_S_MAX:
                self._tell_of(session)
            silent_s = (now - session.heard_at) * (self.settings.heartbeat_s / session.heartbeat_s)
            if silent_s > self.settings.suspect_after_s:
                if silent_s > self.settings.dead_after_s:
                    dead.append(session)
                    continue
                self._set_state(session, SessionState.SUSPECT, now)
            if beat:
                # Twice per heartbeat_s: what was said just after one beat covers the next, and no more.
                if session.spoke:
                    session.spoke = False
                else:
                    self._send(session, heartbeat)
        for session in dead:
            self.counters["sessions_dead"] += 1
            silence = f"{now - session.heard_at:.1f}"
            self._events.add(WARNING, "{} was silent for {} s: given up", session.member.name, silence)
            self._end(session, now)
            self._turn_away(session.route, "no-session", "you were silent for too long", now)

    def _end_sessions(self, now: float) -> None:
        """End the sessions that are done with this draining broker.

        Those of workers end once nothing can need them, those of other brokers last, so that these hear of it until
        the end.
        """
        busy = any(session.requests for session in self.sessions.values())
        nodes = [session for session in self.sessions.values() if session.member.role is Role.NODE]
        done = [
            session
            for session in nodes or self.sessions.values()
            if session.noted and not session.requests and not (busy and (session.slots or session.assigned))
        ]
        for session in done[:ENDED_PER_TICK]:
            self._send_control(session, control.Goodbye("ended"), now)
            self._forget(session, now)
            self._note_stranger(session.route)  # what it says until it has read that needs no answer

    def _pass_answers(self, now: float) -> None:
        """Send what the membership has for peers that are connected to this broker, but not the other way round."""
        answers = self.peering.take_answers()
        if answers:
            for session in reversed(self.sessions.values()):  # of several the newest: an old one may be dead
                for message in answers.pop(session.member.name, ()):
                    self._send_control(session, message, now)

    def _own_row(self, now: float) -> control.PeerStatus:
        own, about = self.peering.membership, self._announcements.about()
        return control.PeerStatus(
            self.name,
            own.state,
            incarnation=own.incarnation,
            since_ms=int((now - own.since) * 1000),
            nodes=about.nodes,
            in_flight=about.in_flight,
            queued=about.queued,
            services=len(about.services),
        )

    def _answer_observers(self, now: float) -> None:
        """Send one report to each member that has asked since the last tick, however often it asked."""
        observers, self._observers = self._observers, {}
        sent_ms, report_ = int(now * 1000) & UINT32, b""
        denial = control.encode_control(control.Report(broker=self.name, denied=True), sent_ms)
        for session in observers:
            if session.member.observe or session.member.role is Role.BROKER:
                if not report_:
                    report_ = control.encode_control(self.report(now), sent_ms)
                    rows = len(self.sessions) + len(self.dispatcher.services)
                    self._report_at = now + TICK_S * rows / REPORT_ROWS_PER_TICK
                self._send(session, report_)
            else:
                self.counters["denied"] += 1
                self._send(session, denial)

    # -- self-check

    def validate_state(self) -> None:
        """Assert what always holds between two inputs. For tests and the simulator."""
        settings = self.settings
        assert len(self.sessions) <= settings.nodes_max
        assert len(self._strangers) <= STRANGERS_MAX
        assert not self._strangers.keys() & self.sessions.keys()
        held: dict[str, list[Session]] = {}
        for route, session in self.sessions.items():
            assert session.route == route
            assert session.name == session.member.name.encode()
            held.setdefault(session.account.principal, []).append(session)
        assert self._accounts.keys() == held.keys()
        for principal, sessions in held.items():
            account = self._accounts[principal]
            assert all(session.account is account for session in sessions)
            requests = [exchange for session in sessions for exchange in session.requests.values()]
            assert account.sessions == len(sessions) <= settings.connections_per_key_max
            assert self._directory.member(principal) is not None
            assert account.in_flight == len(requests) <= settings.in_flight_max * KEY_IN_FLIGHT_FACTOR
            queued_bytes = sum(exchange.size_bytes for exchange in requests if exchange.waits)
            assert account.queued_bytes == queued_bytes <= settings.in_flight_bytes_max
        self._intake.validate_state([account.inlet for account in self._accounts.values()])
        self._bars.validate_state()
        assert not self._containment.count, "nothing that a peer sends is an error of our own"
        self.dispatcher.validate_state(self.sessions.values())
        self._announcements.validate_state()
        self._events.validate_state()
        self.peering.validate_state()
