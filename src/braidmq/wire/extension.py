"""The extension block of an exchange message: what it may say beside its prefix, its names and its payload.

Fields: docs/protocol.md, "Extension fields". What a caller says there to the handler is the request's metadata. One
more kind of it takes a number in `Field` and a line in `_METADATA` here, and a field of its name in `messages.Request`.
"""

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final

import msgspec

from braidmq.errors import ConfigError, ProtocolError
from braidmq.wire.limits import FIELDS_MAX, HEADERS_BYTES_MAX

_FIELD: Final = struct.Struct("!BH")
_HEADERS_DECODER: Final = msgspec.msgpack.Decoder(dict[str, str])


class Field(IntEnum):
    """The types of the fields of an extension block."""

    HEADERS = 1
    """A MessagePack map of strings to strings: the caller's."""
    INSTANCE = 2
    """Which process of the worker it is: the one that speaks, or the one that a REQUEST is addressed to."""
    AVOID = 3
    """A worker, as its name behind its instance, that a REQUEST should not be given to if another one can have it."""
    PROOF = 4
    """REQUEST: the caller's CURVE key, by which it asks for a proof. REPLY: the proof, and the worker's certificate."""
    INVITATION = 5
    """REPLY: the invitation that the worker's enrolment relies on, if PROOF has that instead of a certificate."""


INSTANCE_BYTES: Final = 8
"""Length of the random number that tells the processes with one join file apart."""


def pack_field(kind: int, body: bytes) -> bytes:
    """Return a field of an extension block."""
    return _FIELD.pack(kind, len(body)) + body


def field_of(extension: bytes, kind: int) -> bytes | None:
    """Return the body of the first field of a type in an extension block, or None.

    Raises:
        ProtocolError: the block is malformed, as far as it was looked at.
    """
    at, end, left = 0, len(extension), FIELDS_MAX
    while at < end:
        if not left:
            raise ProtocolError(f"an extension block of more than {FIELDS_MAX} fields")
        left -= 1
        if end - at < _FIELD.size:
            raise ProtocolError("an extension field is cut off")
        found, size = _FIELD.unpack_from(extension, at)
        at += _FIELD.size
        if size > end - at:
            raise ProtocolError("an extension field reaches beyond its block")
        if found == kind:
            return extension[at : at + size]
        at += size
    return None


def encode_metadata(metadata: Mapping[str, object]) -> bytes:
    """Return the extension fields that carry what a caller says to the handler, by name; None says nothing.

    Raises:
        ConfigError: something of it is not what it must be.
    """
    block = b""
    for name, (_, encode, _) in _METADATA.items():
        value = metadata.get(name)
        if value is not None:
            block += encode(value)
    return block


def decode_metadata(extension: bytes) -> dict[str, Any]:
    """Return what an extension block says to the handler, by the names of the fields of a Request.

    Raises:
        ProtocolError: the block is malformed.
    """
    return {name: decode(extension) for name, (_, _, decode) in _METADATA.items()}


def metadata_of(extension: bytes) -> bytes:
    """Return what an extension block says to the handler as bytes that are the same for the same words.

    Headers stand bare, as they tell themselves where they end; what else there is follows as fields, in order.

    Raises:
        ProtocolError: the block is malformed.
    """
    said = b""
    for kind, _, _ in _METADATA.values():
        body = field_of(extension, kind)
        if body is not None:
            said += body if kind == Field.HEADERS else pack_field(kind, body)
    return said


def encode_headers(headers: object) -> bytes:
    """Return the extension field that carries `headers`; empty for none.

    Raises:
        ConfigError: it is no mapping, a header is not a string of valid Unicode, or all of them are too large.
    """
    if not isinstance(headers, Mapping):
        raise ConfigError(f"headers must map strings to strings, not {headers!r}")
    if not headers:
        return b""
    if not all(isinstance(key, str) and isinstance(value, str) for key, value in headers.items()):
        raise ConfigError("headers must map strings to strings")
    try:
        body = msgspec.msgpack.encode(dict(headers))
    except UnicodeEncodeError as error:
        raise ConfigError(f"a header is not valid Unicode: {error}") from None
    if len(body) > HEADERS_BYTES_MAX:
        raise ConfigError(f"headers of {len(body)} bytes exceed {HEADERS_BYTES_MAX}: put them into the payload")
    return pack_field(Field.HEADERS, body)


def decode_headers(extension: bytes) -> dict[str, str]:
    """Return the headers in an extension block; fields of other types are skipped.

    Raises:
        ProtocolError: the block is malformed.
    """
    body = field_of(extension, Field.HEADERS)
    if body is None:
        return {}
    try:
        return _HEADERS_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"the headers are malformed: {error}") from None


_METADATA: Final[dict[str, tuple[int, Callable[[object], bytes], Callable[[bytes], object]]]] = {
    "headers": (Field.HEADERS, encode_headers, decode_headers),
}
"""What a caller can say to the handler, by the name that `Request` has for it: the field that carries it, what makes
that of a caller's argument, and what reads it from an extension block, also from one without it."""

NO_METADATA: Final = decode_metadata(b"")
"""What a request without an extension block says."""
