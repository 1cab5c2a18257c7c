"""One connection of ZMTP without keys, of either side: RFC 37/ZMTP with NULL or PLAIN, and RFC 15/ZMTP, which is 2.0.

For programs of other protocols on this machine: a message has any number of frames, and nothing of it is secret or
proven. Who needs more speaks CURVE, see `engine`.
"""

from collections.abc import Callable, Sequence
from typing import Final

from braidmq.zmtp.framing import (
    COMMAND,
    HANDSHAKE_BYTES_MAX,
    LONG,
    LONG_HEADER_BYTES,
    MORE,
    PING,
    PING_CONTEXT_BYTES_MAX,
    PONG,
    SHORT_BYTES_MAX,
    SHORT_HEADER_BYTES,
    TTL_BYTES,
    command_frame,
    length,
)
from braidmq.zmtp.greeting import GREETING_BYTES
from braidmq.zmtp.handshake import ERROR, READY, refusal
from braidmq.zmtp.metadata import decode_metadata, encode_metadata
from braidmq.zmtp.violation import ForeignProtocol, Refusal, Violation

Admits = Callable[[bytes, bytes], bool]
"""Whether a user name and a password belong together."""

DEALER: Final = b"DEALER"
ROUTER: Final = b"ROUTER"

_PARTNERS: Final = {ROUTER: (b"REQ", DEALER, ROUTER), DEALER: (b"REP", DEALER, ROUTER)}
"""Which kinds of sockets may speak to which: RFC 28/REQREP."""

COMMAND_BYTES_MAX: Final = 255
"""Length of a command behind the handshake, at most: a PING has 23, and others are not answered."""

PARTS_AT_ONCE: Final = 64
"""Frames and commands that are looked at in one go, which takes no longer than to handle a message: a peer may send
empty ones, which cost it two bytes each."""

_NULL: Final = b"NULL"
_PLAIN: Final = b"PLAIN"
_VERSION: Final = 3
_REVISION_2: Final = 1
"""How ZMTP 2.0 calls itself in its greeting."""

_NUMBERS_2: Final = {b"REQ": 3, b"REP": 4, DEALER: 5, ROUTER: 6}
"""How ZMTP 2.0 calls kinds of sockets."""

_BEGIN: Final = b"\xff" + bytes(8) + b"\x7f" + bytes((_VERSION,))
_VERSION_AT: Final = 10
_MECHANISM_AT: Final = 12
_ROLE_AT: Final = 32

_HELLO: Final = b"\x05HELLO"
_WELCOME: Final = b"\x07WELCOME"
_INITIATE: Final = b"\x08INITIATE"
_REFUSED: Final = "400"

_AT_VERSION: Final = 0
_AT_GREETING: Final = 1
_AT_GREETING_2: Final = 2
_AT_COMMANDS: Final = 3


class ClearEngine:
    """A connection. Send `output` whenever there is any, before anything that was made later.

    After a Violation or a Refusal nothing more is to be given to it, but `output` is to be sent.

    Attributes:
        output: bytes to send: the handshake's, and answers to PING.
        open: whether the handshake is complete, so that messages may go.
        user: who the peer has proven to be by PLAIN; empty by NULL.
        held_bytes: what is kept of what has come.
        too_large: messages that were dropped, or have ended the connection, as they had too many bytes or frames.

    Args:
        kind: of this side's socket, ROUTER or DEALER.
        bytes_max: of a message. A single frame that has more ends the connection.
        frames_max: of a message.
        admits: lets users in by PLAIN; None: NULL, everybody without a word. Only for a ROUTER.
    """

    __slots__ = (
        "_admits", "_at", "_awaited", "_bytes_max", "_came", "_frames", "_frames_max", "_kind", "_size", "_stage",
        "held_bytes", "open", "output", "too_large", "user",
    )  # fmt: skip

    def __init__(self, kind: bytes, *, bytes_max: int, frames_max: int, admits: Admits | None = None) -> None:
        self.output = bytearray(_BEGIN)  # 2.0 reads no further before it has answered
        self.open = False
        self.user = ""
        self.held_bytes = 0
        self.too_large = 0
        self._kind = kind
        self._bytes_max = bytes_max
        self._frames_max = frames_max
        self._admits = admits
        self._stage = _AT_VERSION
        self._awaited = b""
        self._came = bytearray()
        self._at = 0
        self._frames: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what has come."""
        if self._at:
            self._drop(self._at)  # or it is kept as long as no message is the last one
        self._came += data
        self.held_bytes += len(data)

    def next(self) -> list[bytes] | None:
        """Return the next message; None if there is no complete one. Empty: there may be one, ask again.

        Raises:
            Violation: the peer does not keep to the protocol.
            Refusal: it has not proven to be a user.
        """
        if not self.open:
            self._shake_hands()
            if not self.open:
                return None
        came, at, more = self._came, self._at, False
        end = len(came)
        for _ in range(PARTS_AT_ONCE):
            begin, at = at, self._end_of_frame(at)
            if at < 0:
                at = begin
                break
            flags = came[begin]
            body = begin + (LONG_HEADER_BYTES if flags & LONG else SHORT_HEADER_BYTES)
            if flags & COMMAND:
                self._on_command(bytes(came[body:at]))
                continue
            self._size += at - body
            if self._size <= self._bytes_max and len(self._frames) < self._frames_max:
                self._frames.append(bytes(came[body:at]))
            else:
                self._size = self._bytes_max + 1
                self._frames.clear()  # nothing of it is kept
            if not flags & MORE:
                return self._take(at)
        else:
            more = True
        self._drop(at)
        if self._frames:
            self.held_bytes += self._size
        return [] if more and at < end else None

    def _take(self, at: int) -> list[bytes]:
        """Return the message that ends there; it is empty if it was too large."""
        frames, self._frames = self._frames, []
        if self._size > self._bytes_max:
            self.too_large += 1
        self._size = 0
        self._at = at
        self.held_bytes = len(self._came) - at
        return frames

    def _drop(self, at: int) -> None:
        """Let go of what has been handled."""
        del self._came[:at]
        self._at = 0
        self.held_bytes = len(self._came)

    def _end_of_frame(self, at: int) -> int:
        """Return where the frame ends that begins there; -1 if it is not complete."""
        came = self._came
        left = len(came) - at
        if left < SHORT_HEADER_BYTES:
            return -1
        flags, size, head = came[at], came[at + 1], SHORT_HEADER_BYTES
        if flags & LONG:
            if left < LONG_HEADER_BYTES:
                return -1
            size, head = length.unpack_from(came, at + 1)[0], LONG_HEADER_BYTES
        if flags & ~(MORE | LONG | COMMAND) or flags & (COMMAND | MORE) == COMMAND | MORE:
            raise Violation("flags that no frame has")
        if flags & COMMAND:
            if self._stage == _AT_GREETING_2:
                raise Violation("a command, which ZMTP 2.0 does not have")
            if size > (COMMAND_BYTES_MAX if self.open else HANDSHAKE_BYTES_MAX):
                raise Violation("a command that is too long")
        elif not self.open and self._stage == _AT_COMMANDS:
            raise Violation("no command where the handshake wants one")
        elif size > self._bytes_max:
            self.too_large += 1
            raise Violation("a frame that is too long")
        return at + head + size if left - head >= size else -1

    def _on_command(self, command: bytes) -> None:
        """Answer PING. PONG wants no answer, and others are for kinds of sockets that this one does not speak to."""
        if not command.startswith(PING):
            return
        context = command[len(PING) + TTL_BYTES :]
        if len(command) < len(PING) + TTL_BYTES or len(context) > PING_CONTEXT_BYTES_MAX:
            raise Violation("a PING that is too short or too long")
        self.output += command_frame(PONG + context)

    # -- the handshake

    def _shake_hands(self) -> None:
        came = self._came
        if self._stage == _AT_VERSION:
            _check_begin(came)
            if len(came) <= _VERSION_AT:
                return
            self._answer_version(came[_VERSION_AT])
        if self._stage == _AT_GREETING_2:
            self._on_greeting_2()
            return
        if self._stage == _AT_GREETING:
            if len(came) < GREETING_BYTES:
                return
            self._on_greeting(bytes(came[:GREETING_BYTES]))
            self._drop(GREETING_BYTES)
        while not self.open:
            end = self._end_of_frame(0)
            if end < 0:
                return
            command = bytes(came[LONG_HEADER_BYTES if came[0] & LONG else SHORT_HEADER_BYTES : end])
            self._drop(end)
            self._on_handshake(command)

    def _answer_version(self, version: int) -> None:
        """Say the rest of the greeting, as far as the peer understands it."""
        if version == _REVISION_2:
            if self._admits is not None:
                raise Refusal(_REFUSED)
            self.output += bytes((_NUMBERS_2[self._kind], 0, 0))  # and an empty identity
            self._stage = _AT_GREETING_2
            return
        mechanism, server = (_NULL, False) if self._admits is None else (_PLAIN, True)
        self.output += b"\x01" + mechanism.ljust(20, b"\0") + bytes((server,)) + bytes(GREETING_BYTES - _ROLE_AT - 1)
        self._stage = _AT_GREETING

    def _on_greeting(self, greeting: bytes) -> None:
        mechanism = greeting[_MECHANISM_AT:_ROLE_AT].rstrip(b"\0")
        self._stage = _AT_COMMANDS
        if self._admits is not None:
            if mechanism != _PLAIN:
                raise Refusal(_REFUSED)
            self._awaited = _HELLO
        else:
            if mechanism != _NULL:
                raise Violation("speaks another mechanism than NULL")
            self._awaited = READY
            self.output += command_frame(READY + self._metadata())

    def _on_handshake(self, command: bytes) -> None:
        awaited = self._awaited
        if command.startswith(ERROR):
            raise Violation("says that this side is not welcome")
        if not command.startswith(awaited):
            raise Violation("another command than the handshake wants")
        told = command[len(awaited) :]
        if awaited == _HELLO:
            self._on_hello(told)
            self._awaited = _INITIATE
            self.output += command_frame(_WELCOME)
            return
        self._check_kind(decode_metadata(told).get(b"socket-type", b""))
        if awaited == _INITIATE:
            self.output += command_frame(READY + self._metadata())
        self.open = True

    def _on_hello(self, told: bytes) -> None:
        name_end = 1 + told[0] if told else 0
        password_end = name_end + 1 + told[name_end] if name_end < len(told) else 0
        if not told or password_end != len(told):
            raise Violation("a HELLO that does not hold what it says")
        user, password = told[1:name_end], told[name_end + 1 :]
        assert self._admits is not None
        if not self._admits(user, password):
            self.output += command_frame(refusal(_REFUSED))
            raise Refusal(_REFUSED)
        self.user = user.decode()

    def _on_greeting_2(self) -> None:
        """Read the kind of the peer's socket and its identity, of which nothing is made."""
        came = self._came
        identity_at = _VERSION_AT + 2
        if len(came) > identity_at and came[identity_at]:
            raise Violation("an identity that is none")
        end = self._end_of_frame(identity_at)
        if end < 0:
            return
        self._check_kind(next((kind for kind, number in _NUMBERS_2.items() if number == came[identity_at - 1]), b""))
        self._drop(end)
        self.open = True

    def _check_kind(self, kind: bytes) -> None:
        if kind not in _PARTNERS[self._kind]:
            raise Violation(f"its socket is of no kind that a {self._kind.decode()} speaks to")

    def _metadata(self) -> bytes:
        return encode_metadata({b"Socket-Type": self._kind, b"Identity": b""})


def encode(frames: Sequence[bytes]) -> bytes:
    """Return a message as it travels. It has one frame at least."""
    parts: list[bytes] = []
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        more = MORE if number < last else 0
        size = len(frame)
        parts.append(bytes((more, size)) if size <= SHORT_BYTES_MAX else bytes((more | LONG,)) + length.pack(size))
        parts.append(frame)
    return b"".join(parts)


def _check_begin(came: bytearray) -> None:
    """Check as much of a greeting as has come: what cannot become one is known by its first byte that is wrong."""
    foreign = len(came) > 0 and came[0] != _BEGIN[0]
    if foreign or (len(came) >= _VERSION_AT and not came[_VERSION_AT - 1] & 1):
        raise ForeignProtocol("does not speak ZMTP 2 or 3")
    version = came[_VERSION_AT] if len(came) > _VERSION_AT else _VERSION
    if version != _REVISION_2 and version < _VERSION:
        raise ForeignProtocol("does not speak ZMTP 2 or 3")
