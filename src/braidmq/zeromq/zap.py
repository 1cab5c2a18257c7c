"""Who gets in: libzmq asks here in every handshake (RFC 27/ZAP), and only registered keys are let in."""

import math
from collections.abc import Callable
from typing import Final

import zmq

from braidmq.host.clock import monotonic
from braidmq.host.loggers import own_logger
from braidmq.members import Directory
from braidmq.zeromq.sockets import ZAP_DOMAIN, readable

_LOG = own_logger("braidmq.zap")
_ENDPOINT: Final = "inproc://zeromq.zap.01"
TELL_S: Final = 60.0
"""How often the log is told of handshakes that could not be judged: strangers can make as many as they like."""

_BATCH: Final = 100
"""Handshakes answered at one go, 0.1 s of work at most; the broker's traffic goes on in between."""


def _never(_principal: str) -> bool:
    return False


class ZapHandler:
    """Answers ZAP requests from memory. Whatever is not a registered CURVE key is refused; so is every error.

    Attributes:
        barred: whether a registered key is kept out for now. It is not told that it is not registered, which would be
            final: its connection just ends.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Directory) -> None:
        self.barred: Callable[[str], bool] = _never
        self._directory = directory
        self._unjudged = 0
        self._tell_at = -math.inf
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)

    def fileno(self) -> int:
        """Return the descriptor that tells of requests."""
        return self.socket.fileno()

    def answer(self) -> bool:
        """Answer requests that wait; return whether there may be more."""
        for _ in range(_BATCH):
            if not readable(self.socket):
                return False
            frames = self.socket.recv_multipart(zmq.NOBLOCK)
            if b"" not in frames:
                continue
            body = frames.index(b"") + 1
            status, principal = self._judge(frames[body:])
            request_id = frames[body + 1] if len(frames) > body + 1 else b""
            text = b"OK" if status == b"200" else b"not registered"
            self.socket.send_multipart([*frames[:body], b"1.0", request_id, status, text, principal, b""], zmq.NOBLOCK)
        return True

    def close(self) -> None:
        """Stop answering: every later handshake is refused."""
        self.socket.close(0)

    def _judge(self, request: list[bytes]) -> tuple[bytes, bytes]:
        """Return the ZAP status, and the principal that libzmq attaches to every frame of the connection."""
        try:
            version, _request_id, domain, _address, _identity, mechanism, *credentials = request
            if version != b"1.0" or domain != ZAP_DOMAIN or mechanism != b"CURVE" or len(credentials) != 1:
                return b"400", b""
            principal = credentials[0].hex()
            if self._directory.member(principal) is None:
                return b"400", b""
            if self.barred(principal):
                return b"300", b""
            return b"200", principal.encode()
        except Exception:  # noqa: BLE001 - fail closed: libzmq waits for an answer, and any other than 200 refuses
            self._complain()
            return b"500", b""

    def _complain(self) -> None:
        """Tell the log of a handshake that could not be judged, and of how many there were since the last line."""
        self._unjudged += 1
        now = monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_S
            _LOG.exception(
                "handshakes that could not be judged are refused: %d since this was told last", self._unjudged
            )
            self._unjudged = 0
