"""Codes as one line of text: what people copy from one terminal and paste into another.

A code is ``braid_net_1_`` (its kind and version) and base32 in small letters: nothing that a shell, a URL or a chat
takes for something else, and one word for a double click. First comes how long the content is, with a checksum of that,
then the content, then a checksum of all. So a code that was cut short is told from one that is damaged. Large letters
and white space, as of a mail that wraps its lines, do no harm. The checksums find accidents and do not stop intent.
"""

import base64
import binascii
import hashlib
import re
from enum import StrEnum
from typing import Final

from braidmq.errors import ConfigError


class Kind(StrEnum):
    """What a code is for."""

    NET = "net"
    """A netcode: what a machine needs to ask for membership. Nothing secret."""
    REQUEST = "req"
    """A request code: who asks. Nothing secret."""
    TOKEN = "tok"  # noqa: S105 - a kind
    """A token: whoever has it can become a member. A secret."""


VERSION: Final = 1

TEXT_CHARS_MAX: Final = 4_000
"""Longest code: a terminal passes lines of up to 4,095 characters to whoever reads from it."""

_SIZE_BYTES: Final = 2
_SIZE_CHECK_BYTES: Final = 3
_HEAD_CHARS: Final = 8
_CHECK_BYTES: Final = 5

CONTENT_BYTES_MAX: Final = (TEXT_CHARS_MAX - len("braid_net_1_") - _HEAD_CHARS) * 5 // 8 - _CHECK_BYTES
"""Longest content: it makes a code of `TEXT_CHARS_MAX`."""

_INPUT_CHARS_MAX: Final = 4 * TEXT_CHARS_MAX
"""Longest text that is looked at: a code with much white space around."""

_CODE = re.compile(r"braid_(net|req|tok)_([0-9]{1,4})_([a-z2-7]*)\Z")

_SAID: Final = {
    Kind.NET: "a netcode, which `braidmq code` prints",
    Kind.REQUEST: "a request code, which `braidmq join` prints for `braidmq add node NAME --request`",
    Kind.TOKEN: "a token, which `braidmq invite` prints",
}


def encode(kind: Kind, content: bytes) -> str:
    """Return a code.

    Raises:
        ConfigError: the content is longer than `CONTENT_BYTES_MAX`.
    """
    if len(content) > CONTENT_BYTES_MAX:
        raise ConfigError(f"a code holds at most {CONTENT_BYTES_MAX} bytes, not {len(content)}: leave brokers out")
    begin = _begin(kind)
    size = len(content).to_bytes(_SIZE_BYTES)
    head = _base32(size + _digest(begin, size)[:_SIZE_CHECK_BYTES])
    return begin + head + _base32(content + _digest(begin, size + content)[:_CHECK_BYTES])


def kind_of(text: str) -> Kind | None:
    """Return what a text claims to be; None if it is no code at all. Whether it is whole, `decode` finds out.

    Raises:
        ConfigError: it is too long for a code.
    """
    found = _CODE.match(_tidy(text))
    return None if found is None else Kind(found[1])


def decode(text: str, kind: Kind) -> bytes:
    """Return the content of a code.

    Raises:
        ConfigError: it is no code, of another kind or version, cut short, or damaged. One line says which, and quotes
            nothing of it: it may be a secret.
    """
    text = _tidy(text)
    if not text:
        raise ConfigError(f"there is no code: paste {_SAID[kind]}")
    found = _CODE.match(text)
    if found is None:
        if any(_begin(each).startswith(text) for each in Kind):
            raise ConfigError("the code is cut short: copy all of its line")
        if text.startswith("braid_"):
            raise ConfigError("the code is damaged: copy it once more, and nothing beside it")
        raise ConfigError(f"this is no code of BraidMQ: paste {_SAID[kind]}")
    if found[1] != kind:
        raise ConfigError(f"this is {_SAID[Kind(found[1])]}, and here goes {_SAID[kind]}")
    if int(found[2]) != VERSION:
        raise ConfigError(
            f"the code has version {int(found[2])}, and this braidmq reads {VERSION}: use the same braidmq at both ends"
        )
    return _content(text[: found.start(3)], found[3])


def _content(begin: str, rest: str) -> bytes:
    if len(rest) < _HEAD_CHARS:
        raise ConfigError("the code is cut short: copy all of its line")
    head = base64.b32decode(rest[:_HEAD_CHARS].upper())
    size = head[:_SIZE_BYTES]
    content_bytes = int.from_bytes(size)
    if _digest(begin, size)[:_SIZE_CHECK_BYTES] != head[_SIZE_BYTES:] or content_bytes > CONTENT_BYTES_MAX:
        raise ConfigError("the code is damaged: copy it once more, and nothing beside it")
    body = rest[_HEAD_CHARS:]
    chars = ((content_bytes + _CHECK_BYTES) * 8 + 4) // 5
    if len(body) < chars:
        missing = chars - len(body)
        raise ConfigError(f"the code is cut short by {missing} of its characters: copy all of its line")
    if len(body) > chars:
        raise ConfigError("the code is longer than it can be: copy it once more, and nothing beside it")
    try:
        data = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
    except binascii.Error:
        data = b""
    content, check = data[:content_bytes], data[content_bytes:]
    if _digest(begin, size + content)[:_CHECK_BYTES] != check or _base32(data) != body:
        raise ConfigError("the code is damaged: copy it once more, and nothing beside it")
    return content


def _begin(kind: Kind) -> str:
    return f"braid_{kind}_{VERSION}_"


def _tidy(text: str) -> str:
    """Return a text without white space, in small letters; raise ConfigError if no code is as long."""
    if len(text) > _INPUT_CHARS_MAX or len(text := "".join(text.split()).lower()) > TEXT_CHARS_MAX:
        raise ConfigError(f"this is too long for a code, which has at most {TEXT_CHARS_MAX} characters")
    return text


def _digest(begin: str, data: bytes) -> bytes:
    return hashlib.sha256(begin.encode() + data).digest()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
