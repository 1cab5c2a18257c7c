"""Which foreign connection is which: routing ids of messages, joined with what the socket's monitor tells.

The monitor names a connection by its descriptor, which the system gives to another one as soon as it is free. So each
batch is handled in this order: read messages, read what the monitor has told, and only then ask here whose the
messages are. The monitor has told of a connection before any message of it can be read.
"""

from braidmq.bridges.limits import PEERS_MAX, SILENT_MAX
from braidmq.bridges.port import Peer


class Connections:
    """The foreign connections of one endpoint.

    Attributes:
        gone: peers whose connections have ended, in order; whoever reads them empties it.
    """

    def __init__(self) -> None:
        self._by_descriptor: dict[int, Peer | None] = {}
        self._silent: dict[int, None] = {}
        self._by_route: dict[bytes, tuple[Peer, int]] = {}
        self.gone: list[Peer] = []

    def __len__(self) -> int:
        """How many have said something."""
        return len(self._by_route)

    def on_accepted(self, descriptor: int) -> None:
        """Note a new connection."""
        self.on_disconnected(descriptor)  # in case that was not told
        self._by_descriptor[descriptor] = None
        self._silent[descriptor] = None

    def on_disconnected(self, descriptor: int) -> None:
        """Note the end of a connection."""
        self._silent.pop(descriptor, None)
        peer = self._by_descriptor.pop(descriptor, None)
        if peer is not None:
            self._forget(peer)

    def known(self, route: bytes) -> Peer | None:
        """Return who sends with a routing id that libzmq has chosen: no two connections have the same one."""
        if route[:1] != b"\0":
            return None
        found = self._by_route.get(route)
        return None if found is None else found[0]

    def find(self, route: bytes, descriptor: int) -> Peer | None:
        """Return who sends over a connection, if he is known."""
        found = self._by_route.get(route)
        return found[0] if found is not None and found[1] == descriptor else None

    def add(self, peer: Peer, descriptor: int) -> bool:
        """Note who sends over a connection, for the first time; return whether there is room.

        A connection that has ended already takes its peer with it: `gone` has it at once.
        """
        former = self._by_route.get(peer.route)  # a program that names itself has come back over another connection
        if former is not None:
            self._by_descriptor[former[1]] = None
            self._forget(former[0])
        if len(self._by_route) >= PEERS_MAX:
            return False
        if descriptor not in self._by_descriptor:
            peer.gone = True
            self.gone.append(peer)
            return True
        holder = self._by_descriptor[descriptor]
        if holder is not None:
            self._forget(holder)
        self._by_descriptor[descriptor] = peer
        self._silent.pop(descriptor, None)
        self._by_route[peer.route] = peer, descriptor
        return True

    def descriptor(self, peer: Peer) -> int | None:
        """Return over which connection a peer speaks, as long as it can be reached."""
        found = self._by_route.get(peer.route)
        return found[1] if found is not None and found[0] is peer else None

    def descriptors(self) -> list[int]:
        """Return all connections."""
        return list(self._by_descriptor)

    def too_silent(self) -> int | None:
        """Return the connection that has said nothing for the longest time if there are too many of them.

        It is one of them no longer: whoever asks ends it.
        """
        if len(self._silent) <= SILENT_MAX:
            return None
        oldest = next(iter(self._silent))
        del self._silent[oldest]
        return oldest

    def end(self, peer: Peer) -> None:
        """Note that nothing reaches a peer any more, which its connection's end has not told yet."""
        descriptor = self.descriptor(peer)
        if descriptor is not None:
            self._by_descriptor[descriptor] = None
            self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        del self._by_route[peer.route]
        peer.gone = True
        self.gone.append(peer)
