"""The endpoint of a bridge: one ROUTER of libzmq on asyncio. The only place of bridges that imports pyzmq."""

import asyncio
import contextlib
import ctypes
import errno
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, Final, Protocol

from braidmq.bridges import descriptors
from braidmq.bridges.backlog import Backlog
from braidmq.bridges.connections import Connections
from braidmq.bridges.limits import (
    AHEAD_BYTES_MAX,
    AHEAD_SLACK_BYTES,
    CLOSE_S_MAX,
    FRAMES_MAX,
    GROWN_BYTES,
    HANDSHAKE_S_MAX,
    HEARTBEAT_S,
    LOOK_S,
    MESSAGES_AHEAD_MAX,
    MESSAGES_UNREAD_MAX,
    READS_AT_ONCE,
    READS_AT_ONCE_OF_ONE,
    SILENCE_S_MAX,
    SLACK_BYTES,
)
from braidmq.bridges.plain import PlainDoor
from braidmq.bridges.port import Peer
from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger

_LOG = own_logger("braidmq.bridge")

_EVENT: Final = struct.Struct("=Hi")

_ZAP: Final = "inproc://zeromq.zap.01"
_MONITOR: Final = "inproc://monitor"

_MS: Final = 1_000

_MAPPED: Final = "::ffff:"
"""How an IPv4 address begins that has come to a socket of IPv6."""

_UNIX: Final = "localhost:"
"""How the address of a peer over a Unix socket begins, before its user, group and process."""

COUNTED: Final = (
    "too_many_peers",
    "too_many_silent",
    "too_far_ahead",
    "too_large",
    "unread",
    "unreachable",
    "refused",
)
"""What an endpoint counts."""

_Come = tuple[Peer | None, bytes, Any, list[bytes]]
"""A message: its peer if the routing id tells it, that id, else a frame that tells it, and all frames."""


class Behind(Protocol):
    """What stands behind an endpoint."""

    def on_message(self, peer: Peer, frames: list[bytes]) -> None:
        """Take what a peer has sent."""

    def on_gone(self, peer: Peer) -> None:
        """Note that a peer's connection has ended. It has sent something before."""

    def on_read(self) -> None:
        """Note that all that was read together has been told."""


def load_zmq() -> ModuleType:
    """Return pyzmq.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import zmq  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name != "zmq":
            raise
        raise ConfigError("this bridge needs pyzmq: pip install 'braidmq[bridges]'") from None
    return zmq


class Router:
    """A ROUTER and what it takes to know its peers. Create it inside a running event loop; end it with `close`.

    Args:
        behind: gets the messages.
        payload_bytes_max: of the net; a frame may be a little longer.
        door: lets users in by PLAIN; None lets everybody in without a word.
        members: the names of users who are members of their own, by user name.

    Attributes:
        counters: what was dropped here, by reason.
        endpoints: where it listens, with the ports that the system has chosen.
    """

    def __init__(
        self, behind: Behind, *, payload_bytes_max: int, door: PlainDoor | None = None, members: Mapping[str, str] = {}
    ) -> None:
        self._zmq: Any = load_zmq()
        self._behind = behind
        self._door = door
        self._members = members
        self._bytes_max = payload_bytes_max + SLACK_BYTES
        self._loop = asyncio.get_running_loop()
        self._connections = Connections()
        self._backlog = Backlog(MESSAGES_AHEAD_MAX * self._bytes_max + AHEAD_SLACK_BYTES, AHEAD_BYTES_MAX)
        self._read_from: set[Peer] = set()
        self._places: set[object] = set()
        self._look_timer: asyncio.TimerHandle | None = None
        self._resident_bytes = 0
        # Numbers: members of an enumeration take longer to combine than a frame to send.
        self._dont_wait = int(self._zmq.NOBLOCK)
        self._more_comes = self._dont_wait | int(self._zmq.SNDMORE)
        self._events, self._pollin = self._zmq.EVENTS, int(self._zmq.POLLIN)
        self._reads_on = False
        self._news = False
        self._more = False
        self._closed = False
        self.counters = dict.fromkeys(COUNTED, 0)
        self.endpoints: list[str] = []
        # libzmq counts routing ids up from a random number of the C library, which is the same in every process until
        # it is seeded: whoever knows it could foresee the ids of others.
        ctypes.CDLL(None).srand(secrets.randbits(32))
        self._context = self._zmq.Context()
        self._socket = self._context.socket(self._zmq.ROUTER)
        self._watched: list[Any] = []
        self._prepare()

    def _prepare(self) -> None:
        zmq = self._zmq
        for option, value in (
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.LINGER, 0),
            (zmq.MAXMSGSIZE, self._bytes_max),
            (zmq.RCVHWM, MESSAGES_AHEAD_MAX),
            (zmq.SNDHWM, MESSAGES_UNREAD_MAX),
            (zmq.HANDSHAKE_IVL, int(HANDSHAKE_S_MAX * _MS)),
            (zmq.HEARTBEAT_IVL, int(HEARTBEAT_S * _MS)),
            (zmq.HEARTBEAT_TIMEOUT, int(SILENCE_S_MAX * _MS)),
        ):
            self._socket.setsockopt(option, value)
        if self._door is not None:
            zap = self._zap = self._context.socket(zmq.REP)
            zap.bind(_ZAP)
            self._watch(zap, self._on_zap)
            self._socket.setsockopt(zmq.PLAIN_SERVER, 1)
            self._socket.setsockopt(zmq.ZAP_DOMAIN, b"bridge")
        self._socket.monitor(_MONITOR, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        monitor = self._monitor = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.RCVHWM, 0)  # what is told must not be lost
        monitor.connect(_MONITOR)

    @property
    def peers(self) -> int:
        """How many connections have said something."""
        return len(self._connections)

    def bind(self, endpoints: Sequence[str]) -> None:
        """Listen there, and begin to read.

        Raises:
            ConfigError: an endpoint cannot be listened on; the text says which one and why.
        """
        for endpoint in endpoints:
            try:
                self._socket.setsockopt(self._zmq.IPV6, int("[" in endpoint))
                self._socket.bind(endpoint)
            except self._zmq.ZMQError as error:
                why = self._zmq.strerror(error.errno)
                hint = ": end what listens there, or bind elsewhere" if error.errno == errno.EADDRINUSE else ""
                raise ConfigError(f"cannot listen at {endpoint}: {why}{hint}") from None
            self.endpoints.append(self._socket.getsockopt(self._zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
        self._places.update(map(_place, self.endpoints))
        self._watch(self._monitor, self._on_monitor)
        self._watch(self._socket, self._read)
        if descriptors.COUNTS:
            self._resident_bytes = descriptors.resident_bytes()
            self._look_soon()

    def _watch(self, socket: Any, call: Callable[[], None]) -> None:
        """Call when there is news of a socket; libzmq tells only once of what is not read."""
        descriptor = socket.getsockopt(self._zmq.FD)
        self._loop.add_reader(descriptor, call)
        self._watched.append(descriptor)
        self._loop.call_soon(call)

    async def close(self) -> None:
        """End; what was sent may leave within CLOSE_S_MAX."""
        if self._closed:
            return
        self._closed = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        for descriptor in self._watched:
            self._loop.remove_reader(descriptor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        if self._door is not None:
            self._zap.close(0)
        self._socket.close(int(CLOSE_S_MAX * _MS))
        with ThreadPoolExecutor(1) as ender:  # unlike asyncio's, it is imported by now: files may have run out
            await self._loop.run_in_executor(ender, self._context.term)

    # -- sending

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send a message now; return whether it has left, or waits at libzmq for its peer to read."""
        if peer.gone or self._closed:
            self.counters["unreachable"] += 1
            return False
        send, last = self._socket.send, len(frames) - 1
        try:
            send(peer.route, self._more_comes)
            for number, frame in enumerate(frames):
                send(frame, self._dont_wait if number == last else self._more_comes)
        except self._zmq.Again:
            self.counters["unread"] += 1
            return False
        except self._zmq.ZMQError as error:
            if error.errno != self._zmq.EHOSTUNREACH:
                raise
            self.counters["unreachable"] += 1
            self._connections.end(peer)
            self.read_soon()
            return False
        if not self._reads_on and self._readable():  # libzmq may have taken that in while it sent, and tells only once
            self.read_soon()
        return True

    def _readable(self) -> bool:
        return bool(self._socket.getsockopt(self._events) & self._pollin)

    # -- reading

    def read_soon(self) -> None:
        """Look once more for messages, behind what is at hand."""
        if not self._reads_on and not self._closed:
            self._reads_on = True
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._reads_on = False
        self._read()

    def _read(self) -> None:
        if self._closed:
            return
        come = self._receive()
        if not come and not self._news and not self._connections.gone:
            return
        if self._news:
            self._read_monitor()
        strangers: list[_Come] = []
        for message in come:
            if message[0] is None:
                strangers.append(message)
            else:
                self._hear(message)
        # Who comes over a new connection may have had one that ends here: what it says counts after that end.
        self._tell_gone()
        for message in strangers:
            self._hear(message)
        self._tell_gone()
        if self._more:
            self.read_soon()
        self._behind.on_read()

    def _hear(self, message: _Come) -> None:
        """Hand over one message. An error over it is logged, and costs no other."""
        peer, route, first, frames = message
        try:
            speaker = peer or self._connections.known(route) or self._peer(route, first)
            if speaker is None:
                return
            self._read_from.add(speaker)
            if frames:
                self._behind.on_message(speaker, frames)
        except Exception:  # noqa: BLE001 - a bug of ours, which must not cost what others have said
            _LOG.exception("the bridge met an error of its own")

    def _receive(self) -> list[_Come]:
        """Read what is there, or as much as goes before all else: libzmq lets those who have sent something take turns.

        A peer may be gone by the time that its message is handled: it is the same peer all the same.
        """
        come: list[_Come] = []
        heard: dict[bytes, int] = {}
        receive = self._socket.recv
        self._more = False
        while not self._more:
            try:
                head = receive(self._dont_wait, copy=False)
            except self._zmq.Again:
                break
            route = head.bytes
            heard[route] = count = heard.get(route, 0) + 1
            first = None
            frames: list[bytes] = []
            peer = self._connections.known(route)
            most = READS_AT_ONCE_OF_ONE if peer is None or not peer.refused else 1
            self._more = count >= most or len(come) == READS_AT_ONCE - 1
            if peer is None:
                self._news = True
                first = receive(0, copy=False)
                frames.append(first.bytes)
                if first.more:
                    self._receive_rest(frames)
            elif head.more:
                self._receive_rest(frames)
            come.append((peer, route, first, frames))
        return come

    def _receive_rest(self, frames: list[bytes]) -> None:
        """Read the rest of a message; nothing is left of one that is too long."""
        receive = self._socket.recv
        size = sum(map(len, frames))
        goes_on = True
        while goes_on:
            frame = receive(0, copy=False)  # it knows whether more frames come: asking the socket takes longer
            goes_on = frame.more
            size += len(frame)
            if size <= self._bytes_max and len(frames) < FRAMES_MAX:
                frames.append(frame.bytes)
            else:
                size = self._bytes_max + 1
        if size > self._bytes_max:
            self.counters["too_large"] += 1
            frames.clear()

    def _peer(self, route: bytes, frame: Any) -> Peer | None:
        """Return whose a message is, of which one frame knows its connection; None if there is no room for more."""
        descriptor = frame.get(self._zmq.SRCFD)
        peer = self._connections.find(route, descriptor)
        if peer is None:
            user = (
                "" if self._door is None else self._property(frame, "User-Id")
            )  # without one it is the peer's own word
            host = self._property(frame, "Peer-Address").removeprefix(_MAPPED)
            host = "" if host.startswith(_UNIX) else host
            peer = Peer(route, host, user, self._members.get(user, ""))
            if not self._connections.add(peer, descriptor):
                self.counters["too_many_peers"] += 1
                return None
        return peer

    def _property(self, frame: Any, name: str) -> str:
        try:
            return str(frame.get(name))
        except (self._zmq.ZMQError, UnicodeDecodeError):  # there is none, or one that the peer has made up
            return ""

    def _on_monitor(self) -> None:
        """Connections have come or gone: first is read what those that have gone had to say."""
        self._news = True
        self._read()

    def _read_monitor(self) -> None:
        self._news = False
        receive = self._monitor.recv_multipart
        with contextlib.suppress(self._zmq.Again):
            while True:
                event, descriptor = _EVENT.unpack(receive(self._dont_wait)[0])
                if event == self._zmq.EVENT_ACCEPTED:
                    self._connections.on_accepted(descriptor)
                    self._backlog.on_accepted(descriptor)
                    self._end_silent()
                elif event == self._zmq.EVENT_DISCONNECTED:
                    self._connections.on_disconnected(descriptor)
                    self._backlog.on_disconnected(descriptor)

    def _tell_gone(self) -> None:
        gone, self._connections.gone = self._connections.gone, []
        for peer in gone:
            self._read_from.discard(peer)
            self._behind.on_gone(peer)

    # -- connections that take too much

    def _end_silent(self) -> None:
        descriptor = self._connections.too_silent()
        if descriptor is not None:
            self.counters["too_many_silent"] += 1
            descriptors.end(descriptor, self._places)

    def _look_soon(self) -> None:
        self._look_timer = self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """If memory has grown, end connections that have sent too much of which nothing could be read."""
        self._look_soon()
        resident = descriptors.resident_bytes()
        self._resident_bytes = min(self._resident_bytes, resident)
        if resident - self._resident_bytes < GROWN_BYTES:
            return
        self._resident_bytes = resident
        received = {each: descriptors.received(each) for each in self._connections.descriptors()}
        read = set(filter(None, map(self._connections.descriptor, self._read_from)))
        self._read_from.clear()
        for descriptor in self._backlog.look(received, read):
            self.counters["too_far_ahead"] += 1
            descriptors.end(descriptor, self._places)

    def _on_zap(self) -> None:
        if self._closed:
            return
        assert self._door is not None
        with contextlib.suppress(self._zmq.Again):
            while True:
                self._zap.send_multipart(self._door.answer(self._zap.recv_multipart(self._dont_wait)))
        self.counters["refused"] = self._door.refused


def _place(endpoint: str) -> object:
    """Return what the connections to an endpoint have in common, see `descriptors.name`."""
    scheme, _, place = endpoint.partition("://")
    if scheme == "ipc":
        return b"\0" + place[1:].encode() if place.startswith("@") else place
    return int(place.rpartition(":")[2])
