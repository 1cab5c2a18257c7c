"""Foreign programs by the hundred in one process, each with calls under way: they say what real ones say, and no more.

The payload of a call is its number, and so is that of its answer.
"""

import select
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from socket import create_connection, socket
from time import monotonic
from typing import Any, Final, Protocol

import zmq

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.wire import Command, Message

MARK: Final = -1
"""The answer to `mark`."""

_PING_S: Final = 1.0
"""How often a program of Malamute asks whether its server is there."""


class FailedError(Exception):
    """A call was answered by an error."""


class Peer(Protocol):
    """One program.

    Attributes:
        sockets: what to poll for its answers: sockets of libzmq, or descriptors. There may be more after `ask`.
    """

    sockets: list[Any]

    def ask(self, service: str, number: int) -> None:
        """Send a request."""

    def mark(self) -> bool:
        """Ask for MARK, which comes when the bridge has all requests so far; return whether it has come already."""

    def take(self) -> Iterator[int]:
        """Yield the numbers of the calls whose answers have come. Raises FailedError."""

    def keep_up(self) -> None:
        """Do what the protocol wants to be done from time to time."""

    def close(self) -> None:
        """End its connections."""


class _ZmqPeer:
    """A program over a DEALER, so that it can have several calls under way."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self.sockets = [self._socket]

    def _come(self) -> Iterator[list[bytes]]:
        with suppress(zmq.Again):
            while True:
                yield self._socket.recv_multipart(zmq.NOBLOCK)

    def keep_up(self) -> None:
        """See Peer: nothing is wanted."""

    def close(self) -> None:
        """See Peer."""
        self._socket.close()


class MajordomoPeer(_ZmqPeer):
    """A client of Majordomo 0.1."""

    def ask(self, service: str, number: int) -> None:
        """See Peer."""
        self._socket.send_multipart([b"", b"MDPC01", service.encode(), b"%d" % number])

    def mark(self) -> bool:
        """See Peer."""
        self._socket.send_multipart([b"", b"MDPC01", b"mmi.none", b""])
        return False

    def take(self) -> Iterator[int]:
        """See Peer."""
        for _, _, service, body in self._come():
            yield MARK if service == b"mmi.none" else int(body)


class MalamutePeer(_ZmqPeer):
    """A client of Malamute. It opens again when it is told that it is not known."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, address: str) -> None:
        super().__init__(context, endpoint)
        self._opening = wire.opening(address.encode())
        self._socket.send_multipart(self._opening)
        self._pings_at = monotonic() + _PING_S
        self._marks = False

    def ask(self, service: str, number: int) -> None:
        """See Peer."""
        asked = Message(Command.SERVICE_SEND, address=service.encode(), content=[b"%d" % number])
        self._socket.send_multipart(wire.frames_of(asked))

    def mark(self) -> bool:
        """See Peer."""
        self._marks = True
        self._socket.send_multipart(wire.PING)
        return False

    def take(self) -> Iterator[int]:
        """See Peer."""
        for frames in self._come():
            told = wire.read(frames)
            assert told is not None, frames
            if told.command is Command.ERROR:
                self._socket.send_multipart(self._opening)
            elif told.command is Command.PONG and self._marks:
                self._marks = False
                yield MARK
            elif told.command is Command.MAILBOX_DELIVER:
                if told.sender == b"$braidmq":
                    raise FailedError(f"{told.content}")
                yield int(told.content[0])

    def keep_up(self) -> None:
        """See Peer."""
        if monotonic() >= self._pings_at:
            self._pings_at = monotonic() + _PING_S
            self._socket.send_multipart(wire.PING)


class HttpPeer:
    """A caller of the HTTP gateway with a token, and a connection for each of its calls.

    Args:
        endpoint: of the gateway.
        token: its own.
        connections_max: where all have a call, no other one is made.
    """

    def __init__(self, endpoint: str, token: str, connections_max: int) -> None:
        host, _, port = endpoint.rpartition(":")
        self._place = host, int(port)
        self._token = token
        self._connections_max = connections_max
        self._free: list[socket] = []
        self._all: dict[int, socket] = {}
        self._pending: dict[int, bytes] = {}
        self.sockets: list[int] = []

    def ask(self, service: str, number: int) -> None:
        """See Peer."""
        body = b"%d" % number
        head = (
            f"POST /services/{service} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n"
            f"Braid-Timeout: 600\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        if not self._free and len(self._all) < self._connections_max:
            connection = create_connection(self._place)  # no sooner: the gateway ends those that say nothing
            self._all[connection.fileno()] = connection
            self.sockets.append(connection.fileno())
        else:
            connection = self._free.pop()
        connection.sendall(head.encode() + body)
        self._pending[connection.fileno()] = b""

    def mark(self) -> bool:
        """See Peer: HTTP has no word for it, so a request over a connection of its own is answered behind them."""
        with create_connection(self._place) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return bool(connection.recv(4_096))

    def take(self) -> Iterator[int]:
        """See Peer."""
        waiting = select.poll()
        for descriptor in self._pending:
            waiting.register(descriptor, select.POLLIN)
        for descriptor, _ in waiting.poll(0) if self._pending else ():
            data = self._all[descriptor].recv(65_536)
            if not data:
                raise FailedError("the gateway has ended a connection")
            come = self._pending[descriptor] = self._pending[descriptor] + data
            head, end, body = come.partition(b"\r\n\r\n")
            if end and body:
                if not head.startswith(b"HTTP/1.1 200 "):
                    raise FailedError(body.decode())
                del self._pending[descriptor]
                self._free.append(self._all[descriptor])
                yield int(body)

    def keep_up(self) -> None:
        """See Peer: nothing is wanted."""

    def close(self) -> None:
        """See Peer."""
        for connection in self._all.values():
            connection.close()


class Crowd:
    """Programs that are polled together.

    Args:
        peers: all of them.
    """

    def __init__(self, peers: Iterable[Peer]) -> None:
        self.peers = list(peers)
        self._poller = zmq.Poller()
        self._owners: dict[Any, Peer] = {}
        self._polled = dict.fromkeys(self.peers, 0)

    def ask(self, peer: Peer, service: str, number: int) -> None:
        """Let a peer send a request."""
        peer.ask(service, number)
        for each in peer.sockets[self._polled[peer] :]:
            self._polled[peer] += 1
            self._poller.register(each, zmq.POLLIN)
            self._owners[each] = peer

    def ask_each(self, service: str) -> None:
        """Let each peer send a request."""
        for peer in self.peers:
            self.ask(peer, service, 0)

    def answers(self, timeout_s: float) -> Iterator[tuple[Peer, int]]:
        """Wait until answers come, and yield whose they are and their numbers. Raises FailedError."""
        found = self._poller.poll(int(timeout_s * 1_000))
        for peer in dict.fromkeys(self._owners[each] for each, _ in found):
            for number in peer.take():
                yield peer, number

    def wait_for(self, count: int, timeout_s: float, on_answer: Callable[[Peer, int], None]) -> None:
        """Wait for so many answers. Raises TimeoutError, FailedError."""
        until = monotonic() + timeout_s
        while count > 0:
            if monotonic() > until:
                raise TimeoutError(f"{count} answers have not come within {timeout_s:g} s")
            for peer, number in self.answers(0.1):
                count -= 1
                on_answer(peer, number)
            for peer in self.peers:
                peer.keep_up()

    def close(self) -> None:
        """End them all."""
        for peer in self.peers:
            peer.close()
