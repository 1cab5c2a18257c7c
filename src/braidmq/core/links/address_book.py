"""Which brokers a member knows: learned from its own file, from certificates and from the lists of other brokers."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from braidmq.core.events.links import BrokerIgnored, CertificateRefused
from braidmq.core.events.log import EventLog
from braidmq.core.links.link import BrokerAddress, Link, LinkState, Verify
from braidmq.errors import ProtocolError
from braidmq.wire import control
from braidmq.wire.limits import BROKERS_MAX

REFUSED_MAX: Final = 64
"""Certificates of one list that may turn out to be false before no more of it are looked at: each costs a check of its
signature."""


class AddressBook:
    """The brokers that one member knows, each with the link to it.

    Args:
        verify: returns the address in a certificate that somebody handed on.
        own_name: what this member is called itself: it is no broker to connect to.
        tombstone_s: the setting.
        events: where to say what is refused.

    Attributes:
        links: by name.
        version: counts the changes of which brokers are known, and by which certificates.
    """

    __slots__ = ("_events", "_own_name", "_rejected", "_tombstone_s", "_verify", "links", "version")

    def __init__(self, verify: Verify, own_name: str, tombstone_s: float, events: EventLog) -> None:
        self.links: dict[str, Link] = {}
        self.version = 0
        self._verify = verify
        self._own_name = own_name
        self._tombstone_s = tombstone_s
        self._events = events
        self._rejected: set[bytes] = set()

    @property
    def are_listed(self) -> bool:
        """Whether a broker has listed the brokers of the net, so that one that is not known is none of them."""
        return any(link.peers for link in self.links.values() if link.open)

    def learn(self, address: BrokerAddress, now: float, *, configured: bool = False) -> None:
        """Handle a broker of the net, or a newer certificate of a known one. What is `configured` is not forgotten."""
        if address.name == self._own_name:
            return
        link = self.links.get(address.name)
        if link is None:
            if len(self.links) >= BROKERS_MAX:
                self._events.add(BrokerIgnored(address.name, BROKERS_MAX))
                return
            link = self.links[address.name] = Link(address, now)
            self.version += 1
        elif address.serial > link.address.serial:
            link.address = address
            self.version += 1
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
                self._events.add(CertificateRefused("a broker's certificate", str(error)))
            return None
        self.learn(address, now)
        return address.name

    def on_list(self, link: Link, brokers: Sequence[control.Peer], now: float) -> tuple[bool, list[str]]:
        """Handle the brokers that one of them lists, and learn those that are new.

        Returns:
            Whether it lists others than before, and the names of those that it has reached since.
        """
        names = {each.address.certificate: each.name for each in self.links.values()}
        listed, reached, refused = set(), set(), 0
        for peer in brokers[:BROKERS_MAX]:
            name = names.get(peer.certificate)
            if name is None and refused < REFUSED_MAX:
                name = self.learn_certificate(peer.certificate, now)
                refused += name is None
            if name is not None and peer.state != "dead":
                listed.add(name)
                if peer.connected and peer.state == "alive":
                    reached.add(name)
        newly_reached = sorted(reached - link.reached)
        link.reached = frozenset(reached)
        if listed == link.peers:
            return False, newly_reached
        link.dropped = (link.dropped | link.peers) - listed
        link.peers = frozenset(listed)
        return True, newly_reached

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
            if link.name in dropped or now - link.unlisted_at >= self._tombstone_s:
                found.append(link)
        return found

    def forget(self, link: Link) -> None:
        """Forget a broker to which there is no connection."""
        del self.links[link.name]
        self.version += 1

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self.links) <= BROKERS_MAX
        assert len(self._rejected) <= BROKERS_MAX
        assert self._own_name not in self.links
        for name, link in self.links.items():
            assert link.name == link.address.name == name
            assert link.address.endpoints
