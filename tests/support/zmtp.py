"""Both sides of ZMTP with CURVE: engines with lines between them, and peers by hand that say whatever they like.

Peers by hand know nothing of braidmq.zmtp: they are made of RFC 26 and of nacl.bindings.
"""

import random
import struct
from collections.abc import Callable, Iterable
from functools import cache
from io import BytesIO
from typing import Self

from nacl.bindings import crypto_box, crypto_box_open, crypto_scalarmult_base

from braidmq.zmtp.engine import HEAD_BYTES, Engine
from braidmq.zmtp.handshake import ClientHandshake, KeyPair, ServerHandshake
from braidmq.zmtp.sodium import Room

FRAME_BYTES_MAX = 1_000_000

FRONT = b"\xee" * 70
"""What lies before and behind the bytes that an engine is given, and is none of its business."""

FRONT_BYTES = len(FRONT)

COMMAND, LONG, MORE = 4, 2, 1
"""Flags of a frame."""

BOX_MORE, BOX_COMMAND = 1, 2
"""Flags in a box of a MESSAGE."""

SMALL_ORDER = (
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
)
"""Public keys with which everybody agrees on the same key: https://cr.yp.to/ecdh.html#validate."""


DRAWN_BYTES = 1 << 16
"""How much can be drawn from one source."""


@cache
def pair(name: str) -> KeyPair:
    secret = random.Random(name).randbytes(32)
    return KeyPair(crypto_scalarmult_base(secret), secret)


SERVER, CLIENT, STRANGER = pair("server"), pair("client"), pair("stranger")


def draws(name: str = "draws") -> Callable[[int], bytes]:
    """Return a source of bytes that are the same each time."""
    return BytesIO(_drawn(name)).read


@cache
def _drawn(name: str) -> bytes:
    return random.Random(name).randbytes(DRAWN_BYTES)


def welcome_all(key: bytes) -> str:
    return key.hex()[:8]


class Line:
    """An engine, and what has come for it.

    Args:
        engine: the engine.
        rooms: gives a room of a size, which may have been used before, as those of the carrier are.
    """

    def __init__(self, engine: Engine, rooms: Callable[[int], Room] = Room) -> None:
        self.engine = engine
        self.unread = b""
        self.frames: list[bytes] = []
        self._rooms = rooms

    def give(self, data: bytes) -> list[bytes]:
        """Hand bytes to the engine; return the frames that they complete."""
        come = FRONT + self.unread + data + FRONT
        room = self._rooms(len(come))
        room.data[:] = come
        found: list[int] = []
        at = end = len(come) - FRONT_BYTES
        try:
            at = self.engine.receive(room, FRONT_BYTES, end, found)
        finally:
            assert room.data.startswith(FRONT)
            assert room.data.endswith(FRONT)
            frames = [bytes(room.view[a:b]) for a, b in zip(found[::2], found[1::2], strict=True)] if found else []
            self.frames += frames
            self.unread = bytes(room.view[at:end]) if at < end else b""
        return frames

    def take(self) -> bytes:
        """Return what the engine wants to send."""
        output = self.engine.output
        if not output:
            return b""
        data = bytes(output)
        output.clear()
        return data

    def seal(self, frame: bytes) -> bytes:
        """Return a frame as it travels."""
        room = Room(HEAD_BYTES + len(frame))
        room.view[HEAD_BYTES:] = frame
        return bytes(room.view[self.engine.seal(room, len(frame)) :])


def server(
    authorise: Callable[[bytes], str] = welcome_all,
    *,
    keys: KeyPair = SERVER,
    name: str = "server's",
    size: int = 0,
    rooms: Callable[[int], Room] = Room,
) -> Line:
    return Line(Engine(ServerHandshake(keys, authorise, draws(name)), size or FRAME_BYTES_MAX), rooms)


def client(
    *,
    keys: KeyPair = CLIENT,
    to: bytes = SERVER.public,
    name: str = "client's",
    size: int = 0,
    rooms: Callable[[int], Room] = Room,
) -> Line:
    return Line(Engine(ClientHandshake(keys, to, draws(name)), size or FRAME_BYTES_MAX), rooms)


def converse(one: Line, other: Line) -> None:
    """Carry bytes until neither side has any."""
    while True:
        there, back = one.take(), other.take()
        if not there and not back:
            return
        other.give(there)
        one.give(back)


def open_pair(size: int = FRAME_BYTES_MAX) -> tuple[Line, Line]:
    """Return a server and a client whose handshake is complete."""
    here, there = server(size=size), client(size=size)
    converse(here, there)
    assert here.engine.open
    assert there.engine.open
    return here, there


# -- peers by hand


def framed(body: bytes, flags: int = 0) -> bytes:
    """Return a frame of ZMTP."""
    if len(body) > 255:
        return struct.pack("!BQ", flags | LONG, len(body)) + body
    return bytes((flags, len(body))) + body


def bodies(data: bytes) -> Iterable[bytes]:
    """Yield the bodies of frames that are complete."""
    while data:
        at, size = (9, int.from_bytes(data[1:9], "big")) if data[0] & LONG else (2, data[1])
        yield data[at : at + size]
        data = data[at + size :]


def greeting(
    *, mechanism: bytes = b"CURVE", version: bytes = b"\x03\x01", role: int = 0, padding: bytes = bytes(8)
) -> bytes:
    return b"\xff" + padding + b"\x7f" + version + mechanism.ljust(20, b"\0") + bytes((role,)) + bytes(31)


def properties(*named: tuple[bytes, bytes]) -> bytes:
    return b"".join(bytes((len(n),)) + n + struct.pack("!I", len(v)) + v for n, v in named)


DEALER = properties((b"Socket-Type", b"DEALER"), (b"Identity", b""))
ROUTER = properties((b"Socket-Type", b"ROUTER"))


def number(value: int) -> bytes:
    return struct.pack("!Q", value)


class Hand:
    """A peer by hand."""

    def again(self) -> Self:
        """Return one that has said and heard the same."""
        raise NotImplementedError


class HandClient(Hand):
    """What a client says, each command with whatever is to be wrong with it."""

    def __init__(self, keys: KeyPair = CLIENT, to: bytes = SERVER.public, name: str = "hand") -> None:
        self.keys = keys
        self.to = to
        self.short = pair(name)
        self.server_short = b""
        self.cookie = b""

    def again(self) -> Self:
        other = type(self)(self.keys, self.to)
        other.short, other.server_short, other.cookie = self.short, self.server_short, self.cookie
        return other

    def hello(
        self,
        *,
        command: bytes = b"\x05HELLO",
        version: bytes = b"\x01\x00",
        padding: bytes = bytes(72),
        public: bytes = b"",
        nonce: int = 1,
        zeros: bytes = bytes(64),
        behind: bytes = b"",
    ) -> bytes:
        box = crypto_box(zeros, b"CurveZMQHELLO---" + number(nonce), self.to, self.short.secret)
        return command + version + padding + (public or self.short.public) + number(nonce) + box + behind

    def on_welcome(self, welcome: bytes) -> None:
        assert welcome.startswith(b"\x07WELCOME")
        plain = crypto_box_open(welcome[24:], b"WELCOME-" + welcome[8:24], self.to, self.short.secret)
        self.server_short, self.cookie = plain[:32], plain[32:]

    def vouch(self, *, short: bytes = b"", server: bytes = b"", by: bytes = b"") -> bytes:
        nonce = bytes(range(16))
        vouched = (short or self.short.public) + (server or self.to)
        return nonce + crypto_box(vouched, b"VOUCH---" + nonce, self.server_short, by or self.keys.secret)

    def initiate(
        self,
        *,
        command: bytes = b"\x08INITIATE",
        cookie: bytes = b"",
        nonce: int = 2,
        public: bytes = b"",
        vouch: bytes = b"",
        metadata: bytes = DEALER,
    ) -> bytes:
        plain = (public or self.keys.public) + (vouch or self.vouch()) + metadata
        box = crypto_box(plain, b"CurveZMQINITIATE" + number(nonce), self.server_short, self.short.secret)
        return command + (cookie or self.cookie) + number(nonce) + box

    def message(self, frame: bytes, nonce: int, flags: int = 0, *, purpose: bytes = b"CurveZMQMESSAGEC") -> bytes:
        box = crypto_box(bytes((flags,)) + frame, purpose + number(nonce), self.server_short, self.short.secret)
        return b"\x07MESSAGE" + number(nonce) + box

    def open_message(self, message: bytes) -> tuple[int, bytes]:
        """Return the flags and the rest of a MESSAGE of the server's."""
        assert message.startswith(b"\x07MESSAGE")
        nonce = b"CurveZMQMESSAGES" + message[8:16]
        plain = crypto_box_open(message[16:], nonce, self.server_short, self.short.secret)
        return plain[0], plain[1:]


class HandServer(Hand):
    """What a server says, each command with whatever is to be wrong with it."""

    def __init__(self, keys: KeyPair = SERVER, name: str = "hand") -> None:
        self.keys = keys
        self.short = pair(name)
        self.cookie = draws(name)(96)
        self.client_short = b""

    def again(self) -> Self:
        other = type(self)(self.keys)
        other.short, other.cookie, other.client_short = self.short, self.cookie, self.client_short
        return other

    def on_hello(self, hello: bytes) -> None:
        assert hello.startswith(b"\x05HELLO\x01\x00" + bytes(72))
        self.client_short = hello[80:112]
        nonce = b"CurveZMQHELLO---" + hello[112:120]
        assert crypto_box_open(hello[120:], nonce, self.client_short, self.keys.secret) == bytes(64)

    def welcome(self, *, command: bytes = b"\x07WELCOME", short: bytes = b"", behind: bytes = b"") -> bytes:
        nonce = bytes(range(16))
        plain = (short or self.short.public) + self.cookie
        return command + nonce + crypto_box(plain, b"WELCOME-" + nonce, self.client_short, self.keys.secret) + behind

    def on_initiate(self, initiate: bytes, client: bytes = CLIENT.public) -> None:
        assert initiate.startswith(b"\x08INITIATE" + self.cookie)
        nonce = b"CurveZMQINITIATE" + initiate[105:113]
        plain = crypto_box_open(initiate[113:], nonce, self.client_short, self.short.secret)
        assert plain[:32] == client
        assert plain[128:] == DEALER
        vouched = crypto_box_open(plain[48:128], b"VOUCH---" + plain[32:48], client, self.short.secret)
        assert vouched == self.client_short + self.keys.public

    def ready(self, *, command: bytes = b"\x05READY", nonce: int = 1, metadata: bytes = ROUTER) -> bytes:
        box = crypto_box(metadata, b"CurveZMQREADY---" + number(nonce), self.client_short, self.short.secret)
        return command + number(nonce) + box

    def message(self, frame: bytes, nonce: int, flags: int = 0) -> bytes:
        plain = bytes((flags,)) + frame
        box = crypto_box(plain, b"CurveZMQMESSAGES" + number(nonce), self.client_short, self.short.secret)
        return b"\x07MESSAGE" + number(nonce) + box


def greeted_by_hand(line: Line) -> None:
    """Exchange greetings with an engine, whose own are taken."""
    line.give(greeting())
    assert len(line.take()) >= 64


def welcomed_by_hand(line: Line, hand: HandClient) -> None:
    """Lead a server as far as its WELCOME."""
    greeted_by_hand(line)
    line.give(framed(hand.hello(), COMMAND))
    [welcome] = bodies(line.take())
    hand.on_welcome(welcome)


def opened_by_hand(line: Line, hand: HandClient | None = None) -> HandClient:
    """Lead a server through its handshake; return its client by hand, whose next nonce is 3."""
    hand = hand or HandClient()
    welcomed_by_hand(line, hand)
    line.give(framed(hand.initiate(), COMMAND))
    [ready] = bodies(line.take())
    nonce = b"CurveZMQREADY---" + ready[6:14]
    assert crypto_box_open(ready[14:], nonce, hand.server_short, hand.short.secret) == ROUTER
    assert line.engine.open
    return hand


def initiated_by_hand(line: Line, hand: HandServer) -> None:
    """Lead a client as far as its INITIATE."""
    line.give(greeting(role=1))
    [hello] = bodies(line.take()[64:])
    hand.on_hello(hello)
    line.give(framed(hand.welcome(), COMMAND))
    [initiate] = bodies(line.take())
    hand.on_initiate(initiate)
