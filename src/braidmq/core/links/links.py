"""A member's connections to brokers: which are up, which are heard, and what each broker says of itself and others.

Which brokers are known is in address_book.py, how and when they are connected to in dialing.py.
"""

import random
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from braidmq.bounds import HEARTBEAT_S_MAX, HEARTBEAT_S_MIN
from braidmq.core.containment import Containment, shape_of
from braidmq.core.events.links import BrokerMalformed, BrokerTakenOff, Connected, LinkStateChanged, NotConnected
from braidmq.core.events.log import EventLog
from braidmq.core.links.address_book import AddressBook
from braidmq.core.links.dialing import Dialing
from braidmq.core.links.endings import said_of, why_cut_off
from braidmq.core.links.link import (
    FINAL,
    HARMLESS,
    KEY_REFUSED,
    MALFORMED_MAX,
    Action,
    BrokerAddress,
    Change,
    Failure,
    Link,
    LinkState,
    Verify,
)
from braidmq.core.links.papers import Papers
from braidmq.core.links.payload_limits import PayloadLimits
from braidmq.core.links.resting import idle_until
from braidmq.core.liveness import Looks, silence_of
from braidmq.core.send_queue import SendQueue
from braidmq.errors import ProtocolError
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import command_of, major_of
from braidmq.wire.kinds import Control, by_number
from braidmq.wire.registry import CertificateIs, RosterIs

TICK_S: Final = 0.04
"""How often links are looked after; a fraction of the shortest heartbeat, and no more than a request may be late
(patience.py): whoever looks this often knows of its own standstills that could make one seem late."""

HASTE_S_MAX: Final = 1.0
"""How soon a broker is tried again that another one says it has reached; not by all nodes at one instant."""

_LISTS: Final = frozenset((control.Peers.NUMBER, control.Services.NUMBER, RosterIs.NUMBER, CertificateIs.NUMBER))


class Links:
    """The links of one member: a node keeps one per broker, a broker one per peer broker.

    Inputs: `learn`, `forget`, `leave`, `close`, `on_resolved`, `on_reached`, `on_connected`, `on_failed`, `on_heard`,
    `on_control`, `on_timer`. Outputs: `take_actions` (addresses to look up, sockets to open and close), `take_sends`,
    `take_changes` (for the core that owns the links, after each input), `events`.

    Attributes:
        links: the brokers by name.
        version: counts the changes, so that what was derived from the links can be known to be old.
        stalled_s: for how long this process had not run when `on_timer` was called last; 0.0 if it had.
        events: what is worth a line in the log.
        containment: the errors of our own that were met here, and by whoever owns these links.
    """

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        verify: Verify,
        *,
        software: str,
        now: float,
        own_name: str = "",
        instance: bytes = b"",
        papers: Papers | None = None,
    ) -> None:
        self.version = 0
        self.stalled_s = 0.0
        self.events = EventLog()
        self.containment = Containment(self.events)
        self._settings = settings
        self._rng = rng
        self._dialing = Dialing(settings, rng)
        self._book = AddressBook(verify, own_name, settings.tombstone_s, self.events)
        self.links = self._book.links
        self._software = software
        self._instance = instance
        self._papers = papers
        self._roster = 0 if papers is None else papers.roster
        self._handlers: dict[int, Callable[[Link, Any, float], None]] = by_number(
            {
                control.Welcome: self._on_welcome,
                control.Goodbye: self._on_goodbye,
                control.Services: self._on_services,
                control.Peers: self._on_peers,
                control.Heartbeat: self._on_heartbeat,
            }
        )
        if papers is not None:
            self._handlers[RosterIs.NUMBER] = self._on_roster
        self._changes: list[tuple[Link, Change]] = []
        self._send_queue: SendQueue[str] = SendQueue()
        self._looks = Looks(TICK_S, now, now)
        self._stirred = True
        self._limits = PayloadLimits(settings.payload_bytes_max, self.links)

    # -- outputs

    def take_actions(self) -> list[Action]:
        """Return the addresses to look up and the sockets to open and close, in order."""
        actions, self._dialing.actions = self._dialing.actions, []
        return actions

    def take_changes(self) -> list[tuple[Link, Change]]:
        """Return what happened to links, in order."""
        changes, self._changes = self._changes, []
        return changes

    def take_sends(self) -> dict[str, list[bytes]]:
        """Return the messages that are due to each broker, in order."""
        return self._send_queue.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        return self._looks.due_at

    def rest(self, until: float, now: float) -> bool:
        """Let `on_timer` not be due again until it has something to do, or until `until`; return whether it may rest.

        Whoever asks for it looks after each further input whether links `are_at_rest`, and rouses them if not.
        """
        until = min(until, self.events.period_ends_at)
        for link in self.links.values():
            until = min(until, idle_until(link, now))
        self._looks.rest(max(until, now))
        self._stirred = False
        return self._looks.resting

    @property
    def are_at_rest(self) -> bool:
        """Whether nothing has come since `rest` that `on_timer` has to look at sooner than it is due."""
        return not self._stirred and (self._papers is None or self._papers.roster == self._roster)

    def rouse(self, now: float) -> None:
        """Let `on_timer` be due as often as ever."""
        self._looks.rouse(now)

    @property
    def payload_bytes_max(self) -> int:
        """The largest payload that some broker takes, as far as is known, within this member's own limit.

        What a broker has said in an earlier session counts, and one that may just be about to say it takes anything.
        """
        return self._limits.at(self.version).most

    @property
    def payload_bytes_sure(self) -> int:
        """The largest payload that every broker takes to which there is a session, within this member's own limit."""
        return self._limits.at(self.version).sure

    @property
    def refused(self) -> bool:
        """Whether no broker that this member tries to connect to can ever let it in, as all of them have said."""
        return bool(self.links) and all(
            link.failure in FINAL and not link.open for link in self.links.values() if link.wanted
        )

    @property
    def key_refused(self) -> bool:
        """Whether some broker has said that this member's key is none of the net's."""
        return any(link.failure in KEY_REFUSED for link in self.links.values() if link.wanted)

    @property
    def are_listed(self) -> bool:
        """Whether a broker has listed the brokers of the net, so that one that is not known is none of them."""
        return self._book.are_listed

    @property
    def known_version(self) -> int:
        """Counts the changes of which brokers are known, and by which certificates."""
        return self._book.version

    def diagnosis(self, only: str | None = None) -> str:
        """Return one line on every broker that is not up, or on `only` one: its address and why."""
        return "; ".join(
            f"{link.name} at {' '.join(link.address.endpoints)}: "
            f"{link.problem or (f'it is {link.state}' if link.open else 'no connection yet')}"
            for link in self.links.values()
            if link.state is not LinkState.UP and (link.wanted if only is None else link.name == only)
        )

    # -- inputs

    def change_own(self, address: BrokerAddress) -> None:
        """Note what this member, which is a broker, is called by now, and by which keys it is known besides."""
        self._book.change_own(address)

    @property
    def own_keys(self) -> Collection[bytes]:
        """The keys that are this member's own, or were, as far as it is a broker."""
        return self._book.own_keys.keys()

    def learn(self, address: BrokerAddress, now: float, *, configured: bool = False) -> None:
        """Handle a broker of the net, or a newer certificate of a known one. What is `configured` is not forgotten."""
        known = len(self.links)
        self._book.learn(address, now, configured=configured)
        self._welcome_newcomers(known, now)

    def learn_certificate(self, certificate: bytes, now: float) -> str | None:
        """Handle a certificate that somebody handed on; return its broker's name, or None if it is not valid."""
        known = len(self.links)
        name = self._book.learn_certificate(certificate, now)
        self._welcome_newcomers(known, now)
        return name

    def unlisted(self, now: float) -> list[Link]:
        """Return the brokers to forget: they were learned, cannot be reached, and no broker lists them any more."""
        return self._book.unlisted(now)

    def forget(self, link: Link, now: float) -> None:
        """Forget a broker; end the connection to it if there is one."""
        self._give_up(link, Failure.SESSION_REFUSED, now)
        self._book.forget(link)
        self._add_change(link, Change.GONE)

    def retry_soon(self, name: str, at: float) -> None:
        """Note that a broker can be reached again: try it at `at`, however long the pause had grown."""
        link = self.links.get(name)
        if link is not None:
            self._stirred = True
            self._dialing.hasten(link, at)

    def leave(self, link: Link, now: float) -> None:
        """Begin to end a session that is no longer wanted: what is under way goes on; `close` follows."""
        if link.open and not link.retiring:
            link.retiring = True
            self.send_control(link, control.Goodbye("draining"), now)
            self._set_state(link, LinkState.DRAINING, now)

    def close(self, link: Link, now: float) -> None:
        """End a session that was left, with nothing under way in it."""
        self._give_up(link, None, now)

    def give_up(self, link: Link, failure: Failure, now: float) -> None:
        """End a connection because of what the broker sends."""
        self._give_up(link, failure, now)

    def contain(self, link: Link, message: bytes, error: Exception, now: float) -> None:
        """Handle an error of our own that a message has met: it ends this connection, and no other (containment.py)."""
        what = f"a message ({shape_of(message)}) of {link.name} could not be handled"
        self.containment.note(error, f"{what}, and the connection to it ends")
        self.give_up(link, Failure.FAULT, now)

    def on_resolved(self, name: str, addresses: Iterable[str], now: float) -> None:
        """Handle the addresses behind a broker's endpoints, the first to be tried first; none if there are none."""
        link = self.links.get(name)
        if link is None or link.open or not link.resolving:
            return
        self._stirred = True
        if not self._dialing.on_resolved(link, addresses, now):
            self._give_up(link, Failure.UNRESOLVED, now)

    def on_reached(self, name: str) -> None:
        """Note that something takes connections at the address that is being tried."""
        link = self.links.get(name)
        if link is not None and link.state is LinkState.CONNECTING:
            link.met = True

    def on_hung(self, name: str) -> None:
        """Note that the host of a broker that was given up for its silence has taken all that was sent there."""
        link = self.links.get(name)
        if link is not None and link.failure is Failure.SILENT:
            link.failure = Failure.HUNG

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a broker is complete; not if that was forgotten meanwhile."""
        link = self.links.get(name)
        if link is None or link.state is not LinkState.CONNECTING:
            return
        link.met = True
        link.hello_at = now
        papers = self._papers
        serial, roster = (0, 0) if papers is None else (papers.serial, papers.roster)
        self.send_control(link, control.Hello(self._software, self._instance, serial, roster, paced=True), now)

    def on_failed(self, name: str, failure: Failure, now: float) -> None:
        """Note that a connection failed or ended; the shell has closed its socket."""
        self._down(self.links[name], failure, now)

    def on_heard(self, link: Link, now: float) -> None:
        """Note that something arrived from a broker."""
        link.heard_at = now
        if link.state is LinkState.SUSPECT:
            self._set_state(link, LinkState.UP, now)

    def handles(self, command: int) -> bool:
        """Whether control messages of a number are the links' business."""
        return command in self._handlers

    def hand_certificates_to(self, handler: Callable[[Link, CertificateIs, float], None]) -> None:
        """Let certificates of this member's own be handled that brokers send, also those that have to wait."""
        self._handlers[CertificateIs.NUMBER] = handler

    def on_control(self, link: Link, message: bytes, now: float) -> Control | None:
        """Handle a control message; return it if it is none of the links' business."""
        command = command_of(message)
        if command in _LISTS and not link.lists.admit(command, message, now):
            self._stirred = True
            return None
        if command == control.Report.NUMBER:
            if not link.asked_report:
                return None
            link.asked_report = False
        return self._take_in(link, message, now)

    def _take_in(self, link: Link, message: bytes, now: float) -> Control | None:
        try:
            received = control.decode_control(message)
        except ProtocolError as error:
            self.on_malformed(link, str(error))
            return None
        handler = self._handlers.get(command_of(message))
        if handler is None:
            return received
        handler(link, received, now)
        return None

    def on_malformed(self, link: Link, what: str) -> None:
        """Note that a broker sent something that is not BRAID/1; say so once per session."""
        link.malformed += 1
        self._stirred = True
        if not link.warned:
            link.warned = True
            self.events.add(BrokerMalformed(link.name, what))

    def on_foreign(self, link: Link, message: bytes, now: float) -> None:
        """Note that a broker sent a message of another major version. One that begins so is left."""
        if link.state is LinkState.CONNECTING:
            self._give_up(link, Failure.VERSION, now)
            return
        self.on_malformed(link, f"a message of major version {major_of(message)}")

    def suspect(self, link: Link, now: float) -> None:
        """Give a broker no new work until it is heard again."""
        if link.state is LinkState.UP:
            self._set_state(link, LinkState.SUSPECT, now)

    def send(self, link: Link, message: bytes) -> None:
        """Send a message over a link."""
        link.spoke = self._stirred = True
        self._send_queue.put(link.name, message)

    def send_control(self, link: Link, message: Control, now: float) -> None:
        """Send a control message over a link."""
        link.spoke = self._stirred = True
        self._send_queue.put_control(link.name, message, now)

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        self.stalled_s = 0.0
        if now < self._looks.due_at:
            return
        self._looks.begin(now)
        self.stalled_s = self._looks.stalled_s
        self.events.on_timer(now)
        if self._papers is not None and self._papers.roster != self._roster:
            self._follow_roster(self._papers, now)
        for link in self._book.take_renamed():
            self.forget(link, now)
        for link in list(self.links.values()):
            if link.state is LinkState.WAITING:
                if link.wanted and now >= link.wake_at:
                    self._dialing.connect(link, now)
            elif link.state is LinkState.CONNECTING:
                why = self._dialing.why_late(link, now)
                if why is not None:
                    self._give_up(link, why, now)
            else:
                if self.stalled_s:
                    self._looks.excuse(link, now)
                if link.lists.waiting:
                    for message in link.lists.due(now):
                        self._take_in(link, message, now)
                self._watch(link, now)
            if link.malformed > MALFORMED_MAX and link.state is not LinkState.WAITING:
                self.give_up(link, Failure.NONSENSE, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        self._book.validate_state()
        self._looks.validate_state()
        for link in self.links.values():
            self._dialing.validate_state(link)
            assert link.in_flight == len(link.calls)
            assert not link.calls or link.open
            assert link.open or not link.services
            assert not link.open or (link.epoch and link.heartbeat_s > 0.0 and link.failure is None)
            assert link.malformed <= MALFORMED_MAX or link.state is not LinkState.WAITING
            assert link.lists.waiting.keys() <= _LISTS
            assert not link.lists.waiting or link.state is not LinkState.WAITING
        self._send_queue.validate_state(
            {link.name for link in self.links.values() if link.state is not LinkState.WAITING}
        )

    # -- inner

    def _welcome_newcomers(self, known: int, now: float) -> None:
        """See that brokers are connected to that have come to the `known` ones."""
        self._stirred = True  # others may have another name by now
        if len(self.links) > known:
            self._looks.hasten(now)
            self.version += len(self.links) - known

    def _add_change(self, link: Link, change: Change) -> None:
        self.version += 1
        self._stirred = True
        self._changes.append((link, change))

    def _watch(self, link: Link, now: float) -> None:
        silent_s = now - link.heard_at
        if silent_s > link.silence.dead_s:
            self._give_up(link, Failure.SILENT, now)
            return
        if silent_s > link.silence.suspect_s:
            self.suspect(link, now)
        if not link.spoke and now >= link.heartbeat_at:
            self.send_control(link, control.Heartbeat(), now)
        if link.spoke:
            link.spoke = False
            link.heartbeat_at = now + link.heartbeat_s

    def _on_welcome(self, link: Link, welcome: control.Welcome, now: float) -> None:
        heartbeat_s = max(HEARTBEAT_S_MIN, min(float(HEARTBEAT_S_MAX), welcome.heartbeat_ms / 1000.0))
        silence = silence_of(self._settings, heartbeat_s)
        if link.open:  # there are more members than before, or fewer
            link.heartbeat_s, link.silence = heartbeat_s, silence
            self._stirred = True
        if link.state is not LinkState.CONNECTING:
            return
        link.begin_session(heartbeat_s, silence, welcome.payload_bytes_max, now)
        link.unix_ahead_s = welcome.time_ms / 1000.0 - now if welcome.time_ms else 0.0
        self._dialing.on_success(link)
        self.events.add(Connected(link.name))
        self._add_change(link, Change.UP)

    def _on_goodbye(self, link: Link, goodbye: control.Goodbye, now: float) -> None:
        if goodbye.reason == "draining":
            self._set_state(link, LinkState.DRAINING, now)
            if link.open:
                self.send_control(link, control.Goodbye("noted"), now)
        elif goodbye.reason == "noted":
            link.noted = True
        else:
            ended = goodbye.reason == "ended"
            link.refusal = "" if ended else said_of(goodbye, was_open=link.open)
            self._give_up(link, Failure.DRAINING if ended else Failure.SESSION_REFUSED, now)

    def _on_services(self, link: Link, told: control.Services, _now: float) -> None:
        services = frozenset([service.encode() for service in told.available])
        if link.open and services != link.services:
            link.services = services
            self._add_change(link, Change.SERVICES)

    def _on_heartbeat(self, link: Link, heartbeat: control.Heartbeat, now: float) -> None:
        """Handle nothing but a sign of life: `on_heard` has noted it."""

    def _on_roster(self, link: Link, message: RosterIs, now: float) -> None:
        """Take the signed list of the brokers, which is followed with the next look."""
        papers = self._papers
        if papers is None:
            return
        try:
            if papers.take_roster(message.roster):
                self._looks.hasten(now)
        except ProtocolError as error:
            self.on_malformed(link, str(error))

    def _follow_roster(self, papers: Papers, now: float) -> None:
        """Learn the brokers of a newer list of brokers, whichever way it came, and forget those that it has no more.

        Not while a message of one of them is handled.
        """
        self._roster = papers.roster
        for address in papers.addresses:
            self.learn(address, now, configured=True)
        for link in list(self.links.values()):
            if papers.lacks(link.address):
                self.events.add(BrokerTakenOff(link.name, papers.roster))
                self.forget(link, now)

    def _on_peers(self, link: Link, peers: control.Peers, now: float) -> None:
        known = len(self.links)
        changed, reached = self._book.on_list(link, peers.brokers, now)
        self._welcome_newcomers(known, now)
        for name in reached:
            self.retry_soon(name, now + self._rng.uniform(0.0, HASTE_S_MAX))
        if changed:
            self._add_change(link, Change.PEERS)

    def _set_state(self, link: Link, state: LinkState, now: float) -> None:
        if link.open and link.state is not state:
            link.state = state
            link.since = now
            self.events.add(LinkStateChanged(link.name, state.value))
            self._add_change(link, Change.STATE)

    def _give_up(self, link: Link, failure: Failure | None, now: float) -> None:
        """End a connection from this side."""
        if link.state is not LinkState.WAITING:
            self._dialing.close(link, silent=failure is Failure.SILENT)
            self._down(link, failure, now)

    def _down(self, link: Link, failure: Failure | None, now: float) -> None:
        """A connection has failed, or has ended; without a `failure` it was left on purpose."""
        was_open = link.open
        if failure in (Failure.HUNG_UP, Failure.RESET):
            failure = why_cut_off(failure, again=Failure.HUNG_UP in link.told)
        repeated = failure in link.told
        link.told.add(failure)
        link.end_session(failure, now)
        self._dialing.pause(link, failure, now, was_open=was_open)
        link.unsent = self._send_queue.drop(link.name)
        why = link.problem or "it is not needed any more"
        harmless = failure is None or failure in HARMLESS
        self.events.add(NotConnected(link.name, why, harmless, repeated))
        self._add_change(link, Change.DOWN if was_open else Change.STATE)
