"""Connections that a broker ends of its own accord: they were cut, or their keys are not let in any more."""

from collections.abc import Callable, Mapping
from itertools import islice
from math import inf
from typing import Final

from braidmq.carrier.peer import Peer
from braidmq.zmtp.handshake import Authorise
from braidmq.zmtp.violation import Refusal

LINGER_S: Final = 1.0
"""How long a connection that was cut may take to let go what was sent over it before, and to end."""

REVIEWED_PER_TURN: Final = 500
"""Keys that are judged anew before members have their turn again: a millisecond of work, or some of them if all of them
are refused."""

ENDED_PER_TURN: Final = 250
"""Connections that are shut, and that are ended, before members have their turn again: some milliseconds of work."""


class Cuts:
    """The connections that are to end, once what was sent before has left and the other side has ended them.

    `cut` is for one of them, `review` for all keys; `go_on` does what is due, some of it at a time.

    Attributes:
        peers: those that were cut and have not ended yet, by their routes.

    Args:
        routes: the connections whose handshakes are complete; the listener's own table.
        authorise: judges a key; raises Refusal.
        end: closes a connection; it calls `leave`.
    """

    def __init__(self, routes: Mapping[bytes, Peer], authorise: Authorise, end: Callable[[Peer], None]) -> None:
        self._routes = routes
        self._authorise = authorise
        self._end = end
        self.peers: dict[bytes, Peer] = {}
        self._fresh: dict[bytes, Peer] = {}
        self._unjudged: dict[str, list[Peer]] = {}
        self._has_more = False

    def cut(self, route: bytes) -> None:
        """Cut a connection; if its key is let in no more, all of that key."""
        peer = self._routes.get(route)
        if peer is not None and route not in self.peers:
            self._begin(peer)
            if not self._is_let_in(peer.principal):
                for other in self._routes.values():
                    if other.principal == peer.principal:
                        self._begin(other)

    def review(self) -> None:
        """Judge all keys anew, some at a time."""
        self._unjudged = {}
        for peer in self._routes.values():
            self._unjudged.setdefault(peer.principal, []).append(peer)

    def leave(self, peer: Peer) -> None:
        """Note that a connection has ended."""
        self.peers.pop(peer.route, None)
        self._fresh.pop(peer.route, None)

    def go_on(self, now: float) -> None:
        """Do what is due."""
        for principal in list(islice(self._unjudged, REVIEWED_PER_TURN)):
            peers = self._unjudged.pop(principal)
            if not self._is_let_in(principal):
                for peer in peers:
                    self._begin(peer)
        if not self.peers:
            return
        for route, peer in list(islice(self._fresh.items(), ENDED_PER_TURN)):
            del self._fresh[route]
            peer.cut_at = now + LINGER_S
            if not peer.blocked:
                peer.shut()
        shut = (peer for peer in self.peers.values() if peer.cut_at < inf)
        over = (peer for peer in shut if peer.end is not None or now >= peer.cut_at)
        some = list(islice(over, ENDED_PER_TURN))
        self._has_more = len(some) == ENDED_PER_TURN
        for peer in some:
            self._end(peer)

    def next_deadline(self) -> float:
        """Return when `go_on` is due; infinity if nothing is left to do."""
        if self._unjudged or self._fresh or (self._has_more and self.peers):
            return -inf
        return min((peer.cut_at for peer in self.peers.values()), default=inf)

    def _begin(self, peer: Peer) -> None:
        if self._routes.get(peer.route) is peer and peer.route not in self.peers:
            self.peers[peer.route] = self._fresh[peer.route] = peer

    def _is_let_in(self, principal: str) -> bool:
        try:
            self._authorise(bytes.fromhex(principal))
        except Refusal:
            return False
        return True
