"""The Dialer (turn/ports.py): a connection to each broker, as a client of its handshake.

A broker of this machine is met at its own socket (nearby.py). While the handshake there is not complete, whatever goes
wrong is no failure of the broker: the connection to the endpoint that was asked for takes its place.
"""

import errno
import os
import secrets
import socket as sockets
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from braidmq.carrier.dialed import Broker, Near
from braidmq.carrier.fragments import UNDERSTANDS
from braidmq.carrier.large_packets import SmallPackets, shrink
from braidmq.carrier.nearby import ANSWER_S_MAX, DISTRUST_S, Call, Nearby
from braidmq.carrier.options import address_of, prepare
from braidmq.carrier.reassembly import Reassemblies
from braidmq.carrier.rooms import Rooms
from braidmq.carrier.stream import End
from braidmq.core.intake import WAITING_BYTES_MAX
from braidmq.core.links.link import Failure, Open, Step
from braidmq.host.clock import monotonic
from braidmq.host.loggers import own_logger
from braidmq.settings import Settings
from braidmq.wire.limits import MESSAGE_BYTES_MAX, ROUTE_BYTES
from braidmq.zmtp.handshake import ClientHandshake, KeyPair
from braidmq.zmtp.violation import Violation

FRAMES_MAX: Final = 256
"""Frames read from a connection at most before others have their turn, when it is to be read until it is empty."""

OWED_BYTES_MAX: Final = 4 * 1024
"""Answers to PING that may wait for a broker: more than a hundred. Ours say none, and who takes no answers floods."""

PINGS_PER_S_MAX: Final = 1_000
"""Commands such as PING that may come of a broker within a second: some milliseconds of work. Ours say none, libzmq one
in a heartbeat interval, and after a standstill some at once."""

PINGS_WITHIN_S: Final = 1.0

NEAR_SHARE: Final = 4
"""The handshake at a broker's own socket may take a fourth of the time that a handshake may take, at most."""

_LOG = own_logger("braidmq.connections")
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


_WITHIN_REASON: Final = (
    Failure.HUNG_UP, Failure.RESET, Failure.NOT_REGISTERED, Failure.REMOVED, Failure.REVOKED, Failure.EXPIRED,
    Failure.BARRED, Failure.THRONG, Failure.EARLY, Failure.UNJUDGED,
)  # fmt: skip
"""What a broker itself may do to a member: it is about to stop, or does not know it yet."""


class Watcher(Protocol):
    """The event loop around. It calls Dialer.mark, and sees to a turn after it."""

    def watch(self, broker: Broker) -> None:
        """Wait from now on until a connection can be read."""

    def watch_writing(self, broker: Broker, *, wanted: bool) -> None:
        """Wait until it can be written as well, or no longer."""

    def unwatch(self, broker: Broker) -> None:
        """Wait for it no more, if it is waited for."""


class Dialer:
    """See turn/ports.py.

    Args:
        brokers: where the connections are kept, by the name of the broker.
        settings: see Settings.
        pair: the keys of all connections.
        watcher: the event loop.
        nearby: the sockets of the brokers of this machine; without them, all are met at their endpoints.
        message_bytes_max: how long a message may be that comes of a broker.
        passed_bytes_max: how long a REQUEST or REPLY may be that is passed over if it is longer.
        net: which net the brokers are of; empty if that is not known.
    """

    def __init__(
        self,
        brokers: dict[str, Broker],
        settings: Settings,
        pair: KeyPair,
        watcher: Watcher,
        nearby: Nearby | None = None,
        *,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        passed_bytes_max: int = 0,
        net: str = "",
    ) -> None:
        self._brokers = brokers
        self._settings = settings
        self._pair = pair
        self._watcher = watcher
        self._nearby = nearby
        self._message_bytes_max = message_bytes_max
        self._passed_bytes_max = passed_bytes_max
        self._net = net.encode()
        self._near: dict[Broker, Near] = {}
        self._told_near: dict[str, Failure] = {}  # by the name of the broker: what was told last of its own socket
        self._near_s_max = min(ANSWER_S_MAX, settings.handshake_s_max / NEAR_SHARE)
        self._rooms = Rooms()
        self._small_packets = SmallPackets()
        self._outbox_bytes_max = settings.outbox_bytes_max
        self._readable: dict[Broker, None] = {}
        self._stirred: dict[Broker, None] = {}
        self._used: dict[Broker, None] = {}
        self._unread: dict[str, int] = {}
        self._reassemblies = Reassemblies(settings.transport_timeout_s)
        self._early: list[tuple[str, bytes]] = []

    def change_keys(self, pair: KeyPair) -> None:
        """Take other keys for the connections that are made from now on."""
        self._pair = pair

    # -- for the event loop

    def mark(self, broker: Broker) -> None:
        """Let the next `news` and `frames` look at a connection, of which the system has told something."""
        if broker.open:
            self._readable[broker] = None
        else:
            self._stirred[broker] = None
        if broker.waits_to_write:
            self._used[broker] = None

    @property
    def has_more(self) -> bool:
        """Whether something is left to read that is known of."""
        return bool(self._readable or self._stirred)

    # -- for the turn

    def open(self, action: Open) -> Failure | None:
        """See turn/ports.py."""
        if self._nearby is not None:
            now = monotonic()
            call = self._nearby.call(action.name, now)
            if call is not None and self._open_near(call, action, now):
                return None
        return self._open_far(action)

    def _open_far(self, action: Open) -> Failure | None:
        """Begin a connection to the endpoint that was asked for."""
        try:
            family, address = address_of(action.endpoint)
            socket = sockets.socket(family, sockets.SOCK_STREAM)
        except OSError as error:
            _LOG.debug("%s at %s: %s", action.name, action.endpoint, error)
            return Failure.NO_ROOM if error.errno in _NO_ROOM else Failure.UNREACHABLE
        try:
            prepare(socket, self._settings)
            if self._small_packets.wanted(action.endpoint, monotonic()):
                shrink(socket)
            socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)  # its port is in no server's way
            failed = socket.connect_ex(address)
        except OSError as error:
            failed = error.errno or errno.EINVAL
        if failed not in (0, errno.EINPROGRESS):
            socket.close()
            _LOG.debug("%s at %s: %s", action.name, action.endpoint, os.strerror(failed))
            return Failure.UNREACHABLE
        return self.open_over(socket, action)

    def _open_near(self, call: Call, action: Open, now: float) -> bool:
        """Begin a handshake at a broker's own socket; return whether that can be done."""
        prepare(call.socket, self._settings)
        if self.open_over(call.socket, action) is not None:
            return False
        broker = self._brokers[action.name]
        broker.near = self._near[broker] = Near(action, call.path, now + self._near_s_max)
        return True

    def _go_far(self, broker: Broker, near: Near, failure: Failure) -> Failure | None:
        """Let the endpoint that was asked for take the place of a broker's own socket; as `open`."""
        assert self._nearby is not None
        name = broker.name
        self.close(name)
        if failure in _WITHIN_REASON:
            if self._told_near.get(name) is not failure:
                self._told_near[name] = failure
                _LOG.info("%s at %s: %s; it is tried over TCP", name, near.path, failure)
        else:
            self._nearby.distrust(name, monotonic())
            _LOG.warning("%s at %s: %s; it is tried over TCP for %g s", name, near.path, failure, DISTRUST_S)
        return self._open_far(near.target)

    def open_over(self, socket: sockets.socket, action: Open) -> Failure | None:
        """Begin a connection over a socket that is connected already, or about to be. It is this dialer's from now on.

        As `open`, it returns why that cannot be done.
        """
        try:
            handshake = ClientHandshake(self._pair, action.key, os.urandom, _routing_id(), UNDERSTANDS, net=self._net)
        except Violation as wrong:
            socket.close()
            _LOG.debug("%s at %s: %s", action.name, action.endpoint, wrong)
            return Failure.NOT_THIS_BROKER
        broker = Broker(
            socket, handshake, self._message_bytes_max, self._rooms, action, passed_bytes_max=self._passed_bytes_max
        )
        try:
            self._watcher.watch(broker)
            self._watcher.watch_writing(broker, wanted=True)
        except OSError as error:  # the system can watch no more of them
            self._watcher.unwatch(broker)
            socket.close()
            _LOG.debug("%s at %s: %s", action.name, action.endpoint, error)
            return Failure.NO_ROOM
        self._brokers[action.name] = broker
        broker.waits_to_write = True
        return None

    def close(self, name: str) -> list[bytes]:
        """See turn/ports.py."""
        broker = self._brokers.pop(name, None)
        if broker is None:
            return []
        self._watcher.unwatch(broker)
        for marked in (self._readable, self._stirred, self._used):
            marked.pop(broker, None)
        self._near.pop(broker, None)
        self._unread.pop(name, None)
        self._reassemblies.leave(broker.descriptor)
        if broker.break_off_if_stuck():
            self._small_packets.learn(name, broker.endpoint, monotonic())
        return broker.close()

    def send(self, name: str, messages: list[bytes]) -> Sequence[bytes]:
        """See turn/ports.py."""
        broker = self._brokers.get(name)
        if broker is None:
            return ()
        dropped = broker.send(messages)
        if broker.blocked or broker.waits_to_write:
            self._used[broker] = None
        return dropped

    def has_arrived(self, name: str) -> bool:
        """See turn/ports.py."""
        broker = self._brokers.get(name)
        return broker is not None and broker.host_has_all()

    def flush(self) -> None:
        """See turn/ports.py."""
        for broker in self._used:
            if broker.waits_to_write and broker.reached:
                broker.flush()

    def news(self) -> Iterable[tuple[str, Step | Failure]]:
        """See turn/ports.py."""
        if not self._stirred:
            return ()
        stirred, self._stirred = self._stirred, {}
        found: list[tuple[str, Step | Failure]] = []
        for broker in stirred:
            self._look(broker, found)
        return found

    def frames(self, *, until_empty: bool = False) -> list[tuple[str, bytes]]:
        """See turn/ports.py."""
        found, self._early = self._early, []
        if self._reassemblies:
            self._end_stalled()
        if not self._readable:
            return found
        readable, self._readable = self._readable, {}
        frames: list[bytes] = []
        for broker in readable:
            name = broker.name
            self._read(broker, frames, until_empty=until_empty)
            for frame in frames:
                found.append((name, frame))
            frames.clear()
            if broker.end is not None:
                self._stirred[broker] = None
            elif broker.has_more:
                self._readable[broker] = None
        return found

    def unread(self) -> Iterable[tuple[str, int]]:
        """See turn/ports.py."""
        if not self._unread:
            return ()
        unread, self._unread = self._unread, {}
        return unread.items()

    def look_after(self) -> list[tuple[str, Failure]]:
        """See turn/ports.py. Of a broker's own socket that has not answered in time, no more is waited for."""
        given_up: list[tuple[str, Failure]] = []
        if self._near:
            now = monotonic()
            for broker, near in list(self._near.items()):
                failure = self._go_far(broker, near, Failure.MUTE) if now >= near.give_up_at else None
                if failure is not None:
                    given_up.append((broker.name, failure))
        if self._rooms.doubts:
            stuck = set(self._rooms.doubts.stuck(monotonic()))
            given_up += [(each.name, Failure.LARGE_LOST) for each in self._brokers.values() if each in stuck]
        if not self._used:
            return given_up
        used, self._used = self._used, {}
        for broker in used:
            blocked = not broker.reached or broker.blocked
            if blocked is not broker.waits_to_write:
                broker.waits_to_write = blocked
                self._watcher.watch_writing(broker, wanted=blocked)
            if broker.owed_bytes > OWED_BYTES_MAX or broker.pings - broker.pings_before > PINGS_PER_S_MAX:
                given_up.append((broker.name, Failure.FLOODED))
            elif broker.waiting_bytes > self._outbox_bytes_max:
                given_up.append((broker.name, Failure.TOO_SLOW))
        return given_up

    def look_closer(self, name: str | None = None) -> None:
        """See turn/ports.py."""
        brokers = self._brokers.values() if name is None else [self._brokers[name]] if name in self._brokers else ()
        for broker in brokers:
            self.mark(broker)

    def _look(self, broker: Broker, found: list[tuple[str, Step | Failure]]) -> None:
        """Go on with a handshake, and tell how far it has come, or that a connection has ended."""
        name = broker.name
        self._used[broker] = None
        broker.look()
        if broker.reached and not broker.open and broker.end is None:
            if broker.told is None:
                broker.flush()
            frames: list[bytes] = []
            broker.read(frames)
            self._early += [(name, frame) for frame in frames]
            if broker.has_more:
                self.mark(broker)
        told = broker.told
        near = broker.near
        if near is not None and broker.open:
            near = broker.near = None
            del self._near[broker]
            self._told_near.pop(name, None)
        if broker.reached and told is None and near is None:
            found.append((name, Step.REACHED))
            told = broker.told = Step.REACHED
        if broker.open and told is Step.REACHED:
            found.append((name, Step.GREETED))
            broker.told = Step.GREETED
            if broker.end is not None:
                self._stirred[broker] = None  # what it has said before its end is to be read first
                return
        failure = broker.failure()
        if failure is not None and near is not None:
            failure = self._go_far(broker, near, failure)
            if failure is not None:
                found.append((name, failure))
            return
        if failure is not None and failure is not broker.told:
            broker.told = failure
            found.append((name, failure))

    def _read(self, broker: Broker, frames: list[bytes], *, until_empty: bool) -> None:
        """Read a portion of what has come, or as much as would not yet be taken for a flood."""
        came_bytes, commands = broker.came_bytes, broker.commands
        broker.read(frames)
        if until_empty:
            while broker.has_more and not broker.owes and broker.came_bytes - came_bytes < WAITING_BYTES_MAX // 2:
                if len(frames) + broker.commands - commands >= FRAMES_MAX:
                    break
                broker.read(frames)
        unread = broker.unread() if broker.has_more else 0
        if unread != broker.unread_before:
            broker.unread_before = unread
            self._unread[broker.name] = unread
        if broker.blocked:
            self._used[broker] = None
        if broker.pings != broker.pings_before:
            self._count_pings(broker)
        if broker.large_bytes != broker.followed_bytes:
            broker.followed_bytes = broker.large_bytes
            self._reassemblies.note(broker.descriptor, broker.joining_bytes, broker.large_bytes, monotonic())

    def _count_pings(self, broker: Broker) -> None:
        """See to it that `look_after` looks at a connection over which too many commands come in a short time."""
        if broker.pings - broker.pings_before > PINGS_PER_S_MAX:
            self._used[broker] = None
            return
        now = monotonic()
        if now - broker.pings_at >= PINGS_WITHIN_S:
            broker.pings_at, broker.pings_before = now, broker.pings

    def _end_stalled(self) -> None:
        """End the connections over which a message has begun to come that does not go on.

        No timer is needed: a broker that says nothing else either is given up sooner.
        """
        overdue = self._reassemblies.overdue(monotonic())
        for broker in self._brokers.values() if overdue else ():
            if broker.descriptor in overdue and broker.end is None:
                broker.end = End.STALLED
                self._stirred[broker] = None


def _routing_id() -> bytes:
    """Return a routing id for brokers above libzmq: one that nobody can guess, whose first byte is not 0."""
    return bytes((1 + secrets.randbelow(255),)) + secrets.token_bytes(ROUTE_BYTES - 1)
