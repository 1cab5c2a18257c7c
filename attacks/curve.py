"""A client of ZMTP 3.1 and CURVE (RFC 37, RFC 26) by hand, for what libzmq would never send."""

import secrets
import socket
import struct
from typing import Final, Protocol

from nacl.bindings import crypto_box, crypto_box_keypair, crypto_box_open

from braidmq.carrier.fragments import UNDERSTANDS
from braidmq.core.links.link import Open

GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)

COMMAND, LONG = 0x04, 0x02
"""Flags of a frame."""

INNER_MORE, INNER_COMMAND = 0x01, 0x02
"""Flags inside a box of a MESSAGE."""

PING: Final = b"\x04PING\x00\x64context"
"""A PING that wants an answer, as the command in a box."""

CONNECT_S_MAX: Final = 5.0

RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: closing such a connection resets it."""


class Identity(Protocol):
    """Whose key a connection is made with."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""

    @property
    def secret_key(self) -> bytes:
        """32 bytes."""


def address_of(target: Open) -> tuple[str, int]:
    """Return where a broker listens."""
    host, _, port = target.endpoint.removeprefix("tcp://").rpartition(":")
    return host, int(port)


def framed(body: bytes, flags: int = 0) -> bytes:
    """Return a frame of ZMTP."""
    if len(body) > 255:
        return struct.pack("!BQ", flags | LONG, len(body)) + body
    return struct.pack("!BB", flags, len(body)) + body


class CurveClient:
    """A connection whose handshake is complete, in which it has said that it knows of fragments.

    Raises:
        OSError: there is no connection, or it was ended.
    """

    def __init__(self, identity: Identity, target: Open) -> None:
        self.socket = socket.create_connection(address_of(target), CONNECT_S_MAX)
        self._number = 0
        try:
            self._shake_hands(identity, target.key)
        except OSError:
            self.socket.close()
            raise

    def message(self, body: bytes, flags: int = 0) -> bytes:
        """Return the bytes that carry a message's frame, or a command; they must be sent in the order of the calls."""
        nonce = self._nonce()
        box = crypto_box(bytes((flags,)) + body, b"CurveZMQMESSAGEC" + nonce, self._server_short, self._secret)
        return framed(b"\x07MESSAGE" + nonce + box)

    def ping(self) -> bytes:
        """Return the bytes of a PING that wants an answer."""
        return self.message(PING, INNER_COMMAND)

    def reset(self) -> None:
        """Reset the connection, with all that is under way on it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()

    def _shake_hands(self, identity: Identity, server: bytes) -> None:
        public, self._secret = crypto_box_keypair()
        self.socket.sendall(GREETING)
        self._receive(len(GREETING))
        nonce = self._nonce()
        box = crypto_box(bytes(64), b"CurveZMQHELLO---" + nonce, server, self._secret)
        self.socket.sendall(framed(b"\x05HELLO\x01\x00" + bytes(72) + public + nonce + box, COMMAND))
        welcome = self._receive_frame()
        opened = crypto_box_open(welcome[24:], b"WELCOME-" + welcome[8:24], server, self._secret)
        self._server_short, cookie = opened[:32], opened[32:]
        vouch_nonce = secrets.token_bytes(16)
        vouch = crypto_box(public + server, b"VOUCH---" + vouch_nonce, self._server_short, identity.secret_key)
        metadata = _property(b"Socket-Type", b"DEALER") + _property(b"Identity", b"m" + secrets.token_bytes(15))
        metadata += b"".join(_property(name, value) for name, value in UNDERSTANDS.items())
        nonce = self._nonce()
        box = crypto_box(
            identity.public_key + vouch_nonce + vouch + metadata,
            b"CurveZMQINITIATE" + nonce,
            self._server_short,
            self._secret,
        )
        self.socket.sendall(framed(b"\x08INITIATE" + cookie + nonce + box, COMMAND))
        if not self._receive_frame().startswith(b"\x05READY"):
            raise ConnectionRefusedError

    def _nonce(self) -> bytes:
        self._number += 1
        return self._number.to_bytes(8)

    def _receive_frame(self) -> bytes:
        flags, size = self._receive(2)
        if flags & LONG:
            size = int.from_bytes(bytes((size,)) + self._receive(7))
        return self._receive(size)

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + struct.pack("!I", len(value)) + value
