"""How frames begin, with keys and without: RFC 23 and 37/ZMTP; and the commands that any of them may hold."""

from struct import Struct
from typing import Final

MORE: Final = 1
LONG: Final = 2
COMMAND: Final = 4

SHORT_BYTES_MAX: Final = 255
"""Length of the body of a short frame, at most."""

SHORT_HEADER_BYTES: Final = 2
LONG_HEADER_BYTES: Final = 9

HANDSHAKE_BYTES_MAX: Final = 1024
"""Length of a command of the handshake, at most: those of CURVE have 346, with some metadata of other clients' more;
a name and a password of PLAIN have 255 each."""

PING: Final = b"\x04PING"
PONG: Final = b"\x04PONG"
TTL_BYTES: Final = 2

PING_CONTEXT_BYTES_MAX: Final = 16
"""What a PING may carry for its PONG."""

length: Final = Struct("!Q")
"""The size of a long frame."""


def command_frame(body: bytes) -> bytes:
    """Return the frame of a command."""
    if len(body) > SHORT_BYTES_MAX:
        return bytes((COMMAND | LONG,)) + length.pack(len(body)) + body
    return bytes((COMMAND, len(body))) + body
