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

OWN_KEYS_MAX: Final = 16
"""Keys of a broker's own that it knows itself by: the present one, and those before. Each rotation makes one."""


class AddressBook:
    """The brokers that one member knows, each with the link to it.

    A key is one broker's: what comes under another name with it is the same broker, which was renamed, and may be this
    member itself.

    Args:
        verify: returns the address in a certificate that somebody handed on.
        own_name: what this member is called itself, if it is a broker: it does not connect to itself.
        tombstone_s: the setting.
        events: where to say what is refused.

    Attributes:
        links: by name.
        own_keys: this member's own by which it is known, or was, in order, if it is a broker.
        version: counts the changes of which brokers are known, and by which certificates.
    """

    __slots__ = (
        "_events", "_holders", "_own_name", "_rejected", "_renamed", "_tombstone_s", "_verify", "links", "own_keys",
        "version",
    )  # fmt: skip

    def __init__(self, verify: Verify, own_name: str, tombstone_s: float, events: EventLog) -> None:
        self.links: dict[str, Link] = {}
        self.version = 0
        self._verify = verify
        self._own_name = own_name
        self.own_keys: dict[bytes, None] = {}
        self._renamed: dict[str, None] = {}
        self._holders: dict[bytes, str] = {}
        self._tombstone_s = tombstone_s
        self._events = events
        self._rejected: set[bytes] = set()

    @property
    def are_listed(self) -> bool:
        """Whether a broker has listed the brokers of the net, so that one that is not known is none of them."""
        return any(link.peers for link in self.links.values() if link.open)

    def change_own(self, address: BrokerAddress) -> None:
        """Note what this member, which is a broker, is called by now, and by which keys it is known besides."""
        self._own_name = address.name
        for key in _keys_of(address):
            self.own_keys.pop(key, None)
            self.own_keys[key] = None
        while len(self.own_keys) > OWN_KEYS_MAX:
            del self.own_keys[next(iter(self.own_keys))]

    def take_renamed(self) -> list[Link]:
        """Return the links to brokers that have another name by now, and another link."""
        renamed, self._renamed = self._renamed, {}
        return [self.links[name] for name in renamed if name in self.links]

    def learn(self, address: BrokerAddress, now: float, *, configured: bool = False) -> None:
        """Handle a broker of the net, or a newer certificate of a known one. What is `configured` is not forgotten."""
        keys = _keys_of(address)
        if address.name == self._own_name or not self.own_keys.keys().isdisjoint(keys):
            return
        link = self.links.get(address.name)
        if link is None:
            former = {self._holders[key] for key in keys if key in self._holders}
            if any(self.links[name].address.serial >= address.serial for name in former):
                return
            self._renamed |= dict.fromkeys(former)
            if len(self.links) >= BROKERS_MAX:
                self._events.add(BrokerIgnored(address.name, BROKERS_MAX))
                return
            link = self.links[address.name] = Link(address, now)
            self.version += 1
            self._holders |= dict.fromkeys(keys, address.name)
        elif address.serial > link.address.serial:
            self._let_go(link)
            link.address = address
            self._holders |= dict.fromkeys(keys, address.name)
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
        self._let_go(link)
        del self.links[link.name]
        self.version += 1

    def _let_go(self, link: Link) -> None:
        """Note that the keys in a broker's address are its own no longer."""
        for key in _keys_of(link.address):
            if self._holders.get(key) == link.name:
                del self._holders[key]

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self.links) <= BROKERS_MAX
        assert len(self._rejected) <= BROKERS_MAX
        assert self._own_name not in self.links
        assert len(self.own_keys) <= OWN_KEYS_MAX
        assert len(self._renamed) <= BROKERS_MAX
        assert all(key in _keys_of(self.links[name].address) for key, name in self._holders.items())
        for name, link in self.links.items():
            assert link.name == link.address.name == name
            assert link.address.endpoints


def _keys_of(address: BrokerAddress) -> set[bytes]:
    """Return the keys that hold for a broker."""
    return {address.key, address.former_key} if address.former_key else {address.key}
