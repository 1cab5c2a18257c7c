"""One connection of ZMTP 3.1 with CURVE, of either side: RFC 37/ZMTP, RFC 25/ZMTP-CURVE, RFC 26/CurveZMQ.

Each frame on our wire is a message of its own. What has come lies in a Room that the caller reads into; boxes are
opened there, and the caller learns where the frames are. What is to go is written into another one, and sealed there.
Both rooms serve any number of connections, one after the other: a connection keeps no bytes but those of `output`.
"""

from struct import Struct
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
from braidmq.zmtp.greeting import GREETING_BYTES, check_greeting, greeting, understands_reasons
from braidmq.zmtp.handshake import ClientHandshake, ServerHandshake, refusal
from braidmq.zmtp.sodium import MAC_BYTES, Room
from braidmq.zmtp.violation import Misdeed, Refusal, Violation, WrongServer

NUMBER_MAX: Final = 2**62
"""The last nonce of a session, by far before they run out: it ends there, after some 10**11 years."""

HEAD_BYTES: Final = 42
"""Where in a Room a frame to seal begins: its header goes in front, with what encryption adds."""

OVERHEAD_BYTES: Final = 33
"""How much longer a frame is in its box: 8 of its name, 8 of its nonce, the authenticator, and a byte of flags."""

_BOX_COMMAND: Final = 2
_NAME: Final = b"\x07MESSAGE"
_CLIENT: Final = b"CurveZMQMESSAGEC"
_SERVER: Final = b"CurveZMQMESSAGES"
_NONE: Final[dict[bytes, bytes]] = {}

_message: Final = Struct("!8sQ")
_short_frame: Final = Struct("!BB8sQ")
_long_frame: Final = Struct("!BQ8sQ")


class Engine:
    """A connection. Send `output` whenever there is any, before anything that was sealed later.

    An answer to a PING is shorter than the PING: `output` has a limit if no more is read while some of it is left.
    After a Violation or a Refusal nothing more is to be given to it.

    Attributes:
        output: bytes to send: the handshake's, and answers to PING.
        open: whether the handshake is complete, so that frames may go.
        principal: what the server's Authorise has said of the client, once it is open; empty at a client.
        common: what both sides have told alike besides, once it is open.
        commands: how many commands have come in boxes: whoever reads counts them as work, as they are no frames.

    Args:
        handshake: makes this side the server or the client. It is begun here.
        frame_bytes_max: how long a frame of the peer's may be.
    """

    __slots__ = (
        "_explains", "_frame_bytes_max", "_got", "_greeted", "_handshake", "_key", "_opens", "_seals", "_sent",
        "commands", "common", "open", "output", "principal",
    )  # fmt: skip

    def __init__(self, handshake: ServerHandshake | ClientHandshake, frame_bytes_max: int) -> None:
        server = isinstance(handshake, ServerHandshake)
        self.output = bytearray(greeting(server=server))
        self.open = False
        self.principal = ""
        self.common = _NONE
        self.commands = 0
        self._handshake: ServerHandshake | ClientHandshake | None = handshake
        self._greeted = False
        self._explains = False
        self._frame_bytes_max = frame_bytes_max
        self._key = b""
        self._sent = NUMBER_MAX  # nothing can be sealed before it is open
        self._got = 0
        self._seals, self._opens = (_SERVER, _CLIENT) if server else (_CLIENT, _SERVER)

    def receive(self, room: Room, at: int, end: int, found: list[int]) -> int:
        """Handle the bytes between `at` and `end`; return where the first one lies that is not handled yet.

        What is not handled is the beginning of something: it is to be given again, with more behind it.

        Args:
            room: where they lie; what they say is changed.
            at: where they begin.
            end: where they end.
            found: gets where each frame begins and ends, one after the other.

        Raises:
            Violation: the peer does not keep to the protocol, and is to be cut. Frames in `found` came before that.
            Refusal: a server has refused its client: send `output` and end the connection. Or this is that client.
        """
        if not self.open:
            handshake, self._handshake = self._handshake, None  # who fails is not heard again
            if handshake is None:
                raise Violation("goes on after its end")
            at = self._shake_hands(handshake, room, at, end)
            if not self.open:
                self._handshake = handshake
                return at
        data, frame_bytes_max, key, purpose = room.data, self._frame_bytes_max, self._key, self._opens
        while end - at >= SHORT_HEADER_BYTES:
            flags = data[at]
            if flags & LONG:
                if end - at < LONG_HEADER_BYTES:
                    break
                size: int = length.unpack_from(data, at + 1)[0]
                body = at + LONG_HEADER_BYTES
            else:
                size = data[at + 1]
                body = at + SHORT_HEADER_BYTES
            self._check_header(flags, size, frame_bytes_max)
            if end - body < size:
                break
            name, number = _message.unpack_from(data, body)
            if name != _NAME:
                raise Violation("neither a MESSAGE nor in its place")
            if number <= self._got:
                raise Violation("a MESSAGE whose nonce is used")
            if not room.open_box(body + 16, size - 16, purpose, number, key):
                raise Violation("a MESSAGE that does not open")
            self._got = number
            inner = data[body + 32]
            at = body + size
            if inner == 0:
                found.append(body + OVERHEAD_BYTES)
                found.append(at)
            elif inner == _BOX_COMMAND:
                self._on_command(bytes(room.view[body + OVERHEAD_BYTES : at]))
            elif inner & MORE:
                raise Misdeed("sent a message of several frames")
            else:
                raise Misdeed("sent unknown flags in a MESSAGE")
        return at

    def needs(self, room: Room, at: int, end: int) -> int:
        """Return how many bytes the frame takes in all whose beginning lies between `at` and `end`; 0 if unknown yet.

        For those who read a long frame into a room of its own.
        """
        if not self.open or end - at < LONG_HEADER_BYTES or not room.data[at] & LONG:
            return 0
        size: int = length.unpack_from(room.data, at + 1)[0]
        self._check_header(room.data[at], size, self._frame_bytes_max)
        return size + LONG_HEADER_BYTES

    def seal(self, room: Room, size: int) -> int:
        """Make a frame of the `size` bytes that begin at HEAD_BYTES; return where it begins. It ends where they do.

        Raises:
            Violation: the session has used up its nonces, and is to be ended.
        """
        return self._seal(room, size, 0)

    def _seal(self, room: Room, size: int, flags: int) -> int:
        number = self._sent + 1
        if number > NUMBER_MAX:
            assert self.open, "nothing is sealed before the handshake is complete"
            raise Violation("a session that has used up its nonces")
        self._sent = number
        body = size + OVERHEAD_BYTES
        begin = 0
        if body > SHORT_BYTES_MAX:
            _long_frame.pack_into(room.data, 0, LONG, body, _NAME, number)
        else:
            begin = LONG_HEADER_BYTES - SHORT_HEADER_BYTES
            _short_frame.pack_into(room.data, begin, 0, body, _NAME, number)
        room.data[HEAD_BYTES - 1] = flags
        room.seal_box(HEAD_BYTES - 1 - MAC_BYTES, size + 1, self._seals, number, self._key)
        return begin

    def _check_header(self, flags: int, size: int, frame_bytes_max: int) -> None:
        if flags & ~(LONG | COMMAND):
            raise Violation("flags of a frame that none of a box has")
        if size > frame_bytes_max + OVERHEAD_BYTES:
            raise Violation("a frame that is too long")
        if size < OVERHEAD_BYTES:
            raise Violation("a frame that is too short for a box")

    def _on_command(self, command: bytes) -> None:
        """Handle a command in a box: PING, which is answered, and PONG, which nobody here has asked for."""
        self.commands += 1
        name, context = command[: len(PING)], command[len(PING) :]
        if name == PING and len(context) >= TTL_BYTES:
            context = context[TTL_BYTES:]
        elif name != PONG:
            raise Misdeed("sent an unknown command")
        if len(context) > PING_CONTEXT_BYTES_MAX:
            raise Misdeed("sent a PING or PONG that is too long")
        if name == PONG:
            return
        pong = PONG + context
        room = Room(HEAD_BYTES + len(pong))
        room.view[HEAD_BYTES:] = pong
        begin = self._seal(room, len(pong), _BOX_COMMAND)
        self.output += room.view[begin:]

    def _shake_hands(self, handshake: ServerHandshake | ClientHandshake, room: Room, at: int, end: int) -> int:
        data = room.data
        if not self._greeted:
            begin = bytes(room.view[at : min(end, at + GREETING_BYTES)])
            check_greeting(begin)
            if end - at < GREETING_BYTES:
                return at
            at += GREETING_BYTES
            self._greeted = True
            self._explains = understands_reasons(begin)
            self._command(handshake.begin())
        while handshake.agreed is None:
            if end - at < SHORT_HEADER_BYTES:
                return at
            flags, size, body = data[at], data[at + 1], at + SHORT_HEADER_BYTES
            if flags == COMMAND | LONG:
                if end - at < LONG_HEADER_BYTES:
                    return at
                size, body = length.unpack_from(data, at + 1)[0], at + LONG_HEADER_BYTES
            elif flags != COMMAND:
                raise Violation("no command where the handshake wants one")
            if size > HANDSHAKE_BYTES_MAX:
                raise Violation("a command that is too long")
            if end - body < size:
                return at
            at = body + size
            try:
                self._command(handshake.on_command(bytes(room.view[body:at])))
            except Refusal as refused:
                if isinstance(handshake, ServerHandshake):
                    self._command(refusal(refused.status, refused.why if self._explains else ""))
                raise
            except WrongServer as wrong:
                if self._explains:
                    self._command(refusal("400", wrong.why))
                raise
        agreed = handshake.agreed
        self._key, self._sent, self._got, self.principal = agreed.key, agreed.sent, agreed.got, agreed.principal
        self.common = agreed.common or _NONE
        self.open = True
        return at

    def _command(self, body: bytes) -> None:
        """Send a command of the handshake, if it is one."""
        if body:
            self.output += command_frame(body)
