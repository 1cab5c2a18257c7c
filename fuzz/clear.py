"""What bytes make of a connection of ZMTP without keys: at once or in pieces, before or behind the handshake."""

from braidmq.zmtp.clear import DEALER, ROUTER, ClearEngine, encode
from braidmq.zmtp.framing import PING_CONTEXT_BYTES_MAX
from braidmq.zmtp.violation import Refusal, Violation

BYTES_MAX = 600

MESSAGE_BYTES_MAX, FRAMES_MAX = 100, 4

OUTPUT_BYTES_MAX = 200
"""Greeting, WELCOME or ERROR, and READY."""

_GREETING = b"\xff" + bytes(8) + b"\x7f\3\1" + b"NULL".ljust(20, b"\0") + bytes(32)
_PLAIN_GREETING = _GREETING.replace(b"NULL\0", b"PLAIN")
_METADATA = b"\x0bSocket-Type\0\0\0\6"
_READY = b"\4\x1c\5READY" + _METADATA + b"ROUTER"
_HELLO = b"\4\x10\5HELLO\4user\4word"
_INITIATE = b"\4\x1f\x08INITIATE" + _METADATA + b"ROUTER"

_PLAIN, _IS_DEALER, _BEHIND = 1, 2, 4


def _admits(user: bytes, password: bytes) -> bool:
    return (user, password) == (b"user", b"word")


def _heard(how: int, pieces: list[bytes]) -> tuple[list[list[bytes]], str, bool]:
    """Return the messages that an engine makes of pieces, how it ends, and whether it has opened."""
    plain = bool(how & _PLAIN)
    engine = ClearEngine(
        DEALER if how & _IS_DEALER and not plain else ROUTER,
        bytes_max=MESSAGE_BYTES_MAX,
        frames_max=FRAMES_MAX,
        admits=_admits if plain else None,
    )
    if how & _BEHIND:
        pieces = [(_PLAIN_GREETING + _HELLO + _INITIATE) if plain else (_GREETING + _READY), *pieces]
    found: list[list[bytes]] = []
    fed = 0
    try:
        for piece in pieces:
            engine.feed(piece)
            fed += len(piece)
            while (frames := engine.next()) is not None:
                if frames:
                    found.append(frames)
            assert engine.held_bytes <= min(fed, MESSAGE_BYTES_MAX + BYTES_MAX), "it holds too much"
            pongs = engine.output.count(b"\4PONG") * (PING_CONTEXT_BYTES_MAX + 7)
            assert len(engine.output) <= OUTPUT_BYTES_MAX + pongs, "it says too much"
    except (Violation, Refusal) as end:
        return found, str(end), engine.open
    assert plain or engine.user == "", "nobody has proven to be a user"
    return found, "", engine.open


def one(data: bytes) -> int:
    """Let a peer say some bytes; the first two say how, and how they are cut.

    Returns:
        How many messages were heard.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    how, piece, sent = data[0] if data else 0, 1 + data[1] if len(data) > 1 else 1, data[2:]
    found, end, opened = _heard(how, [sent])
    assert (found, end, opened) == _heard(how, [sent[at : at + piece] for at in range(0, len(sent), piece)]), (
        "it depends on how bytes are cut"
    )
    for frames in found:
        assert len(frames) <= FRAMES_MAX, "too many frames"
        assert sum(map(len, frames)) <= MESSAGE_BYTES_MAX, "too many bytes"
    again = _heard(_BEHIND, [encode(frames) for frames in found])
    assert again[0] == found, "it is encoded otherwise"
    return len(found)


_LARGE = b"\2" + (60).to_bytes(8) + bytes(60)
_TOO_LARGE = b"\3" + _LARGE[1:] + _LARGE
_MESSAGES = encode([b"", b"hello"]) + b"\4\x0a\4PING\0\0abc" + _LARGE + encode([b"y"] * FRAMES_MAX)

SEEDS = (
    bytes((0, 200)) + _GREETING + _READY + _MESSAGES,
    bytes((_IS_DEALER, 3)) + _GREETING + _READY + _MESSAGES,
    bytes((_PLAIN, 40)) + _PLAIN_GREETING + _HELLO + _INITIATE + _MESSAGES,
    bytes((0, 5)) + b"\xff" + bytes(8) + b"\x7f\1\5\0\4name" + encode([b"of 2.0"]),
    bytes((_BEHIND, 0)) + _MESSAGES,
    bytes((_BEHIND | _PLAIN, 0)) + _TOO_LARGE + _MESSAGES,
)
"""Conversations that come to messages."""
