"""What a broker tells the others: news, with whatever goes to them anyway, and in a SYNC all that it holds."""

import random

from braidmq.core.membership.peer_record import PeerRecord
from braidmq.core.membership.rumors import Rumors
from braidmq.core.membership.scrutiny import Certificates
from braidmq.wire.gossip import RUMORS_MAX, Gossip, Gossiped, Rumor, Sync


class Telling:
    """The words of one broker, until its owner takes them from `sends`.

    Args:
        own: what it says of itself.
        members: what it holds of the others; its owner's own table.
        certificates: go with the news of those that are alive.
        fanout: the setting gossip_fanout.

    Attributes:
        own: what it says of itself.
        rumors: news on its way.
        sends: the messages that are due to each broker, in order.
    """

    __slots__ = ("_certificates", "_fanout", "_listeners", "_members", "_rng", "own", "rumors", "sends")

    def __init__(
        self,
        own: Rumor,
        members: dict[str, PeerRecord],
        certificates: Certificates,
        fanout: int,
        rng: random.Random,
    ) -> None:
        self.own = own
        self.rumors = Rumors()
        self.sends: dict[str, list[Gossiped]] = {}
        self._members = members
        self._certificates = certificates
        self._fanout = fanout
        self._rng = rng
        self._listeners: list[str] = []

    def send(self, name: str, message: Gossiped) -> None:
        """Send a message to a broker."""
        self.sends.setdefault(name, []).append(message)

    def spread_own(self, own: Rumor) -> None:
        """Begin to tell what this broker says of itself from now on."""
        self.own = own
        self.rumors.put(own)

    def spread(self, member: PeerRecord, accuser: str = "") -> None:
        """Begin to tell what is held of a broker; if it is suspect, whose word that is."""
        rumor = self._rumor_of(member)
        if accuser:
            rumor = Rumor(rumor.name, rumor.incarnation, rumor.state, accuser)
        self.rumors.put(rumor)

    def news(self, of: str = "") -> list[Rumor]:
        """Return the rumors for one message; if `of` is suspect, that comes first, so that it can refute."""
        member = self._members.get(of)
        brokers = len(self._members) + 1
        if member is None or member.suspicion is None:
            return self.rumors.take(brokers, RUMORS_MAX)
        rest = self.rumors.take(brokers, RUMORS_MAX - 1)
        return [self._rumor_of(member), *(rumor for rumor in rest if rumor.name != of)]

    def sync(self, *, answer: bool) -> Sync:
        """Return all that is held, for one broker; with `answer`, it is asked for the same."""
        rows = [Rumor(member.name, member.incarnation, member.state) for member in self._members.values()]
        return Sync([self.own, *rows], answer)

    def gossip(self, others: list[str]) -> None:
        """Tell the news to the next brokers of a shuffled round: random ones would miss somebody in a small net."""
        told = 0
        while self.rumors and told < min(len(others), self._fanout):
            if not self._listeners:
                self._listeners = list(others)
                self._rng.shuffle(self._listeners)
            member = self._members.get(self._listeners.pop())
            if member is not None and member.state != "dead":
                self.send(member.name, Gossip(self.news()))
                told += 1

    def _rumor_of(self, member: PeerRecord) -> Rumor:
        if member.suspicion is not None:
            return Rumor(member.name, member.incarnation, "suspect", self.own.name)
        certificate = self._certificates.certificate(member.name) if member.state == "alive" else b""
        return Rumor(member.name, member.incarnation, member.state, "", certificate or b"")
