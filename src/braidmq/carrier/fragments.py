"""Fragments: a message that is longer than a bundle travels in pieces, each of them a frame (docs/protocol.md, 3.4).

The first byte of a fragment is its mark, which begins no message: those begin with their length, which is never so
high. One message at a time is in pieces in one direction of a connection, so that a piece needs no name. A message that
nobody wants any more is abandoned in its middle, by a mark alone.
"""

from typing import Final

from braidmq.errors import ProtocolError
from braidmq.wire.envelope import COMMAND_AT, REPLY, REQUEST
from braidmq.wire.forward import cut
from braidmq.wire.limits import BUNDLE_BYTES
from braidmq.zmtp.violation import Misdeed

MORE: Final = 0xF0
"""The mark of a fragment that others follow."""

LAST: Final = 0xF1
"""The mark of the last one."""

ABANDON: Final = 0xF2
"""The mark that stands alone: what has come of the message in pieces counts for nothing, and no more of it comes."""

WHOLE_BYTES_MAX: Final = BUNDLE_BYTES + 1024
"""Length of a message that travels whole, at most: a payload of as much as a bundle holds, with its envelope. In two
pieces it would cost a quarter more, and keep others hardly less."""

FRAGMENT_BYTES: Final = BUNDLE_BYTES - 1
"""Bytes of a message in one fragment, at most: with its mark it is as long as a bundle, and keeps others no longer."""

UNDERSTANDS: Final[dict[bytes, bytes]] = {b"x-braid-fragments": b"1", b"x-braid-abandon": b"1"}
"""What a side tells in the metadata of its handshake that takes fragments and may send them, and may abandon a message
in its middle."""


def highest_mark(common: dict[bytes, bytes]) -> int:
    """Return the highest mark that may travel, given what both sides have told alike; 0 if fragments may not."""
    if common.get(b"x-braid-fragments") != b"1":
        return 0
    return ABANDON if common.get(b"x-braid-abandon") == b"1" else LAST


BEGINNING_BYTES: Final = 1024
"""What is kept of a message that is passed over: its prefix and its names are shorter."""


class Joiner:
    """Makes messages of the fragments that come over one connection. It keeps what has come, and no room for more.

    Attributes:
        bytes: how much has come of the message that is under way; 0 between two of them.

    Args:
        message_bytes_max: how long a message may be.
        passed_bytes_max: how long a REQUEST or REPLY may be that is longer: it is passed over, and CUT stands for it.
    """

    __slots__ = ("_data", "_message_bytes_max", "_passed_bytes_max", "bytes")

    def __init__(self, message_bytes_max: int, passed_bytes_max: int = 0) -> None:
        self.bytes = 0
        self._data = bytearray()
        self._message_bytes_max = message_bytes_max
        self._passed_bytes_max = passed_bytes_max

    def add(self, fragment: memoryview) -> bytes | None:
        """Take the next fragment, with its mark; return the message if it is complete.

        Raises:
            Misdeed: no fragment may be like this: it is empty or too long, the message is, or it is none of those that
                travel in fragments; or nothing has begun that could be abandoned.
        """
        size = len(fragment) - 1
        if fragment[0] == ABANDON:
            if size or not self.bytes:
                raise Misdeed("abandoned a message that it had not begun")
            self._data = bytearray()
            self.bytes = 0
            return None
        if size < 1:
            raise Misdeed("sent an empty fragment")
        if size > FRAGMENT_BYTES:
            raise Misdeed("sent a fragment that is too long")
        total = self.bytes + size
        if total > self._message_bytes_max:
            return self._pass_over(fragment[0], total)
        if fragment[0] == MORE:
            self._data += fragment[1:]
            self.bytes = total
            return None
        if total <= BUNDLE_BYTES:
            raise Misdeed("sent fragments of a message that is not long")
        self._data += fragment[1:]
        message = bytes(self._data)
        self._data = bytearray()
        self.bytes = 0
        return message

    def _pass_over(self, mark: int, total: int) -> bytes | None:
        """Handle a fragment of a message that is too long: keep no more than its beginning."""
        data = self._data
        if total > self._passed_bytes_max or len(data) <= COMMAND_AT or data[COMMAND_AT] not in (REQUEST, REPLY):
            raise Misdeed("sent fragments of a message that is too long")
        if len(data) > BEGINNING_BYTES:
            self._data = data[:BEGINNING_BYTES]
        self.bytes = total
        if mark == MORE:
            return None
        beginning = bytes(self._data)
        self._data = bytearray()
        self.bytes = 0
        try:
            return cut(beginning, total)
        except ProtocolError:
            raise Misdeed("sent fragments of a message that is too long") from None
