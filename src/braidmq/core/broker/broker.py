"""The broker: brings requests to workers and answers back, and keeps nothing that could be lost.

Nothing that a peer sends raises: what is handled for one session can end that session at most.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.broker.announcements import Announcements
from braidmq.core.broker.controls import Controls
from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.guard import Guard
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.lag import Lag
from braidmq.core.broker.losses import Losses
from braidmq.core.broker.observers import Observers
from braidmq.core.broker.operations import Operations
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.reading import Reading
from braidmq.core.broker.reception import Reception
from braidmq.core.broker.refusals import Refusals, Refused
from braidmq.core.broker.registrar import Credentials, Registrar
from braidmq.core.broker.review import Review
from braidmq.core.broker.session_life import SessionLife
from braidmq.core.broker.tap import Tap
from braidmq.core.broker.transit import Session
from braidmq.core.broker.watch import Watch
from braidmq.core.events.broker import SessionTaken
from braidmq.core.events.event import Event
from braidmq.core.events.log import EventLog
from braidmq.core.intake import Intake
from braidmq.core.links.link import Action, BrokerAddress, Failure
from braidmq.core.liveness import Looks
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.send_queue import SendQueue
from braidmq.members import Directory
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.bundle import COMMON_BYTES
from braidmq.wire.control import Goodbye
from braidmq.wire.envelope import SENT_AT, SENT_END

TICK_S: Final = 0.04
"""How often the broker looks after its sessions and announcements; see also TICK_S of links.py."""


class BrokerCore:
    """A broker, without I/O and clock; whoever owns those serves it in the order of turn/broker.py.

    It has two sides. Members connect to it: `on_frame`, `on_breach`, `on_unsent` and `on_disconnect` say what comes of
    a connection, which is a *route*; `take_sends` and `take_cuts` what is due to it. And it connects to other brokers,
    each by its *name*: `take_actions` says what to look up, open and close; `on_resolved`, `on_reached`,
    `on_connected`, `on_failed` and `on_peer_frame` what comes of it; `take_peer_sends` what is due to it. Besides there
    are `on_refused`, `on_surroundings`, `on_registry`, `drain`, `end`, and `on_timer`, which is due no later than
    `next_deadline`.

    Args:
        settings: see Settings.
        directory: who is registered.
        peering: the broker among the others.
        software: what it says it runs.
        now: the time.
        process: tells this process from another one that runs with the same key.
        observer: is told what happens to sessions and requests; the peering core has it as well.
        credentials: has the registry that is in force, and what members are to be told of it; None if the directory is
            all that there is, and never moves.
        unix_s: what time it is on this machine.

    Attributes:
        registrar: the registry at this broker; None without credentials.
        review: the sessions that were not looked at since another registry came into force.
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
        credentials: Credentials | None = None,
        unix_s: float = 0.0,
    ) -> None:
        self.name = name = peering.own.name
        self.settings = settings
        self.peering = peering
        self.counters = dict.fromkeys(
            (
                "requests", "replies", "rejected", "lost", "expired", "cancelled", "malformed", "forged",
                "unmatched", "denied", "returned", "postponed", "working_dropped", "sessions", "sessions_dead",
                "sessions_refused", "twins", "barred", "faults", "busy",
            ),
            0,
        )  # fmt: skip
        self.sessions: dict[bytes, Session] = {}
        self._directory = directory
        self._tap = None if observer is None else Tap(observer, directory)
        self._containment = peering.containment
        self._intake: Intake[Session] = Intake(weighs=True)
        self._send_queue: SendQueue[bytes] = SendQueue()
        self._events = events = EventLog()
        self._refusals = refusals = Refusals(self.counters, events, observer)
        self._losses = losses = Losses(directory)
        self._lag = lag = Lag()
        self._outgoing = outgoing = Outgoing(name, self._send_queue, self.counters, observer)
        self.dispatcher = dispatcher = Dispatcher(
            settings, outgoing, self.counters, events, refusals=refusals, observer=observer
        )
        if settings.settle_s:
            dispatcher.catalogue.await_workers(now + settings.settle_s)
        self._announcements = Announcements(settings, self.sessions, dispatcher, peering, self._send_queue, now=now)
        self.registrar = registrar = (
            None
            if credentials is None
            else Registrar(
                credentials,
                peering,
                outgoing,
                self.sessions,
                self.on_registry,
                unix_s=unix_s,
                now=now,
                observer=observer,
            )
        )
        self._operations = operations = Operations(
            self.sessions, dispatcher, peering, outgoing, events=events, refusals=refusals, observer=observer
        )
        self._observers = Observers(
            self.sessions,
            dispatcher,
            self._announcements,
            peering,
            outgoing,
            counters=self.counters,
            refusals=refusals,
            losses=losses,
            lag=lag,
            operations=operations,
            registrar=registrar,
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
            operations=operations,
            send_queue=self._send_queue,
            outgoing=outgoing,
            counters=self.counters,
            events=events,
            software=software,
            observer=observer,
            registrar=registrar,
        )
        self._controls = Controls(
            self.sessions,
            dispatcher,
            self._life,
            self._observers,
            operations,
            peering=peering,
            outgoing=outgoing,
            refusals=refusals,
            registrar=registrar,
        )
        self._guard = Guard(self.sessions, self._life, self._containment, self.counters, events, losses=losses)
        self._reading = Reading(self.sessions, dispatcher, self._controls, self._life, self._guard, intake=self._intake)
        self._reception = Reception(
            peering,
            settings,
            directory,
            sessions=self.sessions,
            dispatcher=dispatcher,
            life=self._life,
            guard=self._guard,
            counters=self.counters,
            events=events,
            refusals=refusals,
            process=process,
            now=now,
            observer=observer,
        )
        self.review = Review(self.sessions, self._life, self._guard, registrar, now)
        self._looks = Looks(TICK_S, now + TICK_S, now)
        self._watch = Watch(
            self.sessions,
            dispatcher,
            self._life,
            outgoing,
            counters=self.counters,
            events=events,
            losses=losses,
            looks=self._looks,
            lag=lag,
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
        events = self._events.take()
        more = self.peering.take_events()
        if self.registrar is not None:
            more += self.registrar.take_events()
        return [*events, *more] if more else events

    def take_actions(self) -> list[Action]:
        """Return the other brokers' addresses to look up, and the connections to open and close, in order."""
        return self.peering.take_actions()

    def take_peer_sends(self) -> dict[str, list[bytes]]:
        """Return the messages that are due to each broker over the connection to it, in order, and forget them."""
        return self.peering.take_sends()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        if self.review.left:
            return self.review.due_at
        due, other = self._next_deadline(), self.peering.next_deadline()
        if other < due:
            due = other
        registrar = self.registrar
        return due if registrar is None or registrar.due_at > due else registrar.due_at

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
    def leaving(self) -> bool:
        """Whether it is to `drain` now, as an operator has asked for."""
        return self._operations.leaving and not self.dispatcher.draining

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
        if self.review.left and not self.review.catch_up(session, now):
            return
        session.heard_at = now
        inlet = session.usage.inlet
        messages, intact = self._intake.offer(inlet, session, frame, now)
        self._reading.read(session, messages, intact, now)
        if not messages and inlet.overflowed:
            self._guard.bar(session.usage.principal, session.member, "sends more than can be read", now)

    def on_latest(self, route: bytes, frame: bytes, now: float) -> None:
        """Note the last one of several frames that have come at one moment over one connection; none is handled yet.

        It was sent last, so it shows best for how long the others have waited.
        """
        session = self.sessions.get(route)
        if session is not None and len(frame) >= COMMON_BYTES:
            session.staleness.age_s(int.from_bytes(frame[SENT_AT:SENT_END]), now)

    def on_breach(self, route: bytes, principal: str, what: str, now: float) -> None:
        """Note that the transport has read from the connection `route` `what` no member may send."""
        self.counters["malformed"] += 1
        if not self._guard.bars.left_s(principal, now):
            self._guard.bar(principal, self._directory.member(principal), what, now)
        self._guard.cuts.append(route)

    def on_refused(
        self, kind: Refused, who: str, now: float, *, where: str, what: str, error: Exception | None = None
    ) -> None:
        """Note that the transport has refused somebody who has no session; for the arguments see Refusals.note.

        An `error` of our own is why that was so.
        """
        self._refusals.note(kind, who, now, where=where, what=what)
        if error is not None:
            self._containment.note(error, "a key could not be judged, and is refused")

    def on_surroundings(self, unix_s: float, registry: int, now: float) -> None:
        """Note what members are told at HELLO: what the system's clock says, and which registry is in force."""
        self._life.unix_ahead_s = unix_s - now
        self._life.registry = registry

    def on_unsent(self, route: bytes, messages: list[bytes], now: float) -> None:
        """Take back messages for `route` that were certainly not sent; call it before `on_disconnect`."""
        session = self.sessions.get(route)
        if session is not None:
            self._losses.note(session, now, silent=False)  # what follows takes its offers from it
            try:
                self.dispatcher.on_unsent(session, messages, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._guard.contain(session, error, "what was not sent to", now)

    def on_dropped(self, route: bytes, request: bytes, now: float) -> None:
        """Note that a REQUEST for `route` was dropped before it had left, as this broker has cancelled it."""
        session = self.sessions.get(route)
        if session is not None:
            try:
                self.dispatcher.on_dropped(session, request, now)
            except Exception as error:  # noqa: BLE001 - see containment.py
                self._guard.contain(session, error, "what was dropped for", now)

    def on_disconnect(self, route: bytes, now: float) -> None:
        """Note that the connection `route` is gone."""
        if self._tap is not None:
            self._tap.on_disconnect(route)
        session = self.sessions.get(route)
        if session is not None and not self._intake.end(session.usage.inlet, session):
            self._guard.on_gone(session, now)

    def on_registry(self, now: float) -> None:
        """Note that the directory changed: members that are gone are cut off, rights are looked up anew."""
        self.review.begin(now)

    def drain(self, now: float) -> None:
        """Take no new requests from now on, and tell every member and every other broker."""
        self._events.sum_up()
        self.dispatcher.draining = True
        self.peering.drain(now)
        if self.peering.has_company:
            self._guard.attempt(self.dispatcher.queues.release, now)
        for session in self.sessions.values():
            self._outgoing.send_control(session, Goodbye("draining"), now)

    def end(self, now: float) -> None:
        """Note that the drain time is over: what still waits here for a worker goes back to its clients."""
        self._guard.attempt(self.dispatcher.queues.release, now)

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        if now >= self._next_deadline():
            self._on_time(now)
        if now >= self.peering.next_deadline():
            self.peering.on_timer(now)
        if self.review.left:
            self._guard.attempt(self.review.go_on, now)
        if self.registrar is not None and now >= self.registrar.due_at:
            self._guard.attempt(self.registrar.on_timer, now)

    # -- the other brokers

    def learn(self, address: BrokerAddress, now: float) -> None:
        """Handle a broker that is registered."""
        self.peering.learn(address, now)

    def forget(self, name: str, now: float) -> None:
        """Note that a broker is no longer registered."""
        self.peering.forget(name, now)

    def on_resolved(self, name: str, addresses: list[str], now: float) -> None:
        """Handle the addresses behind a broker's endpoints."""
        self.peering.on_resolved(name, addresses, now)

    def on_reached(self, name: str) -> None:
        """Note that something takes connections at a broker's address."""
        self.peering.on_reached(name)

    def on_hung(self, name: str) -> None:
        """Note that a broker's host takes what is sent, although the broker was given up for its silence."""
        self.peering.on_hung(name)

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a broker is complete."""
        self.peering.on_connected(name, now)

    def on_failed(self, name: str, failure: Failure, unsent: list[bytes], now: float) -> None:
        """Note that a connection to a broker failed or ended. What was not sent over it is of no use any more."""
        self.peering.on_failed(name, failure, now)

    def on_peer_frame(self, name: str, frame: bytes, now: float) -> None:
        """Handle a frame that came over this broker's connection to another one."""
        self.peering.on_frame(name, frame, now)
        if self.registrar is not None:
            self.registrar.pass_on(now)

    # -- time

    def _next_deadline(self) -> float:
        due = self.dispatcher.next_deadline()
        if due is None or due > self._looks.due_at:
            due = self._looks.due_at
        since = self._intake.since
        return due if since is None or since > due else since

    def _on_time(self, now: float) -> None:
        tick = now >= self._looks.due_at
        if tick:
            self._watch.notice_stall(now)
        if self._intake.since is not None:
            self._reading.read_on(now)
        self._guard.attempt(self.dispatcher.on_timer, now)
        if self.dispatcher.failed:
            for session, error in self.dispatcher.take_failed():
                self._guard.contain(session, error, "a request that was due of", now)
        if tick:
            self._tick(now)

    # -- ticks

    def _tick(self, now: float) -> None:
        self._events.on_timer(now)
        self._reception.on_tick(now)
        self._refusals.on_tick(now)
        self.counters["faults"] = self._containment.count
        self._guard.attempt(self._watch.on_tick, now)
        self._guard.attempt(self.dispatcher.on_tick, now)
        self._controls.on_tick()
        self._operations.on_tick(now)
        if self._observers.is_due(now):
            self._guard.attempt(self._observers.answer, now)
        self._guard.attempt(self._controls.pass_answers, now)
        self._guard.attempt(self._announcements.on_tick, now)
        if self.registrar is not None:
            self._guard.attempt(self.registrar.on_tick, now)
            self._guard.attempt(self.registrar.pass_on, now)
        if self.dispatcher.draining:
            self._guard.attempt(self._watch.end_sessions, now)

    # -- self-check

    def validate_state(self) -> None:
        """Assert what always holds between two inputs. For tests and the simulator."""
        self._life.validate_state(self.review.left)
        self._intake.validate_state([usage.inlet for usage in self.usages])
        self._guard.bars.validate_state()
        self._refusals.validate_state()
        self._losses.validate_state()
        self._lag.validate_state()
        self._operations.validate_state()
        assert not self._containment.count, "nothing that a peer sends is an error of our own"
        self.dispatcher.validate_state(self.sessions.values())
        self._announcements.validate_state()
        if self.registrar is not None:
            self.registrar.validate_state()
        self._events.validate_state()
        self.peering.validate_state()
