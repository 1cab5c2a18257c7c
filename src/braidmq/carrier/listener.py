"""A broker's Listener (turn/ports.py): who connects, what members say, and who is gone."""

import math
import resource
import socket as sockets
from collections.abc import Callable, Iterable
from typing import Final

from braidmq.carrier.connections import part
from braidmq.carrier.crowding import Crowding, wait_s_max
from braidmq.carrier.cuts import Cuts
from braidmq.carrier.deadlines import Deadlines
from braidmq.carrier.descriptors import peers_max
from braidmq.carrier.doorstep import Doorstep, origin_of
from braidmq.carrier.entrance import Entrance
from braidmq.carrier.fragments import UNDERSTANDS
from braidmq.carrier.gate import Throng, shown
from braidmq.carrier.keys import Keys
from braidmq.carrier.large_packets import LOST_HERE
from braidmq.carrier.options import frame_bytes_max, prepare
from braidmq.carrier.peer import Peer
from braidmq.carrier.poller import Poller
from braidmq.carrier.reassembly import Reassemblies, joining_bytes_max
from braidmq.carrier.rooms import READ_BYTES, Rooms
from braidmq.carrier.strangers import Tell, nobody, on_refusal, on_violation
from braidmq.carrier.stream import Stream
from braidmq.core.broker.refusals import Refused
from braidmq.settings import Settings
from braidmq.wire.limits import ROUTE_BYTES
from braidmq.zmtp.handshake import Authorise, KeyPair, ServerHandshake
from braidmq.zmtp.violation import Misdeed, Refusal, Violation

ACCEPTED_PER_TURN: Final = 16
"""Connections accepted before members have their turn again: less than a millisecond of work. While handshakes wait to
go on, it is one: who waits in the kernel's backlog costs nothing."""

HANDSHAKES_PER_TURN: Final = 8
"""Connections at the door that are read before members have their turn again: some milliseconds of work."""

DOOR_BYTES: Final = 4 * 1024
"""What is read at one go of a connection at the door: a handshake takes less than a KiB."""

BYTES_PER_TURN: Final = 1024 * 1024
"""Bytes read before what they have caused is sent, some milliseconds of work."""

KEY_BYTES_PER_TURN: Final = 2 * READ_BYTES
"""Bytes of one key, over all its connections, after which others have their turn: about a millisecond of work. So who
floods over many connections gets no more than who does over one."""

PORTION_FRAMES: Final = 128
"""Frames of one connection after which others have their turn, roughly: of tiny ones thousands come at one go."""

PORTION_BYTES_MIN: Final = 4 * 1024
"""What is read at one go of a connection with tiny frames, at least."""

FRAME_BYTES: Final = 1024
"""As how many bytes a frame counts besides its own: to open its box is work, however little is in it."""

DOOR_SHARE: Final = 2
"""Strangers get at most half of the descriptors that are left."""

_FIRST_ROUTE: Final = 1 << (8 * ROUTE_BYTES - 8)
"""No route begins with a zero."""


class Listener:
    """See turn/ports.py.

    Attributes:
        tell: is told of who is not let in; the owner sets it.

    Args:
        settings: see Settings.
        pair: the broker's keys.
        authorise: says who holds a key.
        random: random bytes that nobody can guess.
        poller: that of the broker's thread.
        net: the broker's net, for members of others; empty if they are not to be told.
    """

    def __init__(
        self,
        settings: Settings,
        pair: KeyPair,
        authorise: Authorise,
        random: Callable[[int], bytes],
        poller: Poller,
        *,
        net: str = "",
    ) -> None:
        self.tell: Tell = nobody
        self._net = net.encode()
        self._descriptors_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._peers_max = peers_max(self._descriptors_max)
        self._doorstep = Doorstep(settings.handshake_s_max, self._peers_max // DOOR_SHARE)
        self._entrance = Entrance(poller)
        self._keys = Keys(settings.connections_per_key_max)
        self._reassemblies = Reassemblies(settings.transport_timeout_s)
        self._unheard = Deadlines(settings.handshake_s_max)
        self._crowding = Crowding(joining_bytes_max(settings), wait_s_max(settings))
        self._settings = settings
        self._pair = pair
        self._former: KeyPair | None = None
        self._authorise = authorise
        self._random = random
        self._poller = poller
        self._rooms = Rooms()
        self._frame_bytes_max = frame_bytes_max(settings)
        self._outbox_bytes_max = settings.outbox_bytes_max
        self._next_route = _FIRST_ROUTE
        self._turns = 0
        self._peers: dict[int, Peer] = {}
        self._routes: dict[bytes, Peer] = {}
        self._readable: dict[int, None] = {}
        self._arriving: dict[int, None] = {}
        self._breaches: list[tuple[bytes, str, str]] = []
        self._gone: dict[bytes, list[bytes]] = {}
        self._cuts = Cuts(self._routes, authorise, self._end)

    # -- where it listens

    def bind(self, endpoint: str) -> str:
        """Listen at ``tcp://ADDRESS:PORT`` or ``ipc://PATH``, and return that with its real port. Raises OSError."""
        return self._entrance.bind(endpoint)

    def change_keys(self, pair: KeyPair, former: KeyPair | None) -> None:
        """Take other keys for the connections that come from now on; `former` ones still hold beside, if given."""
        self._pair, self._former = pair, former

    # -- for the loop

    def mark(self, descriptor: int, *, only_writable: bool) -> bool:
        """Note that a descriptor has something to tell; return whether it is one of this listener's."""
        peer = self._peers.get(descriptor)
        if peer is None:
            return self._entrance.mark(descriptor)
        if peer.waits and not (only_writable or peer.waits_to_write):
            self._end(peer)  # nothing is asked of it, so this is its end
            return True
        if not only_writable:
            (self._readable if peer.open else self._arriving)[descriptor] = None
        if peer.waits_to_write:
            peer.flush()
            self._look_after(peer)
        return True

    @property
    def has_more(self) -> bool:
        """Whether something is left to read that is known of."""
        return bool(self._readable or self._arriving)

    def receive(self, socket: sockets.socket, address: str, now: float) -> None:
        """Let a handshake begin over a connection that has come from an address; it is this listener's from now on."""
        descriptor = socket.fileno()
        if descriptor >= self._peers_max:
            socket.close()
            self._tell_of_crowd()
            return
        origin = origin_of(address)
        leaving = self._doorstep.come(descriptor, origin, now)
        if leaving is not None:
            self.tell(Refused.SIEGE, "", origin, "", None)
            if leaving == descriptor:
                socket.close()
                return
            self._end(self._peers[leaving])
        try:
            prepare(socket, self._settings)
            self._poller.register(descriptor)
        except OSError:  # it has ended already, or the system has no room
            self._doorstep.leave(descriptor)
            socket.close()
            return
        handshake = ServerHandshake(self._pair, self._admit, self._random, UNDERSTANDS, self._former, net=self._net)
        route = self._next_route.to_bytes(ROUTE_BYTES)
        self._next_route += 1
        peer = Peer(socket, handshake, self._frame_bytes_max, self._rooms, route=route, address=address)
        self._peers[descriptor] = peer
        peer.flush()

    # -- for the turn

    def frames(self, now: float) -> list[tuple[bytes, str, bytes]]:
        """See turn/ports.py. Handshakes go on meanwhile, and new connections are accepted."""
        found: list[tuple[bytes, str, bytes]] = []
        if self._readable:
            self._read_members(found, now)
        if self._arriving:
            self._read_arriving(found, now)
        if self._entrance.is_called:
            self._accept(now)
        return found

    def breaches(self) -> list[tuple[bytes, str, str]]:
        """See turn/ports.py."""
        if not self._breaches:
            return []
        breaches, self._breaches = self._breaches, []
        return breaches

    def send(self, sends: dict[bytes, list[bytes]]) -> list[tuple[bytes, bytes]]:
        """See turn/ports.py. What is for a connection that has ended comes back by `take_gone`."""
        dropped: list[tuple[bytes, bytes]] = []
        for route, messages in sends.items():
            peer = self._routes.get(route)
            if peer is None:
                self._gone.setdefault(route, []).extend(messages)
                continue
            requests = peer.send(messages)
            if requests:
                dropped += [(route, request) for request in requests]
            if peer.blocked or peer.held:
                self._look_after(peer)
        return dropped

    def cut(self, route: bytes) -> None:
        """See turn/ports.py."""
        self._cuts.cut(route)

    def review(self) -> None:
        """Cut all connections that would not be let in any more, some at a time."""
        self._cuts.review()

    def flush(self, now: float) -> None:
        """See turn/ports.py."""
        self._cuts.go_on(now)
        for descriptor in self._doorstep.overdue(now):
            self._end(self._peers[descriptor])
        for descriptor in self._unheard.overdue(now):
            self._part_with(self._peers[descriptor], "has said nothing since its handshake")
        for descriptor in self._reassemblies.overdue(now):
            self._part_with(self._peers[descriptor], "does not go on with a large message")
        if self._crowding:
            self._make_room(now)
        for stuck in self._rooms.doubts.stuck(now):
            self._end(self._peers[stuck.descriptor])
        if now >= self._entrance.resume_at:
            self._entrance.resume(now)

    def take_gone(self, now: float) -> list[tuple[bytes, list[bytes]]]:
        """See turn/ports.py."""
        if not self._gone:
            return []
        gone, self._gone = self._gone, {}
        return list(gone.items())

    def next_deadline(self) -> float | None:
        """See turn/ports.py."""
        due = min(
            self._entrance.resume_at,
            self._doorstep.next_deadline(),
            self._unheard.next_deadline(),
            self._reassemblies.next_deadline(),
            self._crowding.next_deadline(),
            self._rooms.doubts.next_deadline(),
            self._cuts.next_deadline(),
        )
        return None if due == math.inf else due

    def close(self, linger_s: float, others: Iterable[Stream] = ()) -> None:
        """Stop to listen, and end all connections; what waits for them and the `others` may leave in `linger_s`."""
        self._entrance.close()
        if linger_s:
            part([each for each in (*self._peers.values(), *others) if each.open], linger_s)
        for peer in list(self._peers.values()):
            self._end(peer)

    # -- what comes

    def _read_members(self, found: list[tuple[bytes, str, bytes]], now: float) -> None:
        """Read a portion of each connection, as far as the turn allows; the others come first in the next one."""
        readable, self._readable = self._readable, {}
        turn = self._turns = self._turns + 1
        size = 0
        frames: list[bytes] = []
        for descriptor in readable:
            peer = self._peers.get(descriptor)
            if peer is None or not peer.reads:
                continue
            use = peer.use
            assert use is not None, "it is open"
            if use.read_in != turn:
                use.read_in, use.read_bytes = turn, 0
            if size > BYTES_PER_TURN or use.read_bytes > KEY_BYTES_PER_TURN:
                self._readable[descriptor] = None
                continue
            before, commands = peer.came_bytes, peer.commands
            peer.read(frames, peer.portion_bytes)
            count, came = len(frames) + peer.commands - commands, peer.came_bytes - before
            work = came + count * FRAME_BYTES
            size += work
            use.read_bytes += work
            if count > PORTION_FRAMES:
                peer.portion_bytes = max(came // count * PORTION_FRAMES, PORTION_BYTES_MIN)
            elif count < PORTION_FRAMES // 2:
                peer.portion_bytes = READ_BYTES
            if self._cuts.peers and peer.route in self._cuts.peers:
                frames.clear()  # it has said enough
            elif frames:
                route, principal = peer.route, peer.principal
                self._unheard.leave(descriptor)
                for frame in frames:
                    found.append((route, principal, frame))  # noqa: PERF401 - twice as fast when compiled
                frames.clear()
            self._go_on(peer, now)

    def _read_arriving(self, found: list[tuple[bytes, str, bytes]], now: float) -> None:
        """Let some handshakes go on; members may have said something right behind theirs."""
        arriving, self._arriving = self._arriving, {}
        frames: list[bytes] = []
        for count, descriptor in enumerate(arriving):
            peer = self._peers.get(descriptor)
            if peer is None:
                continue
            if count >= HANDSHAKES_PER_TURN:
                self._arriving[descriptor] = None
                continue
            peer.read(frames, DOOR_BYTES)
            if peer.open:
                self._enter(peer, now)
                if frames:
                    self._unheard.leave(descriptor)
                found += [(peer.route, peer.principal, frame) for frame in frames]
            frames.clear()
            self._go_on(peer, now)

    def _go_on(self, peer: Peer, now: float) -> None:
        """See what has become of a connection that was read."""
        if peer.end is not None:
            self._on_end(peer)
            return
        if peer.blocked:
            self._look_after(peer)
        if peer.large_bytes != peer.followed_bytes and peer.end is None:  # else too much waits for its key: it is gone
            self._follow(peer, now)

    def _follow(self, peer: Peer, now: float) -> None:
        """Count what has come of a large message."""
        use, size = peer.use, peer.joining_bytes
        assert use is not None, "it is open"
        use.joining_bytes += size - peer.joining
        peer.joining = size
        peer.followed_bytes = peer.large_bytes
        if size:
            use.joining[peer.descriptor] = size
        else:
            use.joining.pop(peer.descriptor, None)
        self._reassemblies.note(peer.descriptor, size, peer.large_bytes, now)
        self._crowding.note(use)

    def _make_room(self, now: float) -> None:
        """Let one connection of a key with too many large messages go on, and the others wait, until there is room."""
        for use, ahead in self._crowding.review(now):
            for descriptor in list(use.joining):
                peer = self._peers.get(descriptor)
                waits = ahead not in (-1, descriptor)
                if peer is None or waits is peer.waits:
                    continue
                peer.waits = waits
                if waits:
                    self._reassemblies.leave(descriptor)  # it is not the one that does not go on
                else:
                    self._reassemblies.note(descriptor, peer.joining, peer.large_bytes, now)
                    self._readable[descriptor] = None
                self._look_after(peer)
        for descriptor in self._crowding.overdue(now):
            self._part_with(self._peers[descriptor], "has begun more than one key may have, and does not go on with it")

    # -- who comes

    def _accept(self, now: float) -> None:
        most = ACCEPTED_PER_TURN if len(self._arriving) < HANDSHAKES_PER_TURN else 1
        paused_until = self._entrance.resume_at
        for socket, address in self._entrance.accept(most, now):
            self.receive(socket, address, now)
        if self._entrance.resume_at != paused_until:
            self._tell_of_crowd()

    def _tell_of_crowd(self) -> None:
        """There is no descriptor for another connection."""
        self.tell(Refused.CROWD, "", "", str(self._descriptors_max), None)

    def _admit(self, key: bytes) -> str:
        """Return the principal of a key, within a handshake. Raises Refusal."""
        principal = self._authorise(key)
        if self._keys.is_full(principal):
            raise Throng(shown(principal))
        return principal

    def _enter(self, peer: Peer, now: float) -> None:
        """A handshake is complete. The member is to say something soon: who says nothing holds a place in vain."""
        self._doorstep.leave(peer.descriptor)
        self._unheard.begin(peer.descriptor, now)
        peer.use = self._keys.enter(peer.principal)
        self._routes[peer.route] = peer

    # -- who goes

    def _on_end(self, peer: Peer) -> None:
        """A connection has ended, or does what it must not."""
        end = peer.end
        if isinstance(end, Refusal):
            on_refusal(self.tell, peer.address, end)
        elif isinstance(end, Violation):
            why = str(end)
            if not peer.open:
                on_violation(self.tell, peer.address, end)
            elif isinstance(end, Misdeed):
                self._breaches.append((peer.route, peer.principal, why))
            else:
                self._tell_of_end(peer, f"does not keep to the protocol: {why}")
        self._end(peer)

    def _part_with(self, peer: Peer, why: str) -> None:
        """End a member's connection that keeps room in vain, and tell the operator."""
        self._tell_of_end(peer, why)
        self._end(peer)

    def _tell_of_end(self, peer: Peer, why: str) -> None:
        """A connection is ended for what it does, which may not be its member's doing."""
        self.tell(Refused.ENDED, shown(peer.principal), peer.address, why, None)

    def _end(self, peer: Peer) -> None:
        """Close a connection, and tell of its end if the core knows it."""
        descriptor = peer.descriptor
        self._poller.unregister(descriptor)
        del self._peers[descriptor]
        self._doorstep.leave(descriptor)
        self._unheard.leave(descriptor)
        self._readable.pop(descriptor, None)
        self._arriving.pop(descriptor, None)
        self._hold(peer, 0)
        self._reassemblies.leave(descriptor)
        if peer.use is not None:
            peer.use.joining_bytes -= peer.joining
            peer.use.joining.pop(descriptor, None)
            peer.joining = 0
            self._keys.leave(peer.use)
            if peer.break_off_if_stuck():
                self._entrance.shrink()
                self._tell_of_end(peer, LOST_HERE)
        unsent = peer.close()
        self._cuts.leave(peer)
        if self._routes.pop(peer.route, None) is not None:
            self._gone.setdefault(peer.route, []).extend(unsent)

    # -- what waits

    def _look_after(self, peer: Peer) -> None:
        """Look how much waits for a connection, and be told when it can be written if there is anything.

        Who takes no answers to PING, or waits for room, is not read meanwhile. A key for which too much waits loses the
        connection.
        """
        blocked, reads = peer.blocked, not (peer.owes or peer.waits)
        if blocked is not peer.waits_to_write or reads is not peer.reads:
            peer.waits_to_write, peer.reads = blocked, reads
            self._poller.watch(peer.descriptor, reading=reads, writing=blocked)
        self._hold(peer, peer.waiting_bytes if blocked else 0)
        if blocked and peer.use is not None and peer.use.held_bytes > self._outbox_bytes_max:
            self._end(peer)
        elif not blocked and peer.cut_at != math.inf:
            peer.shut()

    def _hold(self, peer: Peer, size: int) -> None:
        """Count what waits for a key, over all its connections."""
        if peer.use is not None:
            peer.use.held_bytes += size - peer.held
            peer.held = size
