"""Engines on real connections, beside real sockets of libzmq, all served by one thread while it waits for something."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import zmq
from zmq.utils.monitor import parse_monitor_message

from braidmq.zmtp.engine import HEAD_BYTES, Engine
from braidmq.zmtp.handshake import KeyPair
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Refusal, Violation

WAIT_S_MAX = 10.0
"""How long something may be waited for: an error ends the wait, and nothing takes so long."""

ROOM_BYTES = 2 << 20


class Pump:
    """A connection of an engine's.

    Attributes:
        frames: what has come.
        raw: every byte that has come.
        steps: what happened in order: bytes that the peer said, bytes that the engine said, frames that were sealed.
        end: why it was ended: a Violation, a Refusal, or "" by the peer.
    """

    def __init__(self, connection: socket.socket, engine: Engine) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.engine = engine
        self.frames: list[bytes] = []
        self.raw = b""
        self.steps: list[tuple[str, bytes]] = []
        self.end: Exception | str | None = None
        self._room = Room(ROOM_BYTES)
        self._at = self._filled = 0
        self._due = bytearray()

    @property
    def wants_to_write(self) -> bool:
        return bool(self._due or self.engine.output)

    def send(self, frame: bytes, *, flags: int = 0) -> None:
        room = Room(HEAD_BYTES + len(frame))
        room.view[HEAD_BYTES:] = frame
        self._take()
        begin = self.engine._seal(room, len(frame), flags)
        self.steps += [("seals", frame), ("says", bytes(room.view[begin:]))]
        self._due += room.view[begin:]

    def serve(self) -> None:
        if self.end is not None:
            return
        try:
            self._read()
        except (Violation, Refusal) as end:
            self.end = end
        except ConnectionError:
            self.end = ""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._write()
        if self.end is not None:
            self.socket.close()

    def _take(self) -> None:
        if self.engine.output:
            self.steps.append(("says", bytes(self.engine.output)))
            self._due += self.engine.output
            self.engine.output.clear()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            count = self.socket.recv_into(self._room.view[self._filled :])
            if count == 0:
                raise ConnectionError
            came = bytes(self._room.view[self._filled : self._filled + count])
            self.raw += came
            self.steps.append(("hears", came))
            self._filled += count
        found: list[int] = []
        try:
            self._at = self.engine.receive(self._room, self._at, self._filled, found)
        finally:
            self.frames += [bytes(self._room.view[a:b]) for a, b in zip(found[::2], found[1::2], strict=True)]
        rest = bytes(self._room.view[self._at : self._filled])
        self._room.view[: len(rest)] = rest
        self._at, self._filled = 0, len(rest)

    def _write(self) -> None:
        self._take()
        sent = self.socket.send(self._due) if self._due else 0
        del self._due[:sent]


class Zap:
    """A handler of RFC 27 in the context of libzmq's server: it answers each key with a status."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], status: str) -> None:
        self.asked: list[bytes] = []
        self.socket = context.socket(zmq.REP)
        self.socket.bind("inproc://zeromq.zap.01")
        self._status = status.encode()

    def serve(self) -> None:
        while self.socket.poll(0):
            version, request, _domain, _address, _identity, mechanism, key = self.socket.recv_multipart()
            assert mechanism == b"CURVE"
            self.asked.append(key)
            self.socket.send_multipart([version, request, self._status, b"", b"", b""])


class Peers:
    """Sockets of libzmq and engines."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT_S_MAX)
        self._pumps: list[Pump] = []
        self._zaps: list[Zap] = []
        self._heard: dict[zmq.Socket[bytes], list[tuple[str, int]]] = {}
        self._monitors: dict[zmq.Socket[bytes], zmq.Socket[bytes]] = {}

    def close(self) -> None:
        for pump in self._pumps:
            pump.socket.close()
        self._listener.close()
        for peer in self._monitors:
            peer.disable_monitor()
        self.context.destroy(linger=0)

    def dealer(
        self,
        keys: KeyPair | None,
        server: bytes = b"",
        *,
        kind: int = zmq.DEALER,
        host: str = "",
        **options: int | bytes,
    ) -> zmq.Socket[bytes]:
        """Return a client of libzmq's that connects to our listener, and is monitored."""
        peer = self.context.socket(kind)
        if keys is not None:
            peer.curve_publickey, peer.curve_secretkey, peer.curve_serverkey = keys.public, keys.secret, server
        peer.reconnect_ivl = -1
        for name, value in options.items():
            setattr(peer, name, value)
        self._monitor(peer)
        peer.connect(host or f"tcp://127.0.0.1:{self._listener.getsockname()[1]}")
        return peer

    def accepted(self, engine: Engine) -> Pump:
        """Give the next connection to an engine."""
        connection, _ = self._listener.accept()
        return self._pump(connection, engine)

    def router(
        self, keys: KeyPair | None, status: str = "200", **options: int | bytes
    ) -> tuple[zmq.Socket[bytes], Zap]:
        """Return a server of libzmq's with a handler of ZAP that gives everybody this status."""
        zap = Zap(self.context, status)
        self._zaps.append(zap)
        peer = self.context.socket(zmq.ROUTER)
        if keys is not None:
            peer.curve_server = True
            peer.curve_publickey, peer.curve_secretkey = keys.public, keys.secret
        peer.zap_domain = b"net"
        for name, value in options.items():
            setattr(peer, name, value)
        self._monitor(peer)
        peer.bind("tcp://127.0.0.1:*")
        return peer, zap

    def connected(self, peer: zmq.Socket[bytes], engine: Engine) -> Pump:
        """Connect an engine to a server of libzmq's."""
        host, _, port = peer.last_endpoint.decode().rpartition(":")
        return self._pump(socket.create_connection((host.removeprefix("tcp://"), int(port)), WAIT_S_MAX), engine)

    def heard(self, peer: zmq.Socket[bytes]) -> list[tuple[str, int]]:
        """Return what the monitor of a socket has told so far: names of events without EVENT_, and their values."""
        return self._heard[peer]

    def has_heard(self, peer: zmq.Socket[bytes], event: str) -> bool:
        return any(name == event for name, _ in self._heard[peer])

    def until(self, condition: Callable[[], object]) -> None:
        """Serve all until a condition holds."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            poller = zmq.Poller()
            for pump in self._pumps:
                if pump.end is None:
                    poller.register(pump.socket.fileno(), zmq.POLLIN | (zmq.POLLOUT if pump.wants_to_write else 0))
            for peer, monitor in self._monitors.items():
                poller.register(peer, zmq.POLLIN)
                poller.register(monitor, zmq.POLLIN)
            for zap in self._zaps:
                poller.register(zap.socket, zmq.POLLIN)
            poller.poll(10)  # and whatever else the condition asks for
            for pump in self._pumps:
                pump.serve()
            for zap in self._zaps:
                zap.serve()
            self._listen()

    def _listen(self) -> None:
        for peer, monitor in self._monitors.items():
            while monitor.poll(0):
                event = parse_monitor_message(monitor.recv_multipart())
                self._heard[peer].append((zmq.Event(event["event"]).name.removeprefix("EVENT_"), event["value"]))

    def _monitor(self, peer: zmq.Socket[bytes]) -> None:
        self._monitors[peer] = peer.get_monitor_socket()
        self._heard[peer] = []

    def _pump(self, connection: socket.socket, engine: Engine) -> Pump:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pump = Pump(connection, engine)
        self._pumps.append(pump)
        return pump


@contextlib.contextmanager
def peers() -> Iterator[Peers]:
    """Give peers, which are closed at the end."""
    made = Peers()
    try:
        yield made
    finally:
        made.close()
