"""The messages of zgossip as bytes: a signature, an id, a version, and of PUBLISH a key, a value and a time to live.

They are those of `zgossip_msg` in libczmq. A node of libczmq ends for good when it gets one that is malformed, so
`encode` makes none, and nothing that a peer has sent is ever sent on as it came.
"""

import struct
from enum import IntEnum
from typing import Final

from braidmq.bridges.zgossip.limits import KEY_BYTES_MAX, VALUE_BYTES_MAX

_HEAD: Final = struct.Struct(">HBB")
_VALUE: Final = struct.Struct(">I")

_SIGNATURE: Final = 0xAAA0
_VERSION: Final = 1
_TTL_BYTES: Final = 4


class Kind(IntEnum):
    """What a message is, by its id."""

    HELLO = 1
    PUBLISH = 2
    PING = 3
    PONG = 4
    INVALID = 5


HELLO: Final = _HEAD.pack(_SIGNATURE, Kind.HELLO, _VERSION)
PING: Final = _HEAD.pack(_SIGNATURE, Kind.PING, _VERSION)
PONG: Final = _HEAD.pack(_SIGNATURE, Kind.PONG, _VERSION)
INVALID: Final = _HEAD.pack(_SIGNATURE, Kind.INVALID, _VERSION)
_PUBLISH: Final = _HEAD.pack(_SIGNATURE, Kind.PUBLISH, _VERSION)

_BARE: Final = {HELLO: Kind.HELLO, PING: Kind.PING, PONG: Kind.PONG, INVALID: Kind.INVALID}


class Malformed(Exception):  # noqa: N818 - what a peer has sent is this
    """A message is none of zgossip's, or is longer than a bridge takes."""


def fits(key: bytes, value: bytes) -> bool:
    """Whether a tuple can be published: its texts end at a zero byte in the memory of libczmq."""
    return 0 < len(key) <= KEY_BYTES_MAX and len(value) <= VALUE_BYTES_MAX and b"\0" not in key and b"\0" not in value


def publish(key: bytes, value: bytes) -> bytes:
    """Return the PUBLISH of a tuple that fits. It names no time to live: no node of libczmq keeps one."""
    assert fits(key, value)
    return b"".join((_PUBLISH, bytes((len(key),)), key, _VALUE.pack(len(value)), value, bytes(_TTL_BYTES)))


def read(frame: bytes) -> tuple[Kind, bytes, bytes]:
    """Return what a message is; of PUBLISH its key and value, else nothing twice.

    Raises:
        Malformed: it is none, or its tuple does not fit.
    """
    bare = _BARE.get(frame)
    if bare is not None:
        return bare, b"", b""
    if not frame.startswith(_PUBLISH) or len(frame) == _HEAD.size:
        raise Malformed
    value_at = _HEAD.size + 1 + frame[_HEAD.size]
    key, size = frame[_HEAD.size + 1 : value_at], frame[value_at : value_at + _VALUE.size]
    if len(size) < _VALUE.size:
        raise Malformed
    value = frame[value_at + _VALUE.size : -_TTL_BYTES]
    if len(frame) != value_at + _VALUE.size + _VALUE.unpack(size)[0] + _TTL_BYTES or not fits(key, value):
        raise Malformed
    return Kind.PUBLISH, key, value
