"""Which foreign connections there are, and whom each of them is to be told as."""

from braidmq.bridges.limits import PEERS_MAX, SILENT_MAX
from braidmq.bridges.link import Link
from braidmq.bridges.port import Peer


class Connections:
    """The foreign connections of one endpoint: those that have said something are peers, others are silent."""

    def __init__(self) -> None:
        self._silent: dict[Link, None] = {}
        self._links: dict[Peer, Link] = {}

    def __len__(self) -> int:
        """How many have said something."""
        return len(self._links)

    def on_made(self, link: Link) -> Link | None:
        """Note a new connection; return the one that has said nothing for the longest time if there are too many."""
        self._silent[link] = None
        if len(self._silent) <= SILENT_MAX:
            return None
        oldest = next(iter(self._silent))
        del self._silent[oldest]
        return oldest

    @property
    def are_full(self) -> bool:
        """Whether as many have said something as may."""
        return len(self._links) >= PEERS_MAX

    def add(self, link: Link, peer: Peer) -> None:
        """Note who speaks over a connection, for the first time."""
        self._silent.pop(link, None)
        self._links[peer] = link
        link.peer = peer

    def link(self, peer: Peer) -> Link | None:
        """Return over which connection a peer speaks, as long as it can be reached."""
        return self._links.get(peer)

    def links(self) -> list[Link]:
        """Return all connections."""
        return [*self._silent, *self._links.values()]

    def forget(self, link: Link) -> Peer | None:
        """Note the end of a connection; return its peer, who is gone, if it has said something."""
        self._silent.pop(link, None)
        peer = link.peer
        if peer is None or self._links.pop(peer, None) is None:
            return None
        peer.gone = True
        return peer
