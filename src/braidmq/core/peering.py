"""A broker's links to its peers: each keeps the others told which brokers there are."""

import random

from braidmq.core.events import Event
from braidmq.core.links import BrokerAddress, Change, Close, Failure, Links, Open, Verify
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.bundle import split
from braidmq.wire.envelope import CONTROL_FIRST, MAJOR


class PeeringCore:
    """The list of brokers that this broker knows: configured ones, and those that peers told of.

    The boundary is that of NodeCore. `take_peers` returns the list whenever it has changed.
    """

    def __init__(
        self, own: BrokerAddress, settings: Settings, rng: random.Random, verify: Verify, *, software: str, now: float
    ) -> None:
        self._own = own
        self._links = Links(settings, rng, verify, own_name=own.name, software=software, now=now)
        self._known = -1
        self._changed = True

    def take_actions(self) -> list[Open | Close]:
        """Return the sockets to open and close, in order."""
        return self._links.take_actions()

    def take_sends(self) -> dict[str, list[bytes]]:
        """Return the messages that are due to each peer, in order."""
        return self._links.take_sends()

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log."""
        return self._links.events.take()

    def take_peers(self) -> tuple[list[control.Peer], list[control.PeerStatus]] | None:
        """Return all brokers that are known, this one first, and the states of the others; None if unchanged."""
        for _link, change in self._links.take_changes():
            self._changed = self._changed or change in (Change.UP, Change.DOWN, Change.STATE)
        links = self._links.links.values()
        if not self._changed and len(links) == self._known:
            return None
        self._changed = False
        self._known = len(links)
        states = [control.PeerStatus(link.name, link.state) for link in links]
        peers = [control.Peer(self._own.certificate, connected=True)]
        peers += [control.Peer(link.address.certificate, connected=link.open) for link in links]
        return peers, states

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        return self._links.next_deadline()

    def learn(self, address: BrokerAddress, now: float) -> None:
        """Take in a broker that is configured."""
        self._links.learn(address, now)

    def on_connected(self, name: str, now: float) -> None:
        """Take in that the transport's handshake with a peer is complete."""
        self._links.on_connected(name, now)

    def on_failed(self, name: str, failure: Failure, now: float) -> None:
        """Take in that a connection failed or ended."""
        self._links.on_failed(name, failure, now)

    def on_frame(self, name: str, frame: bytes, now: float) -> None:
        """Take in a frame from a peer."""
        link = self._links.links[name]
        self._links.on_heard(link, now)
        messages, intact = split(frame)
        for message in messages:
            if message[4] >> 4 == MAJOR and message[5] >= CONTROL_FIRST:
                self._links.on_control(link, message, now)
        if not intact:
            self._links.on_malformed(link, "a frame that is no bundle")

    def on_timer(self, now: float) -> None:
        """Take in that time has passed."""
        self._links.on_timer(now)
