"""A broker's Listener (turn/ports.py): who connects, what members say, and who is gone."""

import errno
import math
import resource
import socket as sockets
from collections.abc import Callable
from typing import Final

from braidmq.carrier.connections import part
from braidmq.carrier.doorstep import Doorstep, origin_of
from braidmq.carrier.options import address_of, frame_bytes_max, prepare
from braidmq.carrier.poller import Poller
from braidmq.carrier.strangers import Strangers
from braidmq.carrier.stream import Rooms, Stream
from braidmq.settings import Settings
from braidmq.wire.limits import ROUTE_BYTES
from braidmq.zmtp.handshake import Authorise, KeyPair, ServerHandshake
from braidmq.zmtp.violation import Refusal, Violation

BACKLOG: Final = 1_024
"""Connections that the kernel keeps until they are accepted: nodes that come back all at once."""

ACCEPTED_PER_TURN: Final = 16
"""Connections accepted before members have their turn again: less than a millisecond of work."""

HANDSHAKES_PER_TURN: Final = 8
"""Connections at the door that are read before members have their turn again: some milliseconds of work."""

BYTES_PER_TURN: Final = 1024 * 1024
"""Bytes read before what they have caused is sent, some milliseconds of work."""

LINGER_S: Final = 1.0
"""How long a connection that was cut may take to let go what was sent over it before, and to end."""

PAUSE_S: Final = 0.25
"""How long nothing is accepted when the system has no descriptor for it, so that the broker does not spin."""

RESERVE_DESCRIPTORS: Final = 32
"""Descriptors that no member gets: for links to other brokers, the join file and lookups."""

RESERVE_SHARE_MAX: Final = 4
"""The reserve is at most a fourth of all descriptors, so that a low limit leaves room for members."""

_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Peer(Stream):
    """The broker's end of a connection.

    Attributes:
        route: what the core knows it by.
        address: where it comes from.
        cut_at: when it has to be gone, once it was cut.
        waits_to_write: whether the poller was asked to tell when it can be written.
        held: how many bytes of it are counted for its key.
    """

    __slots__ = ("address", "cut_at", "held", "route", "waits_to_write")

    def __init__(
        self,
        socket: sockets.socket,
        handshake: ServerHandshake,
        bytes_max: int,
        rooms: Rooms,
        route: bytes,
        address: str,
    ) -> None:
        super().__init__(socket, handshake, bytes_max, rooms)
        self.route = route
        self.address = address
        self.cut_at = math.inf
        self.waits_to_write = False
        self.held = 0


class Listener:
    """See turn/ports.py.

    Args:
        settings: see Settings.
        pair: the broker's keys.
        authorise: says who holds a key.
        random: random bytes that nobody can guess.
        poller: that of the broker's thread.
    """

    def __init__(
        self,
        settings: Settings,
        pair: KeyPair,
        authorise: Authorise,
        random: Callable[[int], bytes],
        poller: Poller,
    ) -> None:
        self.doorstep = Doorstep(settings.handshake_s_max)
        self.strangers = Strangers()
        self._settings = settings
        self._pair = pair
        self._authorise = authorise
        self._random = random
        self._poller = poller
        self._rooms = Rooms()
        self._frame_bytes_max = frame_bytes_max(settings)
        self._outbox_bytes_max = settings.outbox_bytes_max
        self._sockets: dict[int, sockets.socket] = {}
        self._peers: dict[int, Peer] = {}
        self._routes: dict[bytes, Peer] = {}
        self._readable: dict[int, None] = {}
        self._arriving: dict[int, None] = {}
        self._acceptable: dict[int, None] = {}
        self._held_bytes: dict[str, int] = {}
        self._breaches: list[tuple[bytes, str, str]] = []
        self._gone: list[tuple[bytes, list[bytes]]] = []
        self._cut: dict[bytes, Peer] = {}
        self._resume_at = math.inf
        self._descriptors_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    # -- where it listens

    def bind(self, endpoint: str) -> str:
        """Listen at ``tcp://ADDRESS:PORT``, and return the endpoint with its real port. Raises OSError."""
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        if host == "*":
            family, where = sockets.AF_INET, ("0.0.0.0", int(port))  # noqa: S104 - that is what it asks for
        else:
            found, where = address_of(endpoint)
            family = sockets.AddressFamily(found)
        socket = sockets.socket(family, sockets.SOCK_STREAM)
        try:
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            if family == sockets.AF_INET6:
                socket.setsockopt(sockets.IPPROTO_IPV6, sockets.IPV6_V6ONLY, 0)
            socket.bind(where)
            socket.setblocking(False)
            socket.listen(BACKLOG)
        except OSError:
            socket.close()
            raise
        self._sockets[socket.fileno()] = socket
        self._poller.register(socket.fileno())
        bound = socket.getsockname()
        shown = f"[{bound[0]}]" if family == sockets.AF_INET6 else bound[0]
        return f"tcp://{shown}:{bound[1]}"

    def unbind(self, endpoint: str) -> None:
        """Stop to listen at an endpoint that `bind` has returned."""
        port = int(endpoint.rpartition(":")[2])
        for descriptor, socket in list(self._sockets.items()):
            if socket.getsockname()[1] == port:
                self._poller.unregister(descriptor)
                self._acceptable.pop(descriptor, None)
                del self._sockets[descriptor]
                socket.close()

    # -- for the loop

    def mark(self, descriptor: int, *, only_writable: bool) -> bool:
        """Note that a descriptor has something to tell; return whether it is one of this listener's."""
        peer = self._peers.get(descriptor)
        if peer is None:
            if descriptor not in self._sockets:
                return False
            self._acceptable[descriptor] = None
        elif not only_writable:
            (self._readable if peer.open else self._arriving)[descriptor] = None
        if peer is not None and peer.waits_to_write:
            self._flush(peer)
        return True

    @property
    def has_more(self) -> bool:
        """Whether something is left to read that is known of."""
        return bool(self._readable or self._arriving)

    # -- for the turn

    def frames(self, now: float) -> list[tuple[bytes, str, bytes]]:
        """See turn/ports.py."""
        found: list[tuple[bytes, str, bytes]] = []
        if self._readable:
            readable, self._readable = self._readable, {}
            size = 0
            frames: list[bytes] = []
            for descriptor in readable:
                peer = self._peers.get(descriptor)
                if peer is None:
                    continue
                if size > BYTES_PER_TURN:
                    self._readable[descriptor] = None
                    continue
                peer.read(frames)
                if self._cut and peer.route in self._cut:
                    frames.clear()  # it has said enough
                if frames:
                    route, principal = peer.route, peer.principal
                    for frame in frames:
                        size += len(frame)
                        found.append((route, principal, frame))
                    frames.clear()
                if peer.end is not None:
                    self._on_end(peer)
                elif peer.blocked:
                    self._on_blocked(peer)
        if self._arriving:
            self._read_arriving(found, now)
        if self._acceptable:
            self._accept(now)
        return found

    def breaches(self) -> list[tuple[bytes, str, str]]:
        """See turn/ports.py."""
        if not self._breaches:
            return []
        breaches, self._breaches = self._breaches, []
        return breaches

    def send(self, sends: dict[bytes, list[bytes]]) -> None:
        """See turn/ports.py."""
        for route, messages in sends.items():
            peer = self._routes.get(route)
            if peer is not None:
                peer.send(messages)
                if peer.blocked or peer.held:
                    self._on_blocked(peer)

    def cut(self, route: bytes) -> None:
        """See turn/ports.py."""
        peer = self._routes.get(route)
        if peer is not None and route not in self._cut:
            peer.cut_at = -math.inf  # set by the next `flush`, which knows the time
            self._cut[route] = peer

    def flush(self, now: float) -> None:
        """See turn/ports.py."""
        for route, peer in list(self._cut.items()):
            if peer.cut_at == -math.inf:
                peer.cut_at = now + LINGER_S
                if not peer.blocked:
                    peer.shut()
            if peer.end is not None or now >= peer.cut_at:
                del self._cut[route]
                self._end(peer)
        for descriptor in self.doorstep.overdue(now):
            self._end(self._peers[descriptor])
        if now >= self._resume_at:
            self._resume_at = math.inf
            for descriptor in self._sockets:
                self._poller.register(descriptor)
        self.strangers.tell(now)

    def take_gone(self, now: float) -> list[tuple[bytes, list[bytes]]]:
        """See turn/ports.py."""
        if not self._gone:
            return []
        gone, self._gone = self._gone, []
        return gone

    def next_deadline(self) -> float | None:
        """See turn/ports.py."""
        due = min(self._resume_at, self.strangers.next_deadline())
        for peer in self._cut.values():
            due = min(due, peer.cut_at)
        door = self.doorstep.next_deadline()
        if door is not None and door < due:
            due = door
        return None if due == math.inf else due

    def close(self, linger_s: float) -> None:
        """Stop to listen, and end all connections; what waits may leave within `linger_s`."""
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()
        if linger_s:
            part([peer for peer in self._peers.values() if peer.open], linger_s)
        for peer in list(self._peers.values()):
            peer.close()
        self._peers.clear()
        self._routes.clear()

    # -- who comes

    def _accept(self, now: float) -> None:
        acceptable, self._acceptable = self._acceptable, {}
        for descriptor in acceptable:
            listening = self._sockets[descriptor]
            for _ in range(ACCEPTED_PER_TURN):
                try:
                    socket, address = listening.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _FULL:
                        self._pause(now)
                        return
                    continue  # it has ended before it was accepted
                self._meet(socket, str(address[0]), now)

    def _meet(self, socket: sockets.socket, address: str, now: float) -> None:
        descriptor = socket.fileno()
        if self._is_too_many(descriptor):
            socket.close()
            self.strangers.on_crowd(self._descriptors_max)
            return
        origin = origin_of(address)
        leaving = self.doorstep.come(descriptor, origin, now)
        if leaving is not None:
            self.strangers.on_siege(origin)
            if leaving == descriptor:
                socket.close()
                return
            self._end(self._peers[leaving])
        try:
            prepare(socket, self._settings)
        except OSError:  # it has ended already
            self.doorstep.leave(descriptor)
            socket.close()
            return
        handshake = ServerHandshake(self._pair, self._authorise, self._random)
        peer = Peer(socket, handshake, self._frame_bytes_max, self._rooms, self._random(ROUTE_BYTES), address)
        self._peers[descriptor] = peer
        self._poller.register(descriptor)
        peer.flush()

    def _read_arriving(self, found: list[tuple[bytes, str, bytes]], now: float) -> None:
        arriving, self._arriving = self._arriving, {}
        frames: list[bytes] = []
        for count, descriptor in enumerate(arriving):
            peer = self._peers.get(descriptor)
            if peer is None:
                continue
            if count >= HANDSHAKES_PER_TURN:
                self._arriving[descriptor] = None
                continue
            peer.read(frames)
            if peer.open:
                self.doorstep.leave(descriptor)
                self._routes[peer.route] = peer
                found.extend((peer.route, peer.principal, frame) for frame in frames)
            frames.clear()
            if peer.end is not None:
                self._on_end(peer)
            elif peer.blocked:
                self._on_blocked(peer)

    def _pause(self, now: float) -> None:
        """Accept nothing for a moment: the system has no descriptors."""
        if self._resume_at == math.inf:
            self._resume_at = now + PAUSE_S
            for descriptor in self._sockets:
                self._poller.unregister(descriptor)
        self.strangers.on_crowd(self._descriptors_max)

    def _is_too_many(self, descriptor: int) -> bool:
        most = self._descriptors_max
        if most == resource.RLIM_INFINITY:
            return False
        return descriptor >= most - min(RESERVE_DESCRIPTORS, most // RESERVE_SHARE_MAX)

    # -- who goes

    def _on_end(self, peer: Peer) -> None:
        """A connection has ended, or does what it must not."""
        end = peer.end
        if isinstance(end, Refusal):
            self.strangers.on_refused(peer.address, end)
        elif isinstance(end, Violation):
            if peer.open:
                self._breaches.append((peer.route, peer.principal, str(end)))
            else:
                self.strangers.on_violation(peer.address, str(end))
        self._end(peer)

    def _end(self, peer: Peer) -> None:
        """Close a connection, and tell of its end if the core knows it."""
        descriptor = peer.descriptor
        self._poller.unregister(descriptor)
        del self._peers[descriptor]
        self.doorstep.leave(descriptor)
        for marked in (self._readable, self._arriving):
            marked.pop(descriptor, None)
        if peer.held:
            self._hold(peer, 0)
        unsent = peer.close()
        self._cut.pop(peer.route, None)
        if self._routes.pop(peer.route, None) is not None:
            self._gone.append((peer.route, unsent))

    # -- what waits

    def _flush(self, peer: Peer) -> None:
        peer.flush()
        self._on_blocked(peer)

    def _on_blocked(self, peer: Peer) -> None:
        """Look how much waits for a connection, and be told when it can be written if there is anything."""
        blocked = peer.blocked
        if blocked is not peer.waits_to_write:
            peer.waits_to_write = blocked
            self._poller.watch_writing(peer.descriptor, wanted=blocked)
        self._hold(peer, peer.waiting_bytes if blocked else 0)
        if blocked and self._held_bytes.get(peer.principal, 0) > self._outbox_bytes_max:
            self._end(peer)
        elif not blocked and peer.route in self._cut:
            peer.shut()

    def _hold(self, peer: Peer, size: int) -> None:
        """Count what waits for a key, over all its connections."""
        key = peer.principal
        total = self._held_bytes.get(key, 0) + size - peer.held
        peer.held = size
        if total:
            self._held_bytes[key] = total
        else:
            self._held_bytes.pop(key, None)
