"""What bytes make of both sides of ZMTP: each byte string is a peer's doings, some of them well sealed.

A peer that only says random bytes gets no further than the greeting. So this one holds keys: it says commands in any
order, with anything in their boxes, changes what it says, says it twice, and goes on after it was cut.
"""

from functools import lru_cache
from typing import Generic, Self, TypeVar

from nacl.exceptions import CryptoError

from braidmq.version import cores
from braidmq.zmtp.engine import OVERHEAD_BYTES, Engine
from braidmq.zmtp.greeting import GREETING_BYTES
from braidmq.zmtp.sodium import Room
from braidmq.zmtp.violation import Refusal, Violation
from tests.support import zmtp
from tests.support.zmtp import BOX_COMMAND, COMMAND, Hand, HandClient, HandServer, Line, bodies, framed

FRAME_BYTES_MAX = 700

BYTES_MAX = 600

HANDSHAKE_SAYS_MAX = 64 + 9 + 400
"""What a side says without having been asked in a PING, at most."""

UNREAD_BYTES_MAX = FRAME_BYTES_MAX + OVERHEAD_BYTES + 9 + 1033
"""A frame that is not there yet, or a command of the handshake."""

PONG_BYTES_MAX = 5 + 16
"""A PONG, with the longest context that RFC 37 lets a PING have."""

VAIN_SAYS_MAX = 1
"""How often a peer goes on that was cut. In the product it cannot: its connection ends with the first time."""

OPENING = b"\x01\x04\x00\x05\x00"
"""The doings of a handshake in which nothing is wrong, of either side."""

GREETING, SERVER_GREETING = zmtp.greeting(), zmtp.greeting(role=1)

COMPILED = cores() == "compiled"

_rooms = lru_cache(1 << 12)(Room)


class Doings:
    """Bytes that say what is done."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self) -> int:
        """Return the next byte, or 0."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def some(self) -> bytes:
        """Return bytes, whose count comes first."""
        begin = self._at + 1
        self._at = begin + self.number()
        return self._data[begin : self._at]


def _twin(one: Engine) -> Engine:
    """Return an engine that has heard the same: copy is as good, and takes several times as long."""
    other = object.__new__(Engine)
    for name in Engine.__slots__:
        setattr(other, name, getattr(one, name))
    other.output = bytearray(one.output)
    return other


AnyHand = TypeVar("AnyHand", bound=Hand)


class Peer(Generic[AnyHand]):
    """A peer by hand, of the side that the engine is not.

    Raises:
        AssertionError: the engine has done what it must not.
    """

    def __init__(self, line: Line, hand: AnyHand) -> None:
        self.line = line
        self.hand = hand
        self.heard = 0
        self.said = 0
        self.proven = False
        self.sealed: set[bytes] = set()
        self.vain = 0
        self.nonce = b""
        self.next_nonce = 3
        self.spoiled = b""
        self.last = b""

    def again(self) -> Self:
        """Return a peer that has done the same, with an engine that has heard the same, and no frame yet."""
        other = type(self)(Line(_twin(self.line.engine), _rooms), self.hand.again())
        other.line.unread = self.line.unread
        other.heard, other.said, other.proven, other.vain = self.heard, self.said, self.proven, self.vain
        other.nonce, other.next_nonce, other.spoiled, other.last = self.nonce, self.next_nonce, self.spoiled, self.last
        return other

    def say(self, data: bytes, *, proof: bool = False) -> None:
        """Let the engine hear something, and see what it does."""
        line = self.line
        if not data:
            return
        if self.spoiled:
            at = (self.spoiled[0] << 8 | self.spoiled[1]) % len(data)
            data = data[:at] + bytes((data[at] ^ (self.spoiled[2] or 1),)) + data[at + 1 :]
            self.spoiled = b""
        elif proof:
            self.proven = True
        self.last = data
        self.said += len(data)
        found = len(line.frames)
        try:
            line.give(data)
        except (Violation, Refusal):
            line.unread = b""
            self.vain += 1
        answer = line.take()
        self.heard += len(answer)
        assert self.heard <= self.said + HANDSHAKE_SAYS_MAX, "says more than it hears"
        assert len(line.unread) <= UNREAD_BYTES_MAX, "keeps what is too long"
        assert not line.engine.open or self.proven, "is open for whoever has proven nothing"
        for frame in line.frames[found:]:
            assert frame in self.sealed, "has found what was never sealed"
            assert frame[:8] > self.nonce, "has found a frame twice, or in another order"
            self.nonce = frame[:8]
        if answer:
            self.on_answer(answer)

    def on_answer(self, answer: bytes) -> None:
        """Take what the engine says."""
        raise NotImplementedError

    def do(self, doings: Doings) -> None:
        """Do the next thing."""
        what = doings.number() % 8
        if what == 0:
            self.say(doings.some())
        elif what == 1:
            self.say(GREETING)
        elif what == 2:
            self.say(self.last)
        elif what == 3:
            self.spoiled = bytes((doings.number(), doings.number(), doings.number()))
        elif what == 4:
            self.first(doings)
        elif what == 5:
            self.second(doings)
        else:
            self._message(doings)

    def first(self, doings: Doings) -> None:
        """Say the first command of this side's."""
        raise NotImplementedError

    def second(self, doings: Doings) -> None:
        """Say the second one."""
        raise NotImplementedError

    def seal(self, content: bytes, nonce: int, flags: int) -> bytes:
        """Return a MESSAGE."""
        raise NotImplementedError

    def _message(self, doings: Doings) -> None:
        kind, step, flags = doings.number(), doings.number(), 0
        if kind & 1:
            flags = doings.number() if kind & 2 else BOX_COMMAND
        if kind & 4:
            self.next_nonce = max(0, self.next_nonce + step - 128)
        content = zmtp.number(self.next_nonce) + doings.some()
        if flags == BOX_COMMAND:
            content = (b"\x04PING\0\1" if kind & 8 else b"\x04PONG") + doings.some()
        elif flags == 0:
            self.sealed.add(content)
        self.say(framed(self.seal(content, self.next_nonce, flags), COMMAND if kind & 16 else 0))
        self.next_nonce += 1


class Client(Peer[HandClient]):
    """It talks to a server."""

    @classmethod
    def new(cls) -> Self:
        """Return one that has said nothing."""
        peer = cls(zmtp.server(size=FRAME_BYTES_MAX, rooms=_rooms), HandClient())
        peer.hand.server_short, peer.hand.cookie = zmtp.STRANGER.public, bytes(96)
        return peer

    def on_answer(self, answer: bytes) -> None:
        """Take what the engine says."""
        for body in bodies(answer.removeprefix(SERVER_GREETING)):
            if body.startswith(b"\x07WELCOME"):
                self.hand.on_welcome(body)
            elif body.startswith(b"\x07MESSAGE"):
                flags, pong = self.hand.open_message(body)
                assert flags == BOX_COMMAND
                assert pong.startswith(b"\x04PONG"), "answers with something else"
                assert len(pong) <= PONG_BYTES_MAX, "answers what is too long"

    def first(self, doings: Doings) -> None:
        """Say HELLO."""
        how = doings.number()
        padding = doings.some()[:72].ljust(72, b"\0") if how & 1 else bytes(72)
        nonce = doings.number() if how & 2 else 1
        zeros = doings.some()[:64].ljust(64, b"\0") if how & 4 else bytes(64)
        self.say(framed(self.hand.hello(padding=padding, nonce=nonce, zeros=zeros), COMMAND))

    def second(self, doings: Doings) -> None:
        """Say INITIATE."""
        how = doings.number()
        nonce = doings.number() if how & 1 else 2
        metadata = doings.some() if how & 2 else zmtp.DEALER
        vouch = self.hand.vouch(short=doings.some()[:32].ljust(32, b"\0")) if how & 4 else b""
        public = zmtp.STRANGER.public if how & 8 else b""
        command = self.hand.initiate(nonce=nonce, metadata=metadata, vouch=vouch, public=public)
        self.say(framed(command, COMMAND), proof=not (vouch or public))

    def seal(self, content: bytes, nonce: int, flags: int) -> bytes:
        """Return a MESSAGE."""
        return self.hand.message(content, nonce, flags)


class Server(Peer[HandServer]):
    """It talks to a client."""

    @classmethod
    def new(cls) -> Self:
        """Return one that has said nothing."""
        peer = cls(zmtp.client(size=FRAME_BYTES_MAX, rooms=_rooms), HandServer())
        peer.hand.client_short = zmtp.STRANGER.public
        return peer

    def on_answer(self, answer: bytes) -> None:
        """Take what the engine says."""
        for body in bodies(answer[GREETING_BYTES:] if answer.startswith(b"\xff") else answer):
            if body.startswith(b"\x05HELLO"):
                self.hand.on_hello(body)
            elif body.startswith(b"\x08INITIATE"):
                self.hand.on_initiate(body)

    def first(self, doings: Doings) -> None:
        """Say WELCOME, or ERROR."""
        how = doings.number()
        if how & 1:
            self.say(framed(b"\x05ERROR" + doings.some(), COMMAND))
        else:
            self.say(framed(self.hand.welcome(behind=doings.some() if how & 2 else b""), COMMAND))

    def second(self, doings: Doings) -> None:
        """Say READY."""
        how = doings.number()
        nonce = doings.number() if how & 1 else 1
        metadata = doings.some() if how & 2 else zmtp.ROUTER
        self.say(framed(self.hand.ready(nonce=nonce, metadata=metadata), COMMAND), proof=True)

    def seal(self, content: bytes, nonce: int, flags: int) -> bytes:
        """Return a MESSAGE."""
        return self.hand.message(content, nonce, flags)


def _opened(is_client: bool) -> Client | Server:
    """Return a peer behind its handshake."""
    peer = _new(is_client)
    doings = Doings(OPENING)
    while doings:
        peer.do(doings)
    assert peer.line.engine.open
    return peer


def _new(is_client: bool) -> Client | Server:
    return Client.new() if is_client else Server.new()


_models: dict[bool, Client | Server] = {}


def _behind(is_client: bool) -> Client | Server:
    """Return a peer behind its handshake: a double of one, where the engine is no machine code, which has none."""
    if COMPILED:
        return _opened(is_client)
    model = _models.get(is_client)
    if model is None:
        model = _models[is_client] = _opened(is_client)
    return model.again()


def one(data: bytes) -> Client | Server:
    """Let a peer do what the bytes say, and return it.

    Raises:
        AssertionError: the engine has done what it must not.
        Exception: the engine has raised what it must not.
    """
    doings = Doings(data)
    how = doings.number()
    is_client = bool(how & 1)
    peer = _behind(is_client) if how & 2 else _new(is_client)
    try:
        while doings and peer.vain <= VAIN_SAYS_MAX:
            peer.do(doings)
    except CryptoError as error:
        raise AssertionError("the engine has said what does not open") from error
    return peer


SEEDS = (
    b"\x01\x01\x04\x00\x05\x00\x06\x00\x00\x05hello\x06\x01\x00\x00\x00\x06\x09\x00\x00\x00",
    b"\x00\x01\x04\x00\x05\x00\x06\x00\x00\x05hello\x06\x01\x00\x00\x00\x06\x09\x00\x00\x00",
    b"\x01\x00\x40" + zmtp.greeting() + b"\x04\x03\x00\x07\x05\x01\x09",
    b"\x01\x01\x04\x00\x05\x02\x0f" + zmtp.properties((b"Socket-Type", b"REQ"))[:15] + b"\x05\x00\x06\x00\x00\x00",
    b"\x01\x01\x03\x00\x10\x01\x04\x00\x03\x01\x00\x01\x05\x00\x02\x06\x04\x70\x00\x02\x02",
    b"\x00\x01\x04\x01\x04\x03400\x04\x00\x05\x00",
    b"\x03\x06\x00\x00\x05hello\x06\x01\x00\x00\x00\x02\x06\x04\x70\x00\x05hello",
    b"\x03\x03\x00\x01\x01\x06\x00\x00\x05hello\x06\x00\x00\x05hello",
    b"\x02\x06\x00\x00\x05hello\x06\x09\x00\x00\x03two\x00\x40" + bytes(range(64)),
)
"""Doings to begin with: handshakes, frames, PINGs, changed words, commands twice."""
