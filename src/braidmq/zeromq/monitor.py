"""What libzmq tells of a socket's connections."""

import struct
from collections.abc import Iterator
from typing import Final

import zmq

from braidmq.zeromq.sockets import readable

_EVENT: Final = struct.Struct("=HI")
_BATCH: Final = 1_000
"""Events read at one go."""


class Monitor:
    """The monitor of one socket. It must be read all the time: one that nobody reads freezes the socket.

    Raises:
        zmq.ZMQError: there is no room for it; the watched socket is closed.
    """

    def __init__(self, socket: zmq.Socket[bytes], events: int) -> None:
        self._watched = socket
        try:
            self.socket: zmq.Socket[bytes] = socket.get_monitor_socket(events)
        except zmq.ZMQError:
            socket.close(0)
            raise
        self.socket.setsockopt(zmq.LINGER, 0)

    def fileno(self) -> int:
        """Return the descriptor that tells of events."""
        return self.socket.fileno()

    def has_more(self) -> bool:
        """Whether another event has come. Asking consumes the edge of the descriptor: read afterwards, or ask again."""
        return readable(self.socket)

    def read(self) -> Iterator[tuple[int, int]]:
        """Yield the events that have come, each with its value (a descriptor or an error number)."""
        socket = self.socket
        for _ in range(_BATCH):
            if not readable(socket):
                return
            event, value = _EVENT.unpack(socket.recv(zmq.NOBLOCK))
            while socket.getsockopt(zmq.RCVMORE):
                socket.recv(zmq.NOBLOCK)
            yield event, value

    def close(self) -> None:
        """Stop monitoring."""
        self._watched.disable_monitor()
        self.socket.close(0)
