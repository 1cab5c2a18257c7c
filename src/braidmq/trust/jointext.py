"""The text of a join file, field by field: JSON in exactly one form, so that damage is always noticed.

Format 2 begins with a head that says whose file it is and by a fingerprint what of the net it tells: whoever keeps many
of them up to date need not read them whole.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple

import msgspec

from braidmq.errors import ConfigError
from braidmq.trust.signed import KEY_BYTES, SIGNATURE_BYTES

FORMAT_VERSION: Final = 2

OLD_FORMAT_VERSION: Final = 1

HEAD_BYTES_MAX: Final = 256
"""How far the head of a file reaches at most: its name has 63 characters, all else has a length of its own."""

AGAIN: Final = "get it anew from the directory of the net's authority"

_Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]

_HEAD = re.compile(
    rb'\s*\{"braidmq_join_file":2,"net":"([0-9a-f]{16})","name":"([A-Za-z0-9._-]{1,63})","role":"[a-z]{0,6}",'
    rb'"contents":"([0-9a-f]{32})"'
)


class _Version(msgspec.Struct, frozen=True):
    braidmq_join_file: int


class Text(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Format 2; bytes are base64.

    Without a certificate it has a netcode, and is that of a member which waits for one. With an invitation its
    certificate is an enrolment that relies on it.

    `contents` is the `fingerprint` of what it tells of the net. `checksum` is the SHA-256 of the file as it would be
    with an empty one. It finds damage where no signature does: in secret keys, of which X25519 ignores five bits, and
    in the list of brokers. It does not stop intent.
    """

    braidmq_join_file: int
    net: str
    name: str
    role: str
    contents: str
    secret_key: _Key
    old_secret_key: _Key | None
    next_secret_key: _Key | None
    authority_key: _Key
    certificate: bytes | None
    invitation: bytes | None
    roster: bytes | None
    brokers: tuple[bytes, ...]
    manifest: bytes | None
    netcode: str | None
    checksum: bytes


class OldText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Format 1, which is read and no longer written."""

    braidmq_join_file: int
    net: str
    name: str
    role: str
    secret_key: _Key
    authority_key: _Key
    certificate: bytes
    brokers: tuple[bytes, ...]
    manifest: bytes | None
    checksum: bytes


class Head(NamedTuple):
    """What the beginning of a file says of it; nothing of it is verified."""

    net: str
    name: str
    contents: str


def head(beginning: bytes) -> Head | None:
    """Return the head of a file of which `beginning` has `HEAD_BYTES_MAX`; None if it has another form or format."""
    found = _HEAD.match(beginning)
    return None if found is None else Head(*(each.decode() for each in found.groups()))


def fingerprint(
    certificate: bytes | None,
    invitation: bytes | None,
    roster: bytes | None,
    brokers: Iterable[bytes],
    manifest: bytes | None,
) -> str:
    """Return 32 hex digits that differ for any two files which tell different things of the net.

    Signatures stand for what they cover: the authority never signs two documents alike.
    """
    digest = hashlib.sha256()
    single = ((b"c", certificate), (b"i", invitation), (b"r", roster), (b"m", manifest))
    for kind, blobs in (*((kind, (blob,)) for kind, blob in single), (b"b", brokers)):
        for blob in blobs:
            if blob is not None:
                digest.update(kind + blob[:SIGNATURE_BYTES])
    return digest.hexdigest()[:32]


def encode(text: Text | OldText) -> bytes:
    """Return the file with its checksum."""
    bare = msgspec.structs.replace(text, checksum=b"")
    checksum = hashlib.sha256(msgspec.json.encode(bare)).digest()
    return msgspec.json.encode(msgspec.structs.replace(bare, checksum=checksum))


def decode(data: bytes) -> Text | OldText:
    """Return the fields of the file in `data`. Neither they nor its exact form and checksum are verified.

    Raises:
        ConfigError: it has other fields, or a newer format. The text goes on after the file's name.
    """
    if not data.strip():
        raise ConfigError(f"is empty: {AGAIN}")
    try:
        version = msgspec.json.decode(data, type=_Version).braidmq_join_file
    except msgspec.ValidationError:
        raise ConfigError("is not a join file: name the NAME.braid file that `braidmq add` wrote") from None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise ConfigError(f"is not a join file or is damaged: it is not JSON; {AGAIN}") from None
    if version > FORMAT_VERSION:
        raise ConfigError(f"has format {version}, and this braidmq reads {FORMAT_VERSION}: install a newer braidmq")
    if version < OLD_FORMAT_VERSION:
        raise ConfigError(f"is damaged: there is no format {version}; {AGAIN}")
    try:
        if version == OLD_FORMAT_VERSION:
            return msgspec.json.decode(data, type=OldText)
        return msgspec.json.decode(data, type=Text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(f"is damaged: {error}; {AGAIN}") from None
