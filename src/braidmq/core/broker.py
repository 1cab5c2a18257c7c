"""The broker: brings requests to workers and answers back, and keeps nothing that could be lost.

Inputs: `on_frame`, `on_breach`, `on_unsent`, `on_disconnect`, `on_registry`, `drain`, `on_timer`. After any of them the
shell sends what `take_sends` returns, ends the connections that `take_cuts` returns, and logs what `take_events`
returns; it calls `on_timer` no later than `next_deadline`. Nothing that a peer sends raises: what is handled for one
session can end that session at most. The broker's part among the other brokers is PeeringCore, which the shell serves
as well.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.announcements import Announcements
from braidmq.core.containment import shape_of
from braidmq.core.dispatch import Dispatcher
from braidmq.core.events.broker import SessionTaken
from braidmq.core.events.event import Event
from braidmq.core.events.log import EventLog
from braidmq.core.guard import Guard
from braidmq.core.intake import TURN_MESSAGES_MAX, Intake
from braidmq.core.key_usage import OFFENCES_MAX, KeyUsage
from braidmq.core.observers import Observers
from braidmq.core.outgoing import Outgoing
from braidmq.core.peering import PeeringCore
from braidmq.core.reception import Reception
from braidmq.core.send_queue import SendQueue
from braidmq.core.session_life import SessionLife
from braidmq.core.tap import Tap
from braidmq.core.transit import Session, SessionState
from braidmq.core.watch import Watch
from braidmq.errors import ProtocolError
from braidmq.members import Directory, Role
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    CANCEL,
    CONTROL_FIRST,
    LOST,
    MAJOR,
    REJECT,
    RENEW,
    REPLY,
    REQUEST,
    WORKING,
    Command,
)
from braidmq.wire.gossip import Paths, Seek

TICK_S: Final = 0.04
"""How often the broker looks after its sessions and announcements; see also TICK_S of links.py."""

SEEKS_PER_TICK: Final = 64
"""SEEKs of one key that are answered between two ticks: a node that starts may seek many services, and asks again."""

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
        observer: is told what happens to sessions and requests; the peering core has it as well.
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
        observer: BrokerObserver | None = None,
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
        self._directory = directory
        self._tap = None if observer is None else Tap(observer, directory)
        self._seeking: dict[KeyUsage, None] = {}
        self._containment = peering.containment
        self._intake: Intake[Session] = Intake()
        self._send_queue: SendQueue[bytes] = SendQueue()
        self._events = events = EventLog()
        self._outgoing = outgoing = Outgoing(name, self._send_queue, self.counters, observer)
        self.dispatcher = dispatcher = Dispatcher(settings, outgoing, self.counters, events, observer)
        if settings.settle_s:
            dispatcher.catalogue.settle_at = now + settings.settle_s
        self._announcements = Announcements(settings, self.sessions, dispatcher, peering, self._send_queue, now=now)
        self._observers = Observers(
            self.sessions,
            dispatcher,
            self._announcements,
            peering,
            outgoing,
            counters=self.counters,
            software=software,
            tick_s=TICK_S,
            now=now,
        )
        self._life = SessionLife(
            settings,
            directory,
            peering,
            sessions=self.sessions,
            intake=self._intake,
            dispatcher=dispatcher,
            announcements=self._announcements,
            observers=self._observers,
            send_queue=self._send_queue,
            outgoing=outgoing,
            counters=self.counters,
            events=events,
            software=software,
            observer=observer,
        )
        self._guard = Guard(self.sessions, self._life, self._containment, self.counters, events)
        self._reception = Reception(
            name,
            settings,
            directory,
            sessions=self.sessions,
            dispatcher=dispatcher,
            life=self._life,
            guard=self._guard,
            counters=self.counters,
            events=events,
            process=process,
            now=now,
            observer=observer,
        )
        self._watch = Watch(
            settings,
            self.sessions,
            dispatcher,
            self._life,
            outgoing,
            counters=self.counters,
            events=events,
            tick_s=TICK_S,
            now=now,
        )

    # -- outputs

    def take_sends(self) -> dict[bytes, list[bytes]]:
        """Return the messages that are due to each route, in order, and forget them."""
        sends = self._send_queue.take()
        if self._tap is not None:
            self._tap.on_sends(sends)
        return sends

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log, and forget it."""
        return self._events.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = self.dispatcher.next_deadline()
        if due is None or due > self._watch.tick_at:
            due = self._watch.tick_at
        since = self._intake.since
        return due if since is None or since > due else since

    def take_cuts(self) -> list[bytes]:
        """Return the connections to end now, whatever their members do; and forget them."""
        cuts, self._guard.cuts = self._guard.cuts, []
        return cuts

    def barred_s(self, principal: str, now: float) -> float:
        """Return for how much longer a key is kept out, though it is registered; 0.0 if it is not."""
        return self._guard.bars.left_s(principal, now)

    def report(self, now: float) -> control.Report:
        """Return the broker's state for an observer."""
        return self._observers.report(now)

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
    def usages(self) -> Collection[KeyUsage]:
        """What each connected key holds here."""
        return self._life.usages.values()

    @property
    def strangers(self) -> int:
        """How many routes without a session are remembered."""
        return len(self._life.strangers)

    # -- inputs

    def on_frame(self, route: bytes, principal: str, frame: bytes, now: float) -> None:
        """Handle a frame from the connection `route`, whose key is `principal`."""
        if self._tap is not None:
            self._tap.on_frame(route, principal, frame)
        session = self.sessions.get(route)
        if session is not None and session.usage.principal != principal:
            # Its owner's connection has ended, and somebody else has its routing id: nothing may go there any more.
            self.counters["forged"] += 1
            self._events.add(SessionTaken(session.member.name))
            self._life.end(session, now)
            session = None
        if session is None:
            session = self._reception.meet(route, principal, frame, now)
            if session is None:
                return
        session.heard_at = now
        inlet = session.usage.inlet
        messages, intact = self._intake.offer(inlet, session, frame, now)
        self._read(session, messages, intact, now)
        if not messages and inlet.overflowed:
            self._guard.bar(session.usage.principal, session.member, "sends more than can be read", now)

    def on_breach(self, route: bytes, principal: str, what: str, now: float) -> None:
        """Note that the transport has read from the connection `route` `what` no member may send."""
        self.counters["malformed"] += 1
        if not self._guard.bars.left_s(principal, now):
            self._guard.bar(principal, self._directory.member(principal), what, now)
        self._guard.cuts.append(route)

    def on_unsent(self, route: bytes, messages: list[bytes], now: float) -> None:
        """Take back messages for `route` that were certainly not sent; call it before `on_disconnect`."""
        session = self.sessions.get(route)
        if session is not None:
            try:
                self.dispatcher.on_unsent(session, messages, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._guard.contain(session, error, "what was not sent to", now)

    def on_disconnect(self, route: bytes, now: float) -> None:
        """Note that the connection `route` is gone."""
        if self._tap is not None:
            self._tap.on_disconnect(route)
        session = self.sessions.get(route)
        if session is not None and not self._intake.end(session.usage.inlet, session):
            self._guard.on_gone(session, now)

    def on_registry(self, now: float) -> None:
        """Note that the directory changed: members that are gone are cut off, rights are looked up anew."""
        for session in list(self.sessions.values()):
            try:
                self._life.on_rights(session, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._guard.contain(session, error, "the new rights of", now)

    def drain(self, now: float) -> None:
        """Take no new requests from now on, and tell every member and every other broker."""
        self._events.sum_up()
        self.dispatcher.draining = True
        self.peering.drain(now)
        if self.peering.has_company:
            self._guard.attempt(self.dispatcher.queues.release, now)
        for session in self.sessions.values():
            self._outgoing.send_control(session, control.Goodbye("draining"), now)

    def end(self, now: float) -> None:
        """Note that the drain time is over: what still waits here for a worker goes back to its clients."""
        self._guard.attempt(self.dispatcher.queues.release, now)

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        tick = now >= self._watch.tick_at
        if tick:
            self._watch.notice_stall(now)
        if self._intake.since is not None:
            self._read_on(now)
        self._guard.attempt(self.dispatcher.on_timer, now)
        if self.dispatcher.failed:
            for session, error in self.dispatcher.take_failed():
                self._guard.contain(session, error, "a request that was due of", now)
        if tick:
            self._tick(now)

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
                self._guard.on_malformed(session, "a frame that is no bundle", now)
            if session.state is SessionState.SUSPECT:  # after its messages: it may take back its credit, or leave
                self._life.set_state(session, SessionState.OPEN, now)
            if session.usage.offences > OFFENCES_MAX:
                self._guard.bar(session.usage.principal, session.member, "keeps sending what is not BRAID/1", now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._guard.contain(session, error, f"a message ({shape_of(message)}) of", now)

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
                self._guard.on_gone(session, now)

    def _on_message(self, session: Session, message: bytes, age_s: float, now: float) -> None:
        command = message[5]
        if message[4] >> 4 != MAJOR:
            self._guard.on_malformed(session, f"a message of major version {message[4] >> 4}", now)
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
            self._guard.on_malformed(session, str(error), now)

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
            self._life.tell_of(session)
            self.dispatcher.offers.on_ready(session, received, now)
        elif isinstance(received, control.Hello):
            session.instance = received.instance
        elif isinstance(received, control.Goodbye):
            if received.reason == "noted":
                session.noted = True
            else:
                self._life.set_state(session, SessionState.LEAVING, now)
                self.dispatcher.offers.remove_all(session, now)
                self._outgoing.send_control(session, control.Goodbye("noted"), now)
        elif isinstance(received, control.Status):
            self._observers.add(session)
        elif isinstance(received, Seek):
            usage = session.usage
            if usage.seeks < SEEKS_PER_TICK and session.member.may_call(received.service):
                usage.seeks += 1
                self._seeking[usage] = None
                self._outgoing.send_control(
                    session, Paths(received.service, self.peering.offers(received.service)), now
                )

    def _on_gossip(self, session: Session, message: bytes, now: float) -> None:
        received = control.decode_control(message)
        assert isinstance(received, control.Gossiped)
        self.peering.on_message(session.member.name, received, now)
        self._pass_answers(now)

    # -- time

    def _tick(self, now: float) -> None:
        self._events.on_timer(now)
        self._reception.on_tick(now)
        self.counters["faults"] = self._containment.count
        self._guard.attempt(self._watch.on_tick, now)
        self._guard.attempt(self.dispatcher.on_tick, now)
        for usage in self._seeking:
            usage.seeks = 0
        self._seeking.clear()
        if self._observers.is_due(now):
            self._guard.attempt(self._observers.answer, now)
        self._guard.attempt(self._pass_answers, now)
        self._guard.attempt(self._announcements.on_tick, now)
        if self.dispatcher.draining:
            self._guard.attempt(self._watch.end_sessions, now)

    def _pass_answers(self, now: float) -> None:
        """Send what the membership has for peers that are connected to this broker, but not the other way round."""
        answers = self.peering.take_answers()
        if answers:
            for session in reversed(self.sessions.values()):  # of several the newest: an old one may be dead
                for message in answers.pop(session.member.name, ()):
                    self._outgoing.send_control(session, message, now)

    # -- self-check

    def validate_state(self) -> None:
        """Assert what always holds between two inputs. For tests and the simulator."""
        self._life.validate_state()
        self._intake.validate_state([usage.inlet for usage in self.usages])
        self._guard.bars.validate_state()
        assert not self._containment.count, "nothing that a peer sends is an error of our own"
        self.dispatcher.validate_state(self.sessions.values())
        self._announcements.validate_state()
        self._events.validate_state()
        self.peering.validate_state()
