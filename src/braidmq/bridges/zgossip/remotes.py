"""The zgossip nodes that a bridge connects to: one DEALER of libzmq for each, on asyncio."""

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from typing import Any, Final, Protocol

from braidmq.bridges.limits import (
    CLOSE_S_MAX,
    FRAMES_MAX,
    HEARTBEAT_S,
    MESSAGES_UNREAD_MAX,
    READS_AT_ONCE,
    SILENCE_S_MAX,
    SLACK_BYTES,
)
from braidmq.bridges.port import Peer
from braidmq.bridges.router import load_zmq
from braidmq.bridges.zgossip.limits import RECONNECT_S_MAX, VALUE_BYTES_MAX
from braidmq.errors import ConfigError

_EVENT: Final = struct.Struct("=Hi")

_MS: Final = 1_000


class Behind(Protocol):
    """What stands behind connections."""

    def on_connected(self, peer: Peer) -> None:
        """Note that a connection stands. It ends by `on_gone`; the next one is another peer."""

    def on_message(self, peer: Peer, frames: list[bytes]) -> None:
        """Take what a peer has sent."""

    def on_gone(self, peer: Peer) -> None:
        """Note that a connection has ended."""

    def on_read(self) -> None:
        """Note that all that was read together has been told."""


class Remotes:
    """Connections that are opened again whenever they end. Create it inside a running event loop; end it with `close`.

    Args:
        behind: gets the messages.
    """

    def __init__(self, behind: Behind) -> None:
        self._zmq: Any = load_zmq()
        self._context = self._zmq.Context()
        self._behind = behind
        self._remotes: list[_Remote] = []

    def connect(self, endpoints: Sequence[str]) -> None:
        """Begin to connect to nodes, whether they are there or not.

        Raises:
            ConfigError: an endpoint can never be connected to; the text says which one and why.
        """
        for number, endpoint in enumerate(endpoints):
            self._remotes.append(_Remote(self._zmq, self._context, self._behind, endpoint, number))

    def send(self, peer: Peer, frames: Sequence[bytes]) -> bool:
        """Send a message over the connection that a peer is; return whether it has left."""
        return any(remote.send(frames) for remote in self._remotes if remote.peer is peer)

    async def close(self) -> None:
        """End all; what was sent may leave within CLOSE_S_MAX."""
        for remote in self._remotes:
            remote.close()
        self._remotes.clear()
        await asyncio.to_thread(self._context.term)


class _Remote:
    """One node.

    Attributes:
        peer: the connection, while it stands.
    """

    def __init__(self, zmq: Any, context: Any, behind: Behind, endpoint: str, number: int) -> None:
        self._zmq = zmq
        self._behind = behind
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._reads_on = False
        self._closed = False
        self.peer: Peer | None = None
        self._socket = context.socket(zmq.DEALER)
        for option, value in (
            (zmq.IMMEDIATE, 1),  # nothing is kept for a node that is not there
            (zmq.LINGER, 0),
            (zmq.MAXMSGSIZE, VALUE_BYTES_MAX + SLACK_BYTES),
            (zmq.RCVHWM, MESSAGES_UNREAD_MAX),
            (zmq.SNDHWM, MESSAGES_UNREAD_MAX),
            (zmq.HEARTBEAT_IVL, int(HEARTBEAT_S * _MS)),
            (zmq.HEARTBEAT_TIMEOUT, int(SILENCE_S_MAX * _MS)),
            (zmq.RECONNECT_IVL_MAX, int(RECONNECT_S_MAX * _MS)),
            (zmq.IPV6, 1),
        ):
            self._socket.setsockopt(option, value)
        place = f"inproc://monitor-{number}"
        self._socket.monitor(place, zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._monitor = context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)  # what is told must not be lost
        self._monitor.connect(place)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self._end_sockets()
            raise ConfigError(f"cannot connect to {endpoint}: {error.strerror}") from None
        self._descriptors = [socket.getsockopt(zmq.FD) for socket in (self._socket, self._monitor)]
        for descriptor in self._descriptors:
            self._loop.add_reader(descriptor, self._read)
        self._read_soon()

    def send(self, frames: Sequence[bytes]) -> bool:
        """Send a message; return whether it has left."""
        self._read_soon()  # libzmq may take in, while it sends, that there is something to read
        try:
            self._socket.send_multipart(frames, self._zmq.NOBLOCK)
        except self._zmq.Again:
            return False
        return True

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
        self._end_sockets()

    def _end_sockets(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(int(CLOSE_S_MAX * _MS))

    def _read_soon(self) -> None:
        """Look once more for messages, behind what is at hand."""
        if not self._reads_on and not self._closed:
            self._reads_on = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._reads_on = False
        if self._closed:
            return
        come = self._receive()
        self._read_monitor()
        if self.peer is not None:
            for frames in come:
                self._behind.on_message(self.peer, frames)
        if len(come) == READS_AT_ONCE:
            self._read_soon()
        self._behind.on_read()

    def _receive(self) -> list[list[bytes]]:
        come: list[list[bytes]] = []
        with contextlib.suppress(self._zmq.Again):
            for _ in range(READS_AT_ONCE):
                frames = [self._socket.recv(self._zmq.NOBLOCK)]
                while self._socket.getsockopt(self._zmq.RCVMORE):
                    frame = self._socket.recv()
                    if len(frames) < FRAMES_MAX:
                        frames.append(frame)
                come.append(frames)
        return come

    def _read_monitor(self) -> None:
        with contextlib.suppress(self._zmq.Again):
            while True:
                event, _ = _EVENT.unpack(self._monitor.recv_multipart(self._zmq.NOBLOCK)[0])
                if self.peer is not None:
                    self.peer.gone = True
                    self._behind.on_gone(self.peer)
                    self.peer = None
                if event == self._zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    self._socket.getsockopt(self._zmq.EVENTS)  # now libzmq takes in that there is somebody to send to
                    self.peer = Peer(b"", self._endpoint)
                    self._behind.on_connected(self.peer)
