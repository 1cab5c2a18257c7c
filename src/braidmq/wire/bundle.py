"""Bundles: a ZeroMQ frame holds one or more messages, one after the other, each with its length in front."""

from braidmq.wire.envelope import COMMON
from braidmq.wire.limits import BUNDLE_BYTES, MESSAGE_BYTES_MAX

_COMMON_BYTES = COMMON.size


def split(frame: bytes) -> tuple[list[bytes], bool]:
    """Return the messages in `frame`, and whether it is well formed to its end.

    A malformed message ends its bundle: what stands before it is returned, the rest is dropped. Only a single
    message may exceed BUNDLE_BYTES, which also bounds how many messages one frame can hold.
    """
    size = len(frame)
    messages: list[bytes] = []
    at = 0
    while at < size:
        if size - at < _COMMON_BYTES:
            return messages, False
        length = frame[at] << 24 | frame[at + 1] << 16 | frame[at + 2] << 8 | frame[at + 3]
        if length == size and not at:
            return [frame], True
        if length > size - at or length < _COMMON_BYTES or size > BUNDLE_BYTES:
            return messages, False
        messages.append(frame[at : at + length])
        at += length
    return messages, at > 0


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
