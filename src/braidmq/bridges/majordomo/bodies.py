"""The body of a foreign message is any number of frames; a payload is one string of bytes."""

from collections.abc import Sequence
from typing import Final

import msgspec

from braidmq.bridges.limits import FRAMES_MAX
from braidmq.bridges.majordomo.options import ServiceOptions
from braidmq.errors import ServiceError

INVALID: Final = "INVALID"
"""The code of a body or a payload that cannot be carried across."""

_ARRAY: Final = msgspec.msgpack.Decoder(list[bytes])
_encode: Final = msgspec.msgpack.encode


def to_payload(body: Sequence[bytes], options: ServiceOptions, *, parts: bool = False) -> bytes | ServiceError:
    """Return the payload for a body, or why it has none.

    Args:
        body: its frames.
        options: of the service.
        parts: it came in several messages: then it is an array in any case.
    """
    if options.frames == "msgpack" or parts:
        return _encode(body)
    if len(body) > 1:
        text = f"{len(body)} frames are no payload: set frames = 'msgpack' for this service at the bridge"
        return ServiceError(INVALID, text, maybe_executed=False)
    return body[0] if body else b""


def to_body(payload: bytes, options: ServiceOptions) -> list[bytes] | ServiceError:
    """Return the body for a payload, or why it has none."""
    if options.frames == "one":
        return [payload]
    try:
        body = _ARRAY.decode(payload)
    except msgspec.MsgspecError:
        text = "the payload is no MessagePack array of binary strings, which this service takes"
    else:
        if len(body) <= FRAMES_MAX:
            return body
        text = f"the payload is an array of more than {FRAMES_MAX} frames"
    return ServiceError(INVALID, f"{text}: see its `frames` at the bridge")
