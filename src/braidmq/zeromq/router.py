"""A broker's ROUTER: frames in, bundles out, and who is gone."""

import errno
import math
from collections.abc import Iterable
from typing import Final

import zmq

from braidmq.settings import Settings
from braidmq.turn.unsent import Unsent
from braidmq.wire.bundle import join
from braidmq.wire.control import Heartbeat, encode_control
from braidmq.wire.envelope import now_ms
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zeromq.doorstep import Doorstep
from braidmq.zeromq.monitor import Monitor
from braidmq.zeromq.sockets import new_router, readable, sending
from braidmq.zeromq.unread import COUNTED, FRAME_BYTES, LOOK_S, SUSPICIOUS_BYTES, UNREAD_BYTES_MAX, received
from braidmq.zeromq.unwritten import Pipe

FRAMES_PER_TURN: Final = 256
"""Frames read before what they caused is sent."""

BYTES_PER_TURN: Final = 1024 * 1024
"""Bytes read at one go, some milliseconds of work: nobody's flood may keep the others waiting."""

BLOCKED_S: Final = 0.002
"""How soon a peer whose pipe was full is tried again."""

ROUND_S: Final = 0.25
"""How often some connections are looked at of which nothing may be read: a message that never ends is never read."""

ROUND_CONNECTIONS: Final = 256
"""How many at a time, half a millisecond of work; of 10,000 each has its turn in ten seconds."""

SKIPPED_PER_TURN: Final = 10_000
"""Frames of one message that are dropped at one go: a message has one frame, but somebody may send millions."""

GONE_S_MAX: Final = 0.25
"""How long those that are gone are kept, where there is always something to read, to read what they have said."""

_ACCEPTED: Final = int(zmq.EVENT_ACCEPTED)
_NOBLOCK: Final = int(zmq.NOBLOCK)
_SNDMORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

_DOUBTS_S: Final[tuple[float, ...]] = (0.0, 0.002, 0.01, 0.05, 0.25)
"""When to ask whether a peer is really gone, after the monitor said so: libzmq takes a moment to tell the socket."""


class _Held:
    """What waits for one connection; `key` is whose."""

    __slots__ = ("key", "unsent")

    def __init__(self, key: str, messages: list[bytes]) -> None:
        self.key = key
        self.unsent = Unsent(messages)


class Router:
    """The socket, the outboxes of slow readers, and the link between descriptors and routes.

    A peer is gone when a send to it fails with EHOSTUNREACH. The monitor only says which descriptor was closed,
    and descriptors are reused at once; so its word leads to a test by sending, not to a verdict.

    It is the broker's Listener (turn/ports.py).

    Attributes:
        doorstep: the connections that have not said anything yet.
        readable: whether `frames` is to read; the descriptor or `has_more` has said that there may be something.
        until_empty: whether it is to ask for more after a single frame: something else waits for its turn.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], settings: Settings, secret_key: bytes) -> None:
        self.socket = new_router(context, settings, secret_key)
        self.monitor = Monitor(self.socket, int(zmq.EVENT_DISCONNECTED | zmq.EVENT_ACCEPTED))
        self.doorstep = Doorstep(settings.handshake_s_max)
        self._send_frame = sending(self.socket)
        self._outbox_bytes_max = settings.outbox_bytes_max
        self._more_expected = False
        self._blocked: dict[bytes, _Held] = {}
        self._blocked_at = 0.0
        self._gone: dict[bytes, list[bytes]] = {}
        self._route_at: dict[int, bytes] = {}
        self._fd_of: dict[bytes, int] = {}
        self._doubts: dict[bytes, tuple[float, int]] = {}
        self._key_of: dict[bytes, str] = {}
        self._held_bytes: dict[str, int] = {}
        self._breaches: list[tuple[bytes, str, str]] = []
        self._taken: dict[bytes, int] = {}
        self._pipes: dict[bytes, Pipe] = {}
        self._unread_bytes_max = settings.in_flight_bytes_max + UNREAD_BYTES_MAX
        self._looked_at = 0.0
        self._round: list[bytes] = []
        self._round_at = 0.0
        self._skipping = False
        self._due = 0.0
        self._gone_at: float | None = None
        self.readable = False
        self.until_empty = False

    def bind(self, endpoint: str) -> str:
        """Bind, and return the endpoint with its real port. Raises zmq.ZMQError."""
        self.socket.bind(endpoint)
        last = self.socket.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(last, bytes)
        bound = last.rstrip(b"\0").decode()
        if bound.startswith("tcp://"):
            self.doorstep.listen(int(bound.rpartition(":")[2]))
        return bound

    def unbind(self, endpoint: str) -> None:
        """Stop to listen at an endpoint that `bind` has returned, and end the connections that came there."""
        self.socket.unbind(endpoint)

    def fileno(self) -> int:
        """Return the descriptor that tells of frames."""
        return self.socket.fileno()

    def frames(self, now: float) -> list[tuple[bytes, str, bytes]]:
        """See turn/ports.py."""
        if not self.readable:
            return []
        self.readable = False
        return self.receive(now, until_empty=self.until_empty)

    def receive(self, now: float, *, until_empty: bool) -> list[tuple[bytes, str, bytes]]:
        """Return what has come: the route, the principal of its key, and the frame; call it as Dealer.receive.

        At most FRAMES_PER_TURN and about BYTES_PER_TURN; and only one while one at a time comes, unless it is to be
        `until_empty`: whether there is another one is asked after it was handled anyway.
        """
        recv = self.socket.recv
        until_empty = until_empty or self._more_expected
        found: list[tuple[bytes, str, bytes]] = []
        size = count = 0
        try:
            if self._skipping and not self._skip():
                return found
            while True:
                head = recv(_NOBLOCK, copy=False)
                body = recv(_NOBLOCK, copy=False)
                frame = body.bytes
                size += len(frame)
                count += 1
                route = head.bytes
                principal = str(head.get("User-Id"))
                if route not in self._fd_of:
                    self._meet(route, principal, int(head.get("__fd")), now)
                self._taken[route] += len(frame) + FRAME_BYTES
                if body.more:
                    self._breaches.append((route, principal, "sent a message of several frames"))
                    if not self._skip():
                        return found
                else:
                    found.append((route, principal, frame))
                if not until_empty or not readable(self.socket):
                    return found
                if size > BYTES_PER_TURN or count == FRAMES_PER_TURN:
                    if now - self._looked_at >= LOOK_S:  # of who floods there is always more
                        self._looked_at = now
                        self._look({each[0] for each in found})
                    return found
        except zmq.Again:
            return found  # the descriptor tells of other things as well

    def breaches(self) -> list[tuple[bytes, str, str]]:
        """Return who does what no member may: the route, the principal of its key, and what it is."""
        breaches, self._breaches = self._breaches, []
        return breaches

    def cut(self, route: bytes) -> None:
        """End a connection. Its end comes out of `take_gone` as that of any other."""
        fd = self._fd_of.get(route)
        if fd is not None and self._route_at.get(fd) == route:
            self.doorstep.cut(fd)

    def has_more(self) -> bool:
        """Whether another frame has come. Asking consumes the edge of the descriptor: read afterwards, or ask again."""
        self._more_expected = readable(self.socket)
        return self._more_expected

    def send(self, sends: dict[bytes, list[bytes]]) -> None:
        """Send messages to routes as bundles. Who turns out to be gone comes out of `take_gone`."""
        for route, messages in sends.items():
            waiting = self._blocked.get(route)
            if waiting is None:
                left = self._send(route, messages)
                if left:
                    held = self._blocked[route] = _Held(self._key_of.get(route, ""), left)
                    self._hold(held.key, held.unsent.bytes)
            else:
                before = waiting.unsent.bytes
                waiting.unsent.add(messages)
                if self._hold(waiting.key, waiting.unsent.bytes - before) > self._outbox_bytes_max:
                    self.cut(route)  # else libzmq would keep what it holds, beside that of the next session
                    self._lose(route, self._release(route))

    def flush(self, now: float) -> None:
        """Try the full pipes again, and test who is said to be gone, if that is due."""
        if now >= self._due:
            self._on_time(now)

    def _on_time(self, now: float) -> None:
        if self._blocked and now >= self._blocked_at:
            self._blocked_at = now + BLOCKED_S
            for route in list(self._blocked):
                self._flush(route)
        silent_at = self.doorstep.next_deadline()
        if silent_at is not None and now >= silent_at and not self._more_expected:  # else their word may be unread
            self.doorstep.on_timer(self._fd_of.values(), now)
        if self._fd_of and now >= self._round_at:
            self._look_around(now)
        if self._doubts:
            for route, (due, tries) in list(self._doubts.items()):
                if now >= due:
                    self._test(route, tries, now)

    def on_monitor(self, now: float) -> bool:
        """Read the monitor; return whether there is more."""
        for event, fd in self.monitor.read():
            if event == _ACCEPTED:
                self.doorstep.on_accepted(fd, now)
                continue
            self.doorstep.on_closed(fd)
            route = self._route_at.pop(fd, None)
            if route is not None:
                self._doubts[route] = (now, 0)
                self._test(route, 0, now)
        return self.monitor.has_more()

    def next_deadline(self) -> float | None:
        """Return when `flush` is due."""
        due = self._round_at if COUNTED and self._fd_of else math.inf
        for at, _tries in self._doubts.values():
            if at < due:
                due = at
        if self._blocked and self._blocked_at < due:
            due = self._blocked_at
        silent_at = self.doorstep.next_deadline()
        if silent_at is not None and silent_at < due:
            due = silent_at
        self._due = due
        return None if due == math.inf else due

    def take_gone(self, now: float) -> list[tuple[bytes, list[bytes]]]:
        """Return the routes that are gone, each with the messages that certainly did not reach its pipe.

        While there is something to read, it may be theirs, and an answer: then they are kept for GONE_S_MAX at most.
        """
        if not self._gone:
            return []
        if self._gone_at is None:
            self._gone_at = now
        if now - self._gone_at < GONE_S_MAX and self.has_more():
            return []
        self._gone_at = None
        gone, self._gone = self._gone, {}
        return list(gone.items())

    def close(self, linger_s: float) -> None:
        """Close the socket; what is in its pipes may leave within `linger_s`."""
        self.monitor.close()
        self.socket.close(int(linger_s * 1000))

    def _send(self, route: bytes, messages: list[bytes]) -> list[bytes]:
        """Send messages to a route; return those that its pipe does not take now."""
        send = self._send_frame
        pipe = self._pipes.get(route)
        sent = 0
        for bundle, count in join(messages):
            if pipe is not None and pipe.handed >= pipe.look_at and self._is_full(route, pipe):
                return messages[sent:]
            try:
                send(route, _SNDMORE)
                send(bundle, _NOBLOCK)
            except zmq.Again:
                return messages[sent:]
            except zmq.ZMQError as error:
                if error.errno != errno.EHOSTUNREACH:
                    raise
                self._lose(route, messages[sent:])
                break
            if pipe is not None:
                pipe.handed += len(bundle)
            sent += count
        return []

    def _flush(self, route: bytes) -> None:
        """Send what waits for a route, as much as its pipe takes."""
        held = self._blocked[route]
        backlog, before = held.unsent, held.unsent.bytes
        while backlog:
            left = self._send(route, backlog.take_some(BUNDLE_BYTES))
            if left:
                backlog.put_back(left)
                break
        self._hold(held.key, backlog.bytes - before)
        if not backlog:
            del self._blocked[route]

    def _is_full(self, route: bytes, pipe: Pipe) -> bool:
        """Whether libzmq holds as much of a connection as it may. One that may have ended is to be tried."""
        fd = self._fd_of.get(route)
        return fd is not None and self._route_at.get(fd) == route and pipe.is_full(fd)

    def _look(self, routes: Iterable[bytes]) -> None:
        """Look how much is unread of connections, and of all others of a key that has much."""
        keys = {self._key_of[route] for route in routes if self._unread(route) > SUSPICIOUS_BYTES}
        for key in keys:
            theirs = [route for route, owner in self._key_of.items() if owner == key]
            if sum(self._unread(route) for route in theirs) > self._unread_bytes_max:
                for route in theirs:
                    self._taken[route] += self._unread(route)  # it is told once
                    self._breaches.append((route, key, "sends more than can be read"))

    def _unread(self, route: bytes) -> int:
        """Return how many bytes of a connection have come, and were not taken."""
        fd = self._fd_of.get(route)
        if fd is None or self._route_at.get(fd) != route:
            return 0
        return max(0, received(fd) - self._taken[route])

    def _look_around(self, now: float) -> None:
        """Look at some connections, as nothing may ever be read of a message that does not end."""
        self._round_at = now + ROUND_S
        if not self._round:
            self._round = list(self._fd_of)
        some, self._round = self._round[:ROUND_CONNECTIONS], self._round[ROUND_CONNECTIONS:]
        self._look(route for route in some if route in self._key_of)

    def _hold(self, key: str, size: int) -> int:
        """Count what waits for a key, over all its connections; return how much that is now."""
        total = self._held_bytes[key] = self._held_bytes.get(key, 0) + size
        if not total:
            del self._held_bytes[key]
        return total

    def _release(self, route: bytes) -> list[bytes]:
        """Return what waits for a route, and forget it."""
        held = self._blocked.pop(route)
        self._hold(held.key, -held.unsent.bytes)
        return held.unsent.take()

    def _skip(self) -> bool:
        """Read and drop the further frames of a message; return whether that was all of them."""
        recv = self.socket.recv
        self._skipping = True
        for _ in range(SKIPPED_PER_TURN):
            if not recv(_NOBLOCK, copy=False).more:
                self._skipping = False
                return True
        return False

    def _meet(self, route: bytes, principal: str, fd: int, now: float) -> None:
        self.doorstep.on_word(fd)
        self._key_of[route] = principal
        self._taken[route] = received(fd)
        self._pipes[route] = Pipe(fd)
        before = self._route_at.get(fd)
        if before is not None:
            self._doubts[before] = (now, 0)
        self._route_at[fd] = route
        self._fd_of[route] = fd

    def _test(self, route: bytes, tries: int, now: float) -> None:
        if route in self._blocked:
            self._flush(route)
        else:
            self._send(route, [encode_control(Heartbeat(), now_ms(now))])
        if route not in self._doubts:
            return
        if tries + 1 < len(_DOUBTS_S):
            self._doubts[route] = (now + _DOUBTS_S[tries + 1], tries + 1)
        else:
            del self._doubts[route]
            self._route_at.setdefault(self._fd_of[route], route)

    def _lose(self, route: bytes, unsent: list[bytes]) -> None:
        self._doubts.pop(route, None)
        self._key_of.pop(route, None)
        self._taken.pop(route, None)
        self._pipes.pop(route, None)
        fd = self._fd_of.pop(route, None)
        if fd is not None and self._route_at.get(fd) == route:
            del self._route_at[fd]
        self._gone.setdefault(route, []).extend(unsent)
