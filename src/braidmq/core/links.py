"""A member's connections to brokers: who is known, who is up, who is heard, and when to try again.

A node keeps one link per broker; a broker keeps one per peer broker. Inputs: `learn`, `on_connected`,
`on_failed`, `on_frame`, `on_control`, `on_timer`. Outputs: `take_actions` (sockets to open and close),
`take_sends`, `take_changes` (for the core that owns the links), `take_events`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from hashlib import blake2b
from typing import Any, Final

from braidmq.core.balancing import PeakEwma
from braidmq.core.events import DEBUG, INFO, WARNING, EventLog
from braidmq.core.retry import full_jitter
from braidmq.core.staleness import Staleness
from braidmq.errors import ProtocolError
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import UINT32

BROKERS_MAX: Final = 1_000
"""Brokers that a member keeps in mind; a net of more is beyond what it could connect to anyway."""

HEARTBEAT_S_MAX: Final = 60.0
"""Longest interval that a broker may ask for; a longer one would hide its death."""

TICK_S: Final = 0.05
"""How often links are looked after; a fraction of the shortest heartbeat."""


class LinkState(StrEnum):
    """How a link stands."""

    WAITING = "waiting"
    """Not connected; it will be tried again."""
    CONNECTING = "connecting"
    UP = "up"
    SUSPECT = "suspect"
    """Connected but silent for too long to be given new work."""
    DRAINING = "draining"
    """The broker takes no new requests; answers still come."""


OPEN: Final = frozenset((LinkState.UP, LinkState.SUSPECT, LinkState.DRAINING))
"""States in which there is a session with the broker."""


class Failure(StrEnum):
    """Why a connection could not be made or ended, as far as the transport can tell."""

    CLOSED = "the connection was closed"
    UNREACHABLE = "nothing answers there"
    NOT_REGISTERED = "the broker refuses this key: it is not registered"
    NOT_THIS_BROKER = "what answers there does not hold this broker's key, or is no broker"
    SILENT = "the broker was silent for too long"
    TURNED_AWAY = "the broker ended the session"


class Change(Enum):
    """What happened to a link, for the core that owns it."""

    UP = "up"
    DOWN = "down"
    STATE = "state"
    SERVICES = "services"

    @property
    def about_credit(self) -> bool:
        """Whether a worker may have to spread its credit anew."""
        return self is not Change.SERVICES


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker as its certificate describes it.

    Attributes:
        name: its registered name.
        endpoints: where it can be reached, in order of preference; at least one.
        key: its CURVE public key, 32 bytes.
        certificate: the signed certificate that says so.
        serial: the certificate's number; a higher one replaces a lower one.
    """

    name: str
    endpoints: tuple[str, ...]
    key: bytes
    certificate: bytes
    serial: int


Verify = Callable[[bytes], BrokerAddress]
"""Returns the address in a certificate, or raises ProtocolError if this net's authority has not signed it."""


@dataclass(frozen=True, slots=True)
class Open:
    """Make a new socket and connect it."""

    name: str
    endpoint: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket and forget it."""

    name: str


class Link:
    """One broker and the connection to it.

    Attributes:
        failures: connections that failed since one has lasted for reconnect_s_max.
        welcomed_at: when the session began.
        epoch: counts the sessions, so that an answer never goes into another session than its request's.
        services: those with a worker at this broker that this node may call.
        calls: what awaits an answer over this link; owned by the client.
        noted: whether the broker has said that it sends no more requests to this draining node.
        unsent: what was due to the broker when the connection ended and never reached the transport.
    """

    __slots__ = (
        "address",
        "attempt",
        "calls",
        "epoch",
        "ewma",
        "failure",
        "failures",
        "heard_at",
        "heartbeat_at",
        "heartbeat_s",
        "in_flight",
        "name",
        "noted",
        "payload_bytes_max",
        "services",
        "since",
        "spoke",
        "staleness",
        "state",
        "unsent",
        "wake_at",
        "warned",
        "welcomed_at",
    )

    def __init__(self, address: BrokerAddress, now: float) -> None:
        self.address = address
        self.name = address.name
        self.state = LinkState.WAITING
        self.wake_at = now
        self.since = now
        self.attempt = 0
        self.failures = 0
        self.welcomed_at = now
        self.failure: Failure | None = None
        self.epoch = 0
        self.heard_at = now
        self.heartbeat_at = now
        self.heartbeat_s = 0.0
        self.payload_bytes_max = 0
        self.services: frozenset[bytes] = frozenset()
        self.staleness = Staleness()
        self.ewma = PeakEwma(now)
        self.in_flight = 0
        self.calls: dict[Any, None] = {}
        self.spoke = False
        self.warned = False
        self.noted = False
        self.unsent: list[bytes] = []

    @property
    def open(self) -> bool:
        """Whether there is a session with the broker."""
        return self.state in OPEN


class Links:
    """See the module.

    Attributes:
        links: the brokers by name.
        version: counts the changes, so that what was derived from the links can be known to be old.
    """

    def __init__(
        self, settings: Settings, rng: random.Random, verify: Verify, *, own_name: str, software: str, now: float
    ) -> None:
        self.links: dict[str, Link] = {}
        self.version = 0
        self.events = EventLog()
        self._settings = settings
        self._rng = rng
        self._verify = verify
        self._own_name = own_name
        self._software = software
        self._actions: list[Open | Close] = []
        self._changes: list[tuple[Link, Change]] = []
        self._sends: dict[str, list[bytes]] = {}
        self._tick_at = now
        self._ticked_at = now
        self._rejected: set[bytes] = set()

    # -- outputs

    def take_actions(self) -> list[Open | Close]:
        """Return the sockets to open and close, in order."""
        actions, self._actions = self._actions, []
        return actions

    def take_changes(self) -> list[tuple[Link, Change]]:
        """Return what happened to links, in order."""
        changes, self._changes = self._changes, []
        return changes

    def take_sends(self) -> dict[str, list[bytes]]:
        """Return the messages that are due to each broker, in order."""
        sends, self._sends = self._sends, {}
        return sends

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        return self._tick_at

    @property
    def payload_bytes_max(self) -> int:
        """The smallest payload limit of the brokers that are up and of this member."""
        limits = [link.payload_bytes_max for link in self.links.values() if link.open]
        return min([self._settings.payload_bytes_max, *limits])

    @property
    def refused(self) -> bool:
        """Whether every broker that is known refuses this member's key."""
        return bool(self.links) and all(
            link.failure is Failure.NOT_REGISTERED and not link.open for link in self.links.values()
        )

    def diagnosis(self, only: str | None = None) -> str:
        """Return one line on every broker that is not up, or on `only` one: its address and why."""
        return "; ".join(
            f"{link.name} at {' '.join(link.address.endpoints)}: "
            f"{link.failure or (f'it is {link.state}' if link.open else 'no connection yet')}"
            for link in self.links.values()
            if link.state is not LinkState.UP and only in (None, link.name)
        )

    # -- inputs

    def learn(self, address: BrokerAddress, now: float) -> None:
        """Take in a broker of the net, or a newer certificate of a known one."""
        if address.name == self._own_name:
            return
        link = self.links.get(address.name)
        if link is None:
            if len(self.links) >= BROKERS_MAX:
                self.events.add(WARNING, f"{address.name} is ignored: {BROKERS_MAX} brokers are known already")
                return
            self.links[address.name] = Link(address, now)
            self._tick_at = now
        elif address.serial > link.address.serial:
            link.address = address

    def on_connected(self, name: str, now: float) -> None:
        """Take in that the transport's handshake with a broker is complete."""
        link = self.links[name]
        self.send(link, control.encode_control(control.Hello(self._software), int(now * 1000) & UINT32))

    def on_failed(self, name: str, failure: Failure, now: float) -> None:
        """Take in that a connection failed or ended; the shell has closed its socket."""
        self._down(self.links[name], failure, now)

    def on_heard(self, link: Link, now: float) -> None:
        """Take in that something arrived from a broker."""
        link.heard_at = now
        if link.state is LinkState.SUSPECT:
            self._set_state(link, LinkState.UP, now)

    def on_control(self, link: Link, message: bytes, now: float) -> control.Control | None:
        """Take in a control message; return it if it is none of the links' business."""
        try:
            received = control.decode_control(message)
        except ProtocolError as error:
            self.on_malformed(link, str(error))
            return None
        if isinstance(received, control.Welcome):
            self._on_welcome(link, received, now)
        elif isinstance(received, control.Goodbye):
            if received.reason == "draining":
                self._set_state(link, LinkState.DRAINING, now)
                if link.open:
                    self.send_control(link, control.Goodbye("noted"), now)
            elif received.reason == "noted":
                link.noted = True
            else:
                if received.reason == "refused":
                    self.events.add(WARNING, f"{link.name} refuses the session: {received.text}")
                self._give_up(link, Failure.TURNED_AWAY, now)
        elif isinstance(received, control.Services):
            if link.open:
                link.services = frozenset(service.encode() for service in received.available)
                self._add_change(link, Change.SERVICES)
        elif isinstance(received, control.Peers):
            self._on_peers(received, now)
        elif not isinstance(received, control.Heartbeat):
            return received
        return None

    def on_malformed(self, link: Link, what: str) -> None:
        """Take in that a broker sent something that is not BRAID/1; say so once per session."""
        if not link.warned:
            link.warned = True
            self.events.add(WARNING, f"{link.name} sent what is not BRAID/1: {what}")

    def suspect(self, link: Link, now: float) -> None:
        """Give a broker no new work until it is heard again."""
        if link.state is LinkState.UP:
            self._set_state(link, LinkState.SUSPECT, now)

    def send(self, link: Link, message: bytes) -> None:
        """Send a message over a link."""
        link.spoke = True
        waiting = self._sends.get(link.name)
        if waiting is None:
            self._sends[link.name] = [message]
        else:
            waiting.append(message)

    def send_control(self, link: Link, message: control.Control, now: float) -> None:
        """Send a control message over a link."""
        self.send(link, control.encode_control(message, int(now * 1000) & UINT32))

    def on_timer(self, now: float) -> None:
        """Take in that time has passed."""
        if now < self._tick_at:
            return
        settings = self._settings
        stalled_s = now - self._ticked_at - TICK_S
        self._ticked_at = now
        self._tick_at = now + TICK_S
        for link in self.links.values():
            if link.state is LinkState.WAITING:
                if now >= link.wake_at:
                    self._connect(link, now)
            elif link.state is LinkState.CONNECTING:
                if now - link.since > settings.handshake_s_max:
                    self._give_up(link, Failure.UNREACHABLE, now)
            else:
                if stalled_s > settings.heartbeat_s:
                    link.heard_at = min(now, link.heard_at + stalled_s)
                self._watch(link, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        settings = self._settings
        assert len(self.links) <= BROKERS_MAX
        assert len(self._rejected) <= BROKERS_MAX
        assert self._own_name not in self.links
        assert self._tick_at <= self._ticked_at + TICK_S
        for name, link in self.links.items():
            assert link.name == link.address.name == name
            assert link.address.endpoints
            assert link.in_flight == len(link.calls)
            assert not link.calls or link.open
            assert link.open or not link.services
            assert not link.open or (link.epoch and link.heartbeat_s > 0.0 and link.failure is None)
            if link.state is LinkState.WAITING:
                assert link.wake_at <= link.since + settings.reconnect_s_max
        for name, messages in self._sends.items():
            assert messages
            assert self.links[name].state is not LinkState.WAITING

    # -- inner

    def _add_change(self, link: Link, change: Change) -> None:
        self.version += 1
        self._changes.append((link, change))

    def _watch(self, link: Link, now: float) -> None:
        settings = self._settings
        silent_s = (now - link.heard_at) / max(1.0, link.heartbeat_s / settings.heartbeat_s)
        if silent_s > settings.dead_after_s:
            self._give_up(link, Failure.SILENT, now)
            return
        if silent_s > settings.suspect_after_s:
            self.suspect(link, now)
        if not link.spoke and now >= link.heartbeat_at:
            self.send_control(link, control.Heartbeat(), now)
        if link.spoke:
            link.spoke = False
            link.heartbeat_at = now + link.heartbeat_s

    def _connect(self, link: Link, now: float) -> None:
        endpoint = link.address.endpoints[link.attempt % len(link.address.endpoints)]
        link.attempt += 1
        link.state = LinkState.CONNECTING
        link.since = now
        self._actions.append(Open(link.name, endpoint, link.address.key))

    def _on_welcome(self, link: Link, welcome: control.Welcome, now: float) -> None:
        if link.state is not LinkState.CONNECTING:
            return
        link.state = LinkState.UP
        link.since = now
        link.epoch += 1
        link.failure = None
        link.welcomed_at = now
        link.heartbeat_s = min(HEARTBEAT_S_MAX, welcome.heartbeat_ms / 1000.0)
        link.heartbeat_at = now + link.heartbeat_s / 2
        link.payload_bytes_max = welcome.payload_bytes_max
        link.services = frozenset()
        link.ewma = PeakEwma(now)
        link.warned = False
        link.noted = False
        self.events.add(INFO, f"connected to {link.name}")
        self._add_change(link, Change.UP)

    def _on_peers(self, peers: control.Peers, now: float) -> None:
        known = {link.address.certificate for link in self.links.values()}
        for peer in peers.brokers:
            if peer.certificate in known:
                continue
            digest = blake2b(peer.certificate, digest_size=16).digest()
            if digest in self._rejected:
                continue
            try:
                address = self._verify(peer.certificate)
            except ProtocolError as error:
                if len(self._rejected) < BROKERS_MAX:
                    self._rejected.add(digest)
                    self.events.add(WARNING, f"a broker's certificate is refused: {error}")
                continue
            self.learn(address, now)

    def _set_state(self, link: Link, state: LinkState, now: float) -> None:
        if link.open and link.state is not state:
            link.state = state
            link.since = now
            self.events.add(INFO, f"{link.name} is {state}")
            self._add_change(link, Change.STATE)

    def _give_up(self, link: Link, failure: Failure, now: float) -> None:
        """End a connection from this side."""
        if link.state is not LinkState.WAITING:
            self._actions.append(Close(link.name))
            self._down(link, failure, now)

    def _down(self, link: Link, failure: Failure, now: float) -> None:
        was_open = link.open
        first = link.failure is not failure
        link.failure = failure
        link.state = LinkState.WAITING
        link.since = now
        link.services = frozenset()
        link.staleness = Staleness()
        if was_open and now - link.welcomed_at >= self._settings.reconnect_s_max:
            link.failures = 0
        link.wake_at = now + full_jitter(
            self._settings.reconnect_s, self._settings.reconnect_s_max, link.failures, self._rng
        )
        link.failures += 1
        link.unsent = self._sends.pop(link.name, [])
        self.events.add(WARNING if first else DEBUG, f"no connection to {link.name}: {failure}")
        self._add_change(link, Change.DOWN if was_open else Change.STATE)
