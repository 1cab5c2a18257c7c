"""A broker's ROUTER: frames in, bundles out, and who is gone."""

import errno
import resource
import socket as sockets
from contextlib import suppress
from typing import Final

import zmq

from braidmq.core.backlog import Backlog
from braidmq.loggers import own_logger
from braidmq.settings import Settings
from braidmq.wire.bundle import join
from braidmq.wire.control import Heartbeat, encode_control
from braidmq.wire.envelope import UINT32
from braidmq.zeromq.monitor import Monitor
from braidmq.zeromq.sockets import new_router, readable, sending

FRAMES_PER_TURN: Final = 256
"""Frames read before what they caused is sent."""

BYTES_PER_TURN: Final = 1024 * 1024
"""Bytes read at one go, some milliseconds of work: nobody's flood may keep the others waiting."""

BLOCKED_S: Final = 0.002
"""How soon a peer whose pipe was full is tried again."""

RESERVE_DESCRIPTORS: Final = 32
"""Descriptors that no member gets: for links to other brokers, the join file and lookups. And libzmq's I/O thread spins
when it finds none for a connection."""

RESERVE_SHARE_MAX: Final = 4
"""The reserve is at most a fourth of all descriptors, so that a low limit leaves room for members."""

CROWDED_S: Final = 60.0
"""How often it is told that connections are turned away."""

_LOG = own_logger("braidmq.broker")

_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

_DOUBTS_S: Final = (0.0, 0.002, 0.01, 0.05, 0.25)
"""When to ask whether a peer is really gone, after the monitor said so: libzmq takes a moment to tell the socket."""


class Router:
    """The socket, the outboxes of slow readers, and the link between descriptors and routes.

    A peer is gone when a send to it fails with EHOSTUNREACH. The monitor only says which descriptor was closed,
    and descriptors are reused at once; so its word leads to a test by sending, not to a verdict.

    The kernel gives the lowest descriptor that is free. A connection with one of the highest is one too many: it is
    closed at once.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], settings: Settings, secret_key: bytes) -> None:
        self.socket = new_router(context, settings, secret_key)
        self.monitor = Monitor(self.socket, int(zmq.EVENT_DISCONNECTED | zmq.EVENT_ACCEPTED))
        self.malformed = 0
        self._send_frame = sending(self.socket)
        self._outbox_bytes_max = settings.outbox_bytes_max
        self._crowded = False
        self._blocked: dict[bytes, Backlog] = {}
        self._blocked_at = 0.0
        self._gone: dict[bytes, list[bytes]] = {}
        self._route_at: dict[int, bytes] = {}
        self._fd_of: dict[bytes, int] = {}
        self._doubts: dict[bytes, tuple[float, int]] = {}
        self._descriptors_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._crowded_at = 0.0
        self._ports: set[int] = set()

    def bind(self, endpoint: str) -> str:
        """Bind, and return the endpoint with its real port. Raises zmq.ZMQError."""
        self.socket.bind(endpoint)
        last = self.socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(last, bytes)
        bound = last.rstrip(b"\0").decode()
        if bound.startswith("tcp://"):
            self._ports.add(int(bound.rpartition(":")[2]))
        return bound

    def unbind(self, endpoint: str) -> None:
        """Stop to listen at an endpoint that `bind` has returned, and end the connections that came there."""
        self.socket.unbind(endpoint)

    def fileno(self) -> int:
        """Return the descriptor that tells of frames."""
        return self.socket.fileno()

    def receive(self, now: float, *, thorough: bool) -> list[tuple[bytes, str, bytes]]:
        """Return what has come: the route, the principal of its key, and the frame; call it as Dealer.receive.

        At most FRAMES_PER_TURN and about BYTES_PER_TURN; and only one while one at a time comes, unless it is to be
        `thorough`: whether there is another one is asked after it was handled anyway.
        """
        recv = self.socket.recv
        thorough = thorough or self._crowded
        found: list[tuple[bytes, str, bytes]] = []
        size = count = 0
        try:
            while True:
                head = recv(_NOBLOCK, copy=False)
                body = recv(_NOBLOCK, copy=False)
                frame = body.bytes
                size += len(frame)
                count += 1
                if body.more:
                    self.malformed += 1
                    while body.more:
                        body = recv(_NOBLOCK, copy=False)
                else:
                    route = head.bytes
                    if route not in self._fd_of:
                        self._meet(route, int(head.get("__fd")), now)
                    found.append((route, str(head.get("User-Id")), frame))
                if not thorough or size > BYTES_PER_TURN or count == FRAMES_PER_TURN or not readable(self.socket):
                    return found
        except zmq.Again:
            return found  # the descriptor tells of other things as well

    def has_more(self) -> bool:
        """Whether another frame has come. Asking consumes the edge of the descriptor: read afterwards, or ask again."""
        self._crowded = readable(self.socket)
        return self._crowded

    def send(self, sends: dict[bytes, list[bytes]]) -> None:
        """Send messages to routes as bundles. Who turns out to be gone comes out of `take_gone`."""
        for route, messages in sends.items():
            waiting = self._blocked.get(route)
            if waiting is None:
                self._send(route, messages)
            else:
                waiting.add(messages)
                if waiting.bytes > self._outbox_bytes_max:
                    del self._blocked[route]
                    self._lose(route, waiting.take())

    def on_timer(self, now: float) -> None:
        """Try the full pipes again, and test who is said to be gone."""
        if self._blocked and now >= self._blocked_at:
            self._blocked_at = now + BLOCKED_S
            blocked, self._blocked = self._blocked, {}
            for route, backlog in blocked.items():
                self._send(route, backlog.take())
        if self._doubts:
            for route, (due, tries) in list(self._doubts.items()):
                if now >= due:
                    self._test(route, tries, now)

    def on_monitor(self, now: float) -> bool:
        """Read the monitor; return whether there is more."""
        for event, fd in self.monitor.read():
            if event == _ACCEPTED:
                if self._is_too_many(fd):
                    self._turn_away(fd, now)
                continue
            route = self._route_at.pop(fd, None)
            if route is not None:
                self._doubts[route] = (now, 0)
                self._test(route, 0, now)
        return self.monitor.has_more()

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        if not self._doubts and not self._blocked:
            return None
        due = [at for at, _tries in self._doubts.values()]
        if self._blocked:
            due.append(self._blocked_at)
        return min(due, default=None)

    @property
    def has_gone(self) -> bool:
        """Whether `take_gone` has any. What they have sent before may still be unread: read on until nothing is."""
        return bool(self._gone)

    def take_gone(self) -> list[tuple[bytes, list[bytes]]]:
        """Return the routes that are gone, each with the messages that certainly did not reach its pipe."""
        gone, self._gone = self._gone, {}
        return list(gone.items())

    def close(self, linger_s: float) -> None:
        """Close the socket; what is in its pipes may leave within `linger_s`."""
        self.monitor.close()
        self.socket.close(int(linger_s * 1000))

    def _send(self, route: bytes, messages: list[bytes]) -> None:
        send = self._send_frame
        sent = 0
        for bundle, count in join(messages):
            try:
                send(route, _SNDMORE)
                send(bundle, _NOBLOCK)
            except zmq.Again:
                self._blocked[route] = Backlog(messages[sent:])
                return
            except zmq.ZMQError as error:
                if error.errno != errno.EHOSTUNREACH:
                    raise
                self._lose(route, messages[sent:])
                return
            sent += count

    def _is_too_many(self, fd: int) -> bool:
        most = self._descriptors_max
        return most != resource.RLIM_INFINITY and fd >= most - min(RESERVE_DESCRIPTORS, most // RESERVE_SHARE_MAX)

    def _turn_away(self, fd: int, now: float) -> None:
        """End a connection that has just been accepted; libzmq closes its descriptor then."""
        with suppress(OSError):  # it has ended already
            connection = sockets.socket(fileno=fd)
            try:
                near_end = connection.getsockname()
                if isinstance(near_end, tuple) and near_end[1] in self._ports:  # else it is another one's by now
                    connection.shutdown(sockets.SHUT_RDWR)
            finally:
                connection.detach()
        if now >= self._crowded_at:
            self._crowded_at = now + CROWDED_S
            _LOG.warning(
                "connections are turned away: this broker may open %d files, and all but its reserve are in use; "
                "raise the limit (`ulimit -n`, LimitNOFILE=), or add brokers",
                self._descriptors_max,
            )

    def _meet(self, route: bytes, fd: int, now: float) -> None:
        before = self._route_at.get(fd)
        if before is not None:
            self._doubts[before] = (now, 0)
        self._route_at[fd] = route
        self._fd_of[route] = fd

    def _test(self, route: bytes, tries: int, now: float) -> None:
        if route in self._blocked:
            self._send(route, self._blocked.pop(route).take())
        else:
            self._send(route, [encode_control(Heartbeat(), int(now * 1000) & UINT32)])
        if route not in self._doubts:
            return
        if tries + 1 < len(_DOUBTS_S):
            self._doubts[route] = (now + _DOUBTS_S[tries + 1], tries + 1)
        else:
            del self._doubts[route]
            self._route_at.setdefault(self._fd_of[route], route)

    def _lose(self, route: bytes, unsent: list[bytes]) -> None:
        self._doubts.pop(route, None)
        fd = self._fd_of.pop(route, None)
        if fd is not None and self._route_at.get(fd) == route:
            del self._route_at[fd]
        self._gone.setdefault(route, []).extend(unsent)
