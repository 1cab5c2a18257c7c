"""A member's connections to brokers: who is known, who is up, who is heard, and when to try again."""

import math
import random
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

from braidmq.bounds import HEARTBEAT_S_MAX, HEARTBEAT_S_MIN
from braidmq.core.backoff import full_jitter
from braidmq.core.balancing import PeakEwma
from braidmq.core.containment import Containment, shape_of
from braidmq.core.events.links import (
    BrokerIgnored,
    BrokerMalformed,
    CertificateRefused,
    Connected,
    LinkStateChanged,
    NotConnected,
)
from braidmq.core.events.log import EventLog
from braidmq.core.links.link import (
    AGGRIEVING,
    Action,
    BrokerAddress,
    Change,
    Close,
    Failure,
    Link,
    LinkState,
    Open,
    Resolve,
    Verify,
)
from braidmq.core.liveness import Looks, silence_of
from braidmq.core.send_queue import SendQueue
from braidmq.core.staleness import Staleness
from braidmq.errors import ProtocolError
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import command_of, major_of
from braidmq.wire.kinds import Control, by_number
from braidmq.wire.limits import BROKERS_MAX, CONTROL_BYTES_MAX

MALFORMED_MAX: Final = 100
"""Malformed messages in one session before a broker is left. A broken one sends many of them, a healthy one none."""

LIST_BYTES_MAX: Final = CONTROL_BYTES_MAX
"""Bytes of PEERS and SERVICES that a broker may send at once: the largest list, or all changes of a stormy hour."""

LIST_BYTES_PER_S: Final = 1024 * 1024
"""How fast it may send more. Lists are whole, and a MiB of them takes a node some tens of milliseconds. Of what comes
faster the newest waits, which replaces the others."""

LIST_BYTES_EACH: Final = 1_000
"""What each list counts for beside its length."""

LASTED_S: Final = 1.0
"""A session that a broker ends sooner counts as a failure, however kindly it says so: else it could be asked for again
and again without a pause."""

TICK_S: Final = 0.04
"""How often links are looked after; a fraction of the shortest heartbeat, and no more than a request may be late
(patience.py): whoever looks this often knows of its own standstills that could make one seem late."""

HASTE_S_MAX: Final = 1.0
"""How soon a broker is tried again that another one says it has reached; not by all nodes at one instant."""

REFUSED_MAX: Final = 64
"""Certificates of one list that may turn out to be false before no more of it are looked at: each costs a check of its
signature."""

REFUSAL_CHARS_MAX: Final = 200
"""How much of a broker's reason is kept: with some words in front it fits the text that observers get."""

SLOW_S: Final = 1.0
"""After this time of an attempt it is told how far it has come: far longer than it usually takes, and well below the
time that a caller waits."""

AGGRIEVED_S: Final = 10.0
"""How long a broker is left alone the first time that this member has left it for what it sent. Each time costs the
calls that are on it a failover, so a broker that floods must not come back as often as one that has crashed."""

AGGRIEVED_S_MAX: Final = 120.0
"""How long at most, when it goes on each time."""

PARDON_S: Final = 300.0
"""After this time without a reason to leave it, a broker counts as new."""

TARGET_S_MAX: Final = 1.5
"""How long an address may take to answer while there is another one to try: some round trips, even over a WAN. The
last one has handshake_s_max."""


_LISTS: Final = frozenset((control.Peers.NUMBER, control.Services.NUMBER))


class Links:
    """The links of one member: a node keeps one per broker, a broker one per peer broker.

    Inputs: `learn`, `forget`, `leave`, `close`, `on_resolved`, `on_reached`, `on_connected`, `on_failed`, `on_heard`,
    `on_control`, `on_timer`. Outputs: `take_actions` (addresses to look up, sockets to open and close), `take_sends`,
    `take_changes` (for the core that owns the links, after each input), `events`.

    Attributes:
        links: the brokers by name.
        version: counts the changes, so that what was derived from the links can be known to be old.
        stalled_s: for how long this process had not run when `on_timer` was called last; 0.0 if it had.
        known_version: counts the changes of which brokers are known, and by which certificates.
        events: what is worth a line in the log.
        containment: the errors of our own that were met here, and by whoever owns these links.
    """

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        verify: Verify,
        *,
        own_name: str,
        software: str,
        now: float,
        instance: bytes = b"",
    ) -> None:
        self.links: dict[str, Link] = {}
        self.version = 0
        self.known_version = 0
        self.stalled_s = 0.0
        self.events = EventLog()
        self.containment = Containment(self.events)
        self._settings = settings
        self._rng = rng
        self._verify = verify
        self._own_name = own_name
        self._hello = control.Hello(software, instance)
        self._handlers: dict[int, Callable[[Link, Any, float], None]] = by_number(
            {
                control.Welcome: self._on_welcome,
                control.Goodbye: self._on_goodbye,
                control.Services: self._on_services,
                control.Peers: self._on_peers,
                control.Heartbeat: self._on_heartbeat,
            }
        )
        self._actions: list[Action] = []
        self._changes: list[tuple[Link, Change]] = []
        self._send_queue: SendQueue[str] = SendQueue()
        self._looks = Looks(TICK_S, now, now)
        self._rejected: set[bytes] = set()
        self._limit_max = self._limit_sure = settings.payload_bytes_max
        self._limit_version = 0

    # -- outputs

    def take_actions(self) -> list[Action]:
        """Return the addresses to look up and the sockets to open and close, in order."""
        actions, self._actions = self._actions, []
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

    @property
    def payload_bytes_max(self) -> int:
        """The largest payload that some broker takes, as far as is known, within this member's own limit.

        What a broker has said in an earlier session counts, and one that may just be about to say it takes anything.
        """
        if self._limit_version != self.version:
            self._find_limits()
        return self._limit_max

    @property
    def payload_bytes_sure(self) -> int:
        """The largest payload that every broker takes to which there is a session, within this member's own limit."""
        if self._limit_version != self.version:
            self._find_limits()
        return self._limit_sure

    @property
    def refused(self) -> bool:
        """Whether every broker that this member tries to connect to refuses its key."""
        return bool(self.links) and all(
            link.failure is Failure.NOT_REGISTERED and not link.open for link in self.links.values() if link.wanted
        )

    @property
    def are_listed(self) -> bool:
        """Whether a broker has listed the brokers of the net, so that one that is not known is none of them."""
        return any(link.peers for link in self.links.values() if link.open)

    def diagnosis(self, only: str | None = None) -> str:
        """Return one line on every broker that is not up, or on `only` one: its address and why."""
        return "; ".join(
            f"{link.name} at {' '.join(link.address.endpoints)}: "
            f"{link.problem or (f'it is {link.state}' if link.open else 'no connection yet')}"
            for link in self.links.values()
            if link.state is not LinkState.UP and (link.wanted if only is None else link.name == only)
        )

    # -- inputs

    def learn(self, address: BrokerAddress, now: float, *, configured: bool = False) -> None:
        """Handle a broker of the net, or a newer certificate of a known one. What is `configured` is not forgotten."""
        if address.name == self._own_name:
            return
        link = self.links.get(address.name)
        if link is None:
            if len(self.links) >= BROKERS_MAX:
                self.events.add(BrokerIgnored(address.name, BROKERS_MAX))
                return
            link = self.links[address.name] = Link(address, now)
            self._looks.hasten(now)
            self.version += 1
            self.known_version += 1
        elif address.serial > link.address.serial:
            link.address = address
            self.known_version += 1
        link.configured = link.configured or configured

    def learn_certificate(self, certificate: bytes, now: float) -> str | None:
        """Handle a certificate that somebody handed on; return its broker's name, or None if it is not valid."""
        digest = blake2b(certificate, digest_size=16).digest()
        if digest in self._rejected:
            return None
        try:
            address = self._verify(certificate)
        except ProtocolError as error:
            if len(self._rejected) < BROKERS_MAX:
                self._rejected.add(digest)
                self.events.add(CertificateRefused("a broker's certificate", str(error)))
            return None
        self.learn(address, now)
        return address.name

    def unlisted(self, now: float) -> list[Link]:
        """Return the brokers to forget: they were learned, cannot be reached, and no broker lists them any more.

        At once, if one has listed them before in its session: it knows that they are gone. Otherwise after
        tombstone_s: a broker that has just started may not know them yet.
        """
        listed: set[str] = set()
        dropped: set[str] = set()
        for link in self.links.values():
            if link.open:
                listed |= link.peers
                dropped |= link.dropped
        found = []
        for link in self.links.values():
            gone = link.state is LinkState.WAITING and (link.failure or not link.wanted) and not link.configured
            if not gone or not listed or link.name in listed:
                link.unlisted_at = None
                continue
            if link.unlisted_at is None:
                link.unlisted_at = now
            if link.name in dropped or now - link.unlisted_at >= self._settings.tombstone_s:
                found.append(link)
        return found

    def forget(self, link: Link, now: float) -> None:
        """Forget a broker; end the connection to it if there is one."""
        self._give_up(link, Failure.SESSION_REFUSED, now)
        del self.links[link.name]
        self.known_version += 1
        self._add_change(link, Change.GONE)

    def retry_soon(self, name: str, at: float) -> None:
        """Note that a broker can be reached again: try it at `at`, however long the pause had grown."""
        link = self.links.get(name)
        if link is not None and link.state is LinkState.WAITING:
            link.wake_at = min(link.wake_at, at)

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
        link.resolving = False
        targets = list(dict.fromkeys(addresses))
        if link.last_good and (link.last_good in targets or not targets):
            # First what worked last; and if DNS knows nothing now, that may be right still.
            targets = [link.last_good, *(target for target in targets if target != link.last_good)]
        link.targets = targets
        if link.state is LinkState.WAITING:  # the lookup has outlasted the attempt
            if targets:
                self.retry_soon(name, now)
        elif targets:
            link.since = now  # the time of the lookup is not the address's
            self._open_next(link)
        else:
            self._give_up(link, Failure.UNRESOLVED, now)

    def on_reached(self, name: str) -> None:
        """Note that something takes connections at the address that is being tried."""
        self.links[name].met = True

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a broker is complete."""
        link = self.links[name]
        link.met = True
        link.hello_at = now
        self.send_control(link, self._hello, now)

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

    def on_control(self, link: Link, message: bytes, now: float) -> Control | None:
        """Handle a control message; return it if it is none of the links' business."""
        command = command_of(message)
        if command in _LISTS:
            link.lists.pop(command, None)  # this one is newer
            if not _affords(link, len(message), now):
                link.lists[command] = message
                return None
        elif command == control.Report.NUMBER:
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
        if not link.warned:
            link.warned = True
            self.events.add(BrokerMalformed(link.name, what))

    def on_foreign(self, link: Link, message: bytes) -> None:
        """Note that a broker sent a message of another major version."""
        self.on_malformed(link, f"a message of major version {major_of(message)}")

    def suspect(self, link: Link, now: float) -> None:
        """Give a broker no new work until it is heard again."""
        if link.state is LinkState.UP:
            self._set_state(link, LinkState.SUSPECT, now)

    def send(self, link: Link, message: bytes) -> None:
        """Send a message over a link."""
        link.spoke = True
        self._send_queue.put(link.name, message)

    def send_control(self, link: Link, message: Control, now: float) -> None:
        """Send a control message over a link."""
        link.spoke = True
        self._send_queue.put_control(link.name, message, now)

    def on_timer(self, now: float) -> None:
        """Do what is due. What has come before must have been taken in."""
        self.stalled_s = 0.0
        if now < self._looks.due_at:
            return
        settings = self._settings
        self._looks.begin(now)
        self.stalled_s = self._looks.stalled_s
        self.events.on_timer(now)
        for link in list(self.links.values()):
            if link.state is LinkState.WAITING:
                if link.wanted and now >= link.wake_at:
                    self._connect(link, now)
            elif link.state is LinkState.CONNECTING:
                link.slow = now - link.since > SLOW_S
                if now - link.since > (TARGET_S_MAX if link.targets else settings.handshake_s_max):
                    if link.resolving and link.last_good:
                        self.on_resolved(link.name, (), now)
                    else:
                        self._give_up(link, _why_late(link), now)
            else:
                if self.stalled_s:
                    self._looks.excuse(link, now)
                for command, message in list(link.lists.items()):
                    if _affords(link, len(message), now):
                        del link.lists[command]
                        self._take_in(link, message, now)
                self._watch(link, now)
            if link.malformed > MALFORMED_MAX and link.state is not LinkState.WAITING:
                self.give_up(link, Failure.NONSENSE, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        settings = self._settings
        assert len(self.links) <= BROKERS_MAX
        assert len(self._rejected) <= BROKERS_MAX
        assert self._own_name not in self.links
        self._looks.validate_state()
        for name, link in self.links.items():
            assert link.name == link.address.name == name
            assert link.address.endpoints
            assert link.in_flight == len(link.calls)
            assert not link.calls or link.open
            assert link.open or not link.services
            assert not link.open or (link.epoch and link.heartbeat_s > 0.0 and link.failure is None)
            assert link.malformed <= MALFORMED_MAX or link.state is not LinkState.WAITING
            assert link.lists.keys() <= _LISTS
            if link.state is LinkState.WAITING:
                assert not link.lists
                assert link.wake_at <= link.since + max(settings.reconnect_s_max, AGGRIEVED_S_MAX)
        self._send_queue.validate_state(
            {link.name for link in self.links.values() if link.state is not LinkState.WAITING}
        )

    # -- inner

    def _find_limits(self) -> None:
        self._limit_version = self.version
        own, told, unknown = self._settings.payload_bytes_max, [], False
        for link in self.links.values():
            if link.epoch:
                told.append(link.payload_bytes_max)
            else:
                unknown = unknown or (link.wanted and link.failure is None)
        self._limit_max = own if unknown or not told else min(own, max(told))
        self._limit_sure = min([own, *(link.payload_bytes_max for link in self.links.values() if link.open)])

    def _add_change(self, link: Link, change: Change) -> None:
        self.version += 1
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

    def _connect(self, link: Link, now: float) -> None:
        """Try the next address, or begin a new round of them."""
        link.state = LinkState.CONNECTING
        link.since = now
        link.resolving = not link.targets
        link.met = False
        if link.targets:
            self._open_next(link)
        else:
            self._actions.append(Resolve(link.name, link.address.endpoints))

    def _open_next(self, link: Link) -> None:
        link.target = link.targets.pop(0)
        link.met = False
        self._actions.append(Open(link.name, link.target, link.address.key))

    def _on_welcome(self, link: Link, welcome: control.Welcome, now: float) -> None:
        if link.state is not LinkState.CONNECTING:
            return
        link.state = LinkState.UP
        link.since = now
        link.epoch += 1
        link.failure = None
        link.refusal = ""
        link.welcomed_at = now
        link.heartbeat_s = max(HEARTBEAT_S_MIN, min(float(HEARTBEAT_S_MAX), welcome.heartbeat_ms / 1000.0))
        link.heartbeat_at = now + link.heartbeat_s / 2
        link.silence = silence_of(self._settings, link.heartbeat_s)
        link.payload_bytes_max = welcome.payload_bytes_max
        link.services = frozenset()
        link.ewma = PeakEwma(now)
        link.journey = PeakEwma(now)
        link.journey.observe(now - link.hello_at, now)
        link.passed_at = -math.inf
        link.proven_bytes = 0
        link.warned = False
        link.noted = False
        link.retiring = False
        link.told.clear()
        link.last_good = link.target
        link.targets = []
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
            link.refusal = goodbye.text[:REFUSAL_CHARS_MAX] if goodbye.reason == "refused" else ""
            ended = goodbye.reason == "ended"
            self._give_up(link, Failure.DRAINING if ended else Failure.SESSION_REFUSED, now)

    def _on_services(self, link: Link, told: control.Services, _now: float) -> None:
        services = frozenset([service.encode() for service in told.available])
        if link.open and services != link.services:
            link.services = services
            self._add_change(link, Change.SERVICES)

    def _on_heartbeat(self, link: Link, heartbeat: control.Heartbeat, now: float) -> None:
        """Handle nothing but a sign of life: `on_heard` has noted it."""

    def _on_peers(self, link: Link, peers: control.Peers, now: float) -> None:
        names = {each.address.certificate: each.name for each in self.links.values()}
        listed, reached, refused = set(), set(), 0
        for peer in peers.brokers[:BROKERS_MAX]:
            name = names.get(peer.certificate)
            if name is None and refused < REFUSED_MAX:
                name = self.learn_certificate(peer.certificate, now)
                refused += name is None
            if name is not None and peer.state != "dead":
                listed.add(name)
                if peer.connected and peer.state == "alive":
                    reached.add(name)
        for name in sorted(reached - link.reached):
            self.retry_soon(name, now + self._rng.uniform(0.0, HASTE_S_MAX))
        link.reached = frozenset(reached)
        if listed != link.peers:
            link.dropped = (link.dropped | link.peers) - listed
            link.peers = frozenset(listed)
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
            self._actions.append(Close(link.name))
            self._down(link, failure, now)

    def _down(self, link: Link, failure: Failure | None, now: float) -> None:
        """A connection has failed, or has ended; without a `failure` it was left on purpose."""
        settings = self._settings
        was_open = link.open
        if failure in (Failure.HUNG_UP, Failure.RESET):
            failure = _why_cut_off(failure, again=Failure.HUNG_UP in link.told)
        harmless = failure in (None, Failure.DRAINING, Failure.HUNG_UP)
        repeated = failure in link.told
        link.told.add(failure)
        link.failure = failure
        link.state = LinkState.WAITING
        link.since = now
        link.services = frozenset()
        link.peers = link.reached = link.dropped = frozenset()
        link.staleness = Staleness()
        if was_open and failure not in AGGRIEVING:
            lasted_s = now - link.welcomed_at
            if failure is None or lasted_s >= (LASTED_S if harmless else settings.reconnect_s_max):
                link.failures = 0
        if link.targets:
            link.wake_at = now
        else:
            link.wake_at = now + full_jitter(settings.reconnect_s, settings.reconnect_s_max, link.failures, self._rng)
            link.failures += 1
        if failure in AGGRIEVING:
            if now - link.aggrieved_at > PARDON_S:
                link.aggrieved_s = AGGRIEVED_S
            link.aggrieved_at = now
            link.wake_at = max(link.wake_at, now + link.aggrieved_s)
            link.aggrieved_s = min(AGGRIEVED_S_MAX, 2.0 * link.aggrieved_s)
        link.unsent = self._send_queue.drop(link.name)
        link.unread_bytes = 0
        link.asked.clear()
        link.lists.clear()
        link.malformed = 0
        link.asked_report = False
        why = link.problem or "it is not needed any more"
        self.events.add(NotConnected(link.name, why, harmless, repeated))
        self._add_change(link, Change.DOWN if was_open else Change.STATE)


def _affords(link: Link, size: int, now: float) -> bool:
    """Whether one more list of a broker is due; if so it is paid for."""
    earned = (now - link.lists_at) * LIST_BYTES_PER_S
    link.lists_at = now
    link.list_bytes = min(float(LIST_BYTES_MAX), link.list_bytes + earned)
    cost = min(LIST_BYTES_MAX, size + LIST_BYTES_EACH)
    if link.list_bytes < cost:
        return False
    link.list_bytes -= cost
    return True


def _why_late(link: Link) -> Failure:
    """Return why an attempt to connect has outlasted its time."""
    if link.resolving:
        return Failure.UNRESOLVED
    return Failure.MUTE if link.met else Failure.NO_ANSWER


def _why_cut_off(failure: Failure, *, again: bool) -> Failure:
    """Return why a connection was ended before its handshake was complete.

    Once that may happen to a broker that is being stopped, or is at a limit. When it does `again`, it is told for
    what it most likely is: a broker ends a handshake that was not made with its key in order.
    """
    if not again:
        return Failure.HUNG_UP
    return Failure.NOT_THIS_BROKER if failure is Failure.HUNG_UP else failure
