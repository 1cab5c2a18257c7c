"""What bytes make of bundles: of any bytes, and of messages that are joined, one byte of them changed.

However many messages are taken at a time, the same come out, and nothing that is not there.
"""

from braidmq.wire.bundle import COMMON_BYTES, join, split, split_some
from fuzz.vectors import vectors
from fuzz.zmtp import Doings

BYTES_MAX = 600


def one(data: bytes) -> int:
    """Split some bytes, and what they make.

    Returns:
        How many messages came out.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    doings = Doings(data)
    most, where, how = 1 + doings.number() % 5, doings.number(), doings.number()
    messages = []
    while doings:
        body = doings.some()
        messages.append((COMMON_BYTES + len(body)).to_bytes(4) + bytes(COMMON_BYTES - 4) + body)
    count = len(_split(data, most))
    for frame, size in join(messages):
        assert len(_split(frame, most)) == size, "messages are lost, or made"
        count += size
        spoiled = bytearray(frame)
        spoiled[where % len(frame)] ^= how
        _split(bytes(spoiled), most)
    return count


def _split(frame: bytes, most: int) -> list[bytes]:
    messages, intact = split(frame)
    some: list[bytes] = []
    at, well = 0, True
    while well:
        part, at, well = split_some(frame, at, most)
        some += part
        assert len(part) <= most, "more than were asked for"
        if at >= len(frame):
            break
    assert (some, well) == (messages, intact), "another number at a time gives something else"
    whole = b"".join(messages)
    assert frame.startswith(whole), "something else comes out"
    assert (whole == frame and bool(messages)) == intact, "says what is not so"
    return messages


SEEDS = (*vectors("bundle"), b"\0\0\0\1a\2bc\0", b"\1\2\3\5hello\0\1x", b"\4\3\x80\5hello\7goodbye")
"""Frames to begin with, and messages to be joined."""
