"""A connection of libzmq's own: a DEALER that anybody's program may have."""

import secrets
import socket as sockets
from contextlib import suppress
from typing import Final

import zmq
from zmq.utils.monitor import recv_monitor_message

from attacks.curve import RESET, Identity
from braidmq.core.links.link import Open

FRAMES_MAX: Final = 64
"""High-water mark of what is sent: an attack learns soon that nothing more is taken."""

FRAMES_PER_LOOK: Final = 256
"""Frames that are heard at one go."""

_EVENTS: Final = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
)


class Dealer:
    """One connection to one broker, which never reconnects.

    Attributes:
        socket: the DEALER.

    Raises:
        zmq.ZMQError: there are no descriptors for it.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], identity: Identity, target: Open) -> None:
        self.socket = context.socket(zmq.DEALER)
        self._descriptor = -1
        try:
            self.socket.setsockopt(zmq.LINGER, 0)
            self.socket.setsockopt(zmq.SNDHWM, FRAMES_MAX)
            self.socket.setsockopt(zmq.RECONNECT_IVL, -1)
            self.socket.setsockopt(zmq.ROUTING_ID, b"m" + secrets.token_bytes(15))
            self.socket.setsockopt(zmq.CURVE_PUBLICKEY, identity.public_key)
            self.socket.setsockopt(zmq.CURVE_SECRETKEY, identity.secret_key)
            self.socket.setsockopt(zmq.CURVE_SERVERKEY, target.key)
            self._monitor = self.socket.get_monitor_socket(int(_EVENTS))
            self.socket.connect(target.endpoint)
        except zmq.ZMQError:
            self.socket.close(0)
            raise

    def receive(self) -> list[bytes]:
        """Return frames that have come."""
        frames: list[bytes] = []
        with suppress(zmq.Again):
            while len(frames) < FRAMES_PER_LOOK:
                frames.append(self.socket.recv(zmq.NOBLOCK))
        return frames

    def has_ended(self) -> bool:
        """Whether it has ended since it was asked last."""
        ended = False
        with suppress(zmq.Again):
            while True:
                told = recv_monitor_message(self._monitor, zmq.NOBLOCK)
                if told["event"] == zmq.EVENT_CONNECTED:
                    self._descriptor = int(told["value"])
                else:
                    ended = True
        return ended

    def reset(self) -> None:
        """Reset it, with all that is under way on it."""
        self.has_ended()
        if self._descriptor >= 0:
            with (
                suppress(OSError),
                sockets.fromfd(self._descriptor, sockets.AF_INET, sockets.SOCK_STREAM) as copy,
            ):
                copy.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        """Close it."""
        self.socket.disable_monitor()
        self._monitor.close(0)
        self.socket.close(0)
