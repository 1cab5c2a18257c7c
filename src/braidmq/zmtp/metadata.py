"""The metadata of a handshake: names with values (RFC 37/ZMTP)."""

import re
from typing import Final

from braidmq.zmtp.violation import Violation

_NAME: Final = re.compile(rb"[A-Za-z0-9\-_.+]+")


def encode_metadata(properties: dict[bytes, bytes]) -> bytes:
    """Return metadata as it travels."""
    return b"".join(
        bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value for name, value in properties.items()
    )


def decode_metadata(raw: bytes) -> dict[bytes, bytes]:
    """Return the properties by their names in lower case, which do not depend on case. Raises Violation."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(raw):
        value_at = at + 1 + raw[at] + 4
        name = raw[at + 1 : value_at - 4]
        end = value_at + int.from_bytes(raw[value_at - 4 : value_at], "big")
        if end > len(raw) or not _NAME.fullmatch(name):
            raise Violation("malformed metadata")
        if name.lower() in found:
            raise Violation("metadata that says something twice")
        found[name.lower()] = raw[value_at:end]
        at = end
    return found
