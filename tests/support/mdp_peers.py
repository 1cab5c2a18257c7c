"""Clients and workers of Majordomo over libzmq, written by their specifications alone, for tests with an event loop."""

from collections.abc import Sequence

import zmq

from tests.support.async_tests import until

OLD_CLIENT = (b"", b"MDPC01")
OLD_WORKER = (b"", b"MDPW01")
RFC_CLIENT = (b"MDPC02", b"\x01")
RFC_WORKER = (b"MDPW02",)
TOMO_CLIENT = (b"", b"MDPC02", b"\x02")
TOMO_WORKER = (b"", b"MDPW02")


class Peers:
    """Makes peers of an endpoint, and closes what is left of them."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._made: list[Peer] = []

    def peer(self, endpoint: str, *, user: bytes = b"", password: bytes = b"") -> "Peer":
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        if user:
            socket.plain_username, socket.plain_password = user, password
        socket.connect(endpoint)
        peer = Peer(socket)
        self._made.append(peer)
        return peer

    def close(self) -> None:
        for peer in self._made:
            peer.close()
        self._context.term()


class Peer:
    """One connection."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self._socket = socket

    def say(self, *frames: bytes) -> None:
        self._socket.send_multipart(frames)

    def heard(self) -> bool:
        """Whether there is a message."""
        return self._socket.poll(0) > 0

    def take(self) -> list[bytes]:
        return self._socket.recv_multipart(zmq.NOBLOCK)

    async def hear(self, timeout: float = 10.0) -> list[bytes]:
        """Wait for the next message."""
        await until(self.heard, timeout)
        return self.take()

    async def hear_request(self, front: Sequence[bytes] = OLD_WORKER) -> tuple[bytes, list[bytes]]:
        """Wait for the next message that is no HEARTBEAT, which must be a REQUEST; return its token and its body."""
        while len(frames := await self.hear()) <= len(front) + 1:
            pass
        rest = frames[len(front) :]
        assert (tuple(frames[: len(front)]), rest[0], rest[2]) == (tuple(front), b"\x02", b"")
        return rest[1], rest[3:]

    def close(self) -> None:
        self._socket.close()
