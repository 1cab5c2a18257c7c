"""The ends of the C proxy; ``python -m braidmq.lab.bench.ends.limit ADDRESS SECRET`` is the proxy itself."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Final

import msgspec
import zmq

from braidmq.lab.bench.ends.caller import Call, until_told_to_stop
from braidmq.lab.bench.systems.limit import Address

_TURN: Final = 64
"""Frames read at one go."""

_FRAMES_MAX: Final = 256
"""High-water mark of each direction of a connection, in frames."""

_POLLIN: Final = int(zmq.POLLIN)


@asynccontextmanager
async def connect(address: str) -> AsyncIterator[Call]:
    """See Ends. The address is an Address in JSON."""
    to = msgspec.json.decode(address, type=Address)
    numbers = count()
    futures: dict[bytes, asyncio.Future[bytes]] = {}

    def on_frames(frames: list[bytes]) -> None:
        future = futures.pop(frames[0], None)
        if future is not None and not future.done():
            future.set_result(frames[1])

    with _dealer(to.front, to.key) as socket:
        pump = _Pump(socket)
        pump.on_frames = on_frames

        async def call(payload: bytes) -> bytes:
            number = next(numbers).to_bytes(8)
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            futures[number] = future
            pump.send([number, payload])
            return await future

        yield call


async def serve(address: str, ready: Callable[[], None]) -> None:
    """See Ends."""
    to = msgspec.json.decode(address, type=Address)
    with _dealer(to.back, to.key) as socket:
        pump = _Pump(socket)
        pump.on_frames = pump.send
        ready()
        await until_told_to_stop()


class _Pump:
    """Reads a socket from the event loop; its descriptor is edge-triggered, so it is asked after each send, too.

    Attributes:
        on_frames: takes each message.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.on_frames: Callable[[list[bytes]], None] = list.clear
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._loop.add_reader(socket.fileno(), self._read)
        self._look_again()

    def send(self, frames: list[bytes]) -> None:
        """Send one message."""
        for frame in frames[:-1]:
            self._socket.send(frame, zmq.SNDMORE | zmq.NOBLOCK)
        self._socket.send(frames[-1], zmq.NOBLOCK)
        self._look_again()

    def _look_again(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._due = False
        socket = self._socket
        for _ in range(_TURN):
            if not _readable(socket):
                return
            frames = [socket.recv(zmq.NOBLOCK)]
            while socket.getsockopt(zmq.RCVMORE):
                frames.append(socket.recv(zmq.NOBLOCK))
            self.on_frames(frames)
        self._look_again()


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.set_hwm(10 * _FRAMES_MAX)  # each message is a frame of its own here
    return socket


@contextmanager
def _dealer(endpoint: str, key: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, _socket(context, zmq.DEALER) as socket:
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = key.encode()
        socket.connect(endpoint)
        yield socket


def _proxy(to: Address, secret: str) -> None:
    context = zmq.Context()
    sockets = [_socket(context, zmq.ROUTER), _socket(context, zmq.DEALER)]
    for socket, endpoint in zip(sockets, (to.front, to.back), strict=True):
        socket.curve_server, socket.curve_secretkey = True, secret.encode()
        socket.bind(endpoint)
    zmq.proxy(*sockets)


if __name__ == "__main__":
    _proxy(msgspec.json.decode(sys.argv[1], type=Address), sys.argv[2])


def _readable(socket: zmq.Socket[bytes]) -> bool:
    """Return whether a message has come. Asking consumes the edge of the descriptor."""
    return bool(int(socket.get(zmq.EVENTS)) & _POLLIN)
