"""A foreign message has any number of frames; a payload is one string of bytes."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from braidmq.bridges.limits import FRAMES_MAX
from braidmq.errors import ServiceError

Frames = Literal["one", "msgpack"]
"""How frames become a payload. "one": a body of one frame is the payload, as it is, and a body without any is an empty
payload. "msgpack": a payload is a MessagePack array of binary strings, one for each frame, however many there are."""

INVALID: Final = "INVALID"
"""The code of a body or a payload that cannot be carried across."""

_ARRAY: Final = msgspec.msgpack.Decoder(list[bytes])
_encode: Final = msgspec.msgpack.encode

_LONG: Final = {0xDC: 2, 0xDD: 4}
"""How arrays of many begin, with the length of their count."""


def to_payload(body: Sequence[bytes], frames: Frames, *, parts: bool = False) -> bytes | ServiceError:
    """Return the payload for a body, or why it has none.

    Args:
        body: its frames.
        frames: how they become a payload.
        parts: it came in several messages: then it is an array in any case.
    """
    if frames == "msgpack" or parts:
        return _encode(body)
    if len(body) > 1:
        text = f'{len(body)} frames are no payload: set frames = "msgpack" for this service at the bridge'
        return ServiceError(INVALID, text, maybe_executed=False)
    return body[0] if body else b""


def to_body(payload: bytes, frames: Frames) -> list[bytes] | ServiceError:
    """Return the body for a payload, or why it has none."""
    if frames == "one":
        return [payload]
    try:
        if _count(payload) <= FRAMES_MAX:
            return _ARRAY.decode(payload)
    except msgspec.MsgspecError:
        pass
    text = f"the payload is no MessagePack array of {FRAMES_MAX:,} binary strings at most, which this service takes"
    return ServiceError(INVALID, text, maybe_executed=False)


def _count(payload: bytes) -> int:
    """Return how many values an array tells to have; 0 if it is none, which its decoder will find out."""
    width = _LONG.get(payload[0], 0) if payload else 0
    return int.from_bytes(payload[1 : 1 + width])
