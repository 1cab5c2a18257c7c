"""Bundles: a frame of ZMTP holds one or more messages, one after the other, each with its length in front."""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final

from braidmq.wire.envelope import (
    ATTEMPT_AT,
    ATTEMPT_END,
    CANCEL,
    CODE_AT,
    COMMAND_AT,
    COMMON,
    PREFIX_BYTES,
    Withdrawal,
)
from braidmq.wire.limits import BUNDLE_BYTES, MESSAGE_BYTES_MAX

LOOKED_AT_MAX: Final = 128
"""Messages of a frame that are looked at for those that call answers back: as many as honest members send at once. A
reader must not go through thousands of tiny ones before it counts them as work."""

COMMON_BYTES: Final = COMMON.size
"""Length of what every message begins with."""

length_of: Final[Callable[..., tuple[int]]] = Struct("!I").unpack_from
"""Returns the length of the message that begins in a frame, at an offset if one is given; as the one of a tuple."""


def split(frame: bytes) -> tuple[list[bytes], bool]:
    """Return the messages in `frame`, and whether it is well formed to its end.

    A malformed message ends its bundle: what stands before it is returned, the rest is dropped. Only a single
    message may exceed BUNDLE_BYTES, which also bounds how many messages one frame can hold.
    """
    messages, _, intact = split_some(frame, 0, len(frame))
    return messages, intact


def split_some(frame: bytes, at: int, most: int) -> tuple[list[bytes], int, bool]:
    """Return the next messages in `frame` from `at` on, where the one behind them begins, and whether all is well.

    At most `most` of them, at least 1. What is returned as the next beginning is the frame's size at its end, and also
    where it is malformed.
    """
    size = len(frame)
    if size < COMMON_BYTES:
        return [], size, False
    if at == 0 and length_of(frame)[0] == size:
        return [frame], size, True
    messages: list[bytes] = []
    if size > BUNDLE_BYTES:
        return messages, size, False
    last = size - COMMON_BYTES
    while at <= last:
        length: int = length_of(frame, at)[0]
        end = at + length
        if end > size or length < COMMON_BYTES:
            return messages, size, False
        messages.append(frame[at:end])
        at = end
        if len(messages) == most and at < size:
            return messages, at, True
    return messages, size, at == size


def called_back(frame: bytes) -> Iterator[bytes]:
    """Yield tag and id of each attempt in a frame whose answer is called back: those of CANCEL, but for SUPERSEDED.

    What is malformed is passed over: whoever reads the messages counts it. Behind LOOKED_AT_MAX messages none is found.
    """
    at, last = 0, len(frame) - COMMON_BYTES
    for _ in range(LOOKED_AT_MAX):
        if at > last:
            return
        length: int = length_of(frame, at)[0]
        if length < COMMON_BYTES or at + length > len(frame):
            return
        if frame[at + COMMAND_AT] == CANCEL and length >= PREFIX_BYTES and frame[at + CODE_AT] != Withdrawal.SUPERSEDED:
            yield frame[at + ATTEMPT_AT : at + ATTEMPT_END]
        at += length


def join(messages: list[bytes]) -> list[tuple[bytes, int]]:
    """Return bundles of about BUNDLE_BYTES, each with the number of messages in it; a larger one travels alone."""
    if len(messages) == 1:
        return [(messages[0], 1)]
    bundles: list[tuple[bytes, int]] = []
    first, index, size = 0, 0, 0
    for message in messages:
        if size and size + len(message) > BUNDLE_BYTES:
            bundles.append((b"".join(messages[first:index]), index - first))
            first, size = index, 0
        size += len(message)
        index += 1
    if size:
        bundles.append((b"".join(messages[first:]), index - first))
    return bundles


def bundle_bytes_max(message_bytes_max: int) -> int:
    """Return the largest frame that `join` makes of messages up to `message_bytes_max`."""
    return min(max(message_bytes_max, BUNDLE_BYTES), MESSAGE_BYTES_MAX)
