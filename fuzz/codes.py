"""What text makes of codes: any text, any content that is well sealed, and that with one character changed.

Whatever it is, there is one line about it, which quotes nothing of it.
"""

import base64

from braidmq.errors import ConfigError
from braidmq.trust import code_text
from braidmq.trust.code_text import CONTENT_BYTES_MAX, Kind
from braidmq.trust.codes import BrokerPlace, Netcode, RequestCode, Token
from tests.support.tokens import AUTHORITY, END, NET, member_key

BYTES_MAX = 600

PURE = ((base64, "b32encode"), (base64, "b32decode"))
"""Each text is read as a code of each kind: what base32 makes of it is remembered, which takes the most time."""

QUOTED_CHARS_MAX = 12
"""So many characters of a code may stand in a line by chance, as those that it begins with."""

_KINDS: dict[Kind, type[Netcode | RequestCode | Token]] = {
    Kind.NET: Netcode,
    Kind.REQUEST: RequestCode,
    Kind.TOKEN: Token,
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def one(data: bytes) -> int:
    """Read some bytes as a code, as the content of one, and with a character of that changed.

    Returns:
        How many of them were one.

    Raises:
        AssertionError: what must not be has come to be.
        Exception: something was raised that must not.
    """
    count = _any(data.decode(errors="replace"))
    kind = tuple(Kind)[(data[0] if data else 0) % len(Kind)]
    content, where = data[2:][:CONTENT_BYTES_MAX], data[1] if len(data) > 1 else 0
    text = code_text.encode(kind, content)
    assert code_text.kind_of(text) is kind
    assert code_text.decode(text, kind) == content, "something else comes out"
    count += _any(text)
    at = len(text) - 1 - where % (len(text) - len("braid_net_1_"))
    other = _LETTERS[(_LETTERS.index(text[at]) + 1 + where % 31) % 32]
    assert not _any(text[:at] + other + text[at + 1 :]), "takes what is damaged"
    assert not _any(text[:at]), "takes what is cut short"
    return count


def _any(text: str) -> int:
    count = 0
    for kind, code in _KINDS.items():
        try:
            found = code.decode(text)
        except ConfigError as error:
            said = str(error)
            assert said.isprintable(), "says more than a line"
            assert (
                len(text) <= QUOTED_CHARS_MAX
                or text[QUOTED_CHARS_MAX : 2 * QUOTED_CHARS_MAX] not in said
                or (len(text) < 2 * QUOTED_CHARS_MAX)
            ), "quotes what may be a secret"
            continue
        count += 1
        assert code.decode(found.encode()) == found, "something else is encoded"
        assert code_text.kind_of(text) is kind
    assert count <= 1, "is several things at once"
    return count


def _seeds() -> tuple[bytes, ...]:
    net = Netcode(NET, AUTHORITY, (BrokerPlace("b1", member_key(1), ("tcp://b1.example:5550",)),))
    token = Token(net, b"t" * 32, serial=7, not_after=END, prefix="replica-")
    texts = [net.encode(), RequestCode(NET, "orders", member_key(2)).encode(), token.encode()]
    contents = [
        bytes((number, 0)) + code_text.decode(text, kind)
        for number, (text, kind) in enumerate(zip(texts, Kind, strict=True))
    ]
    return (*(text.encode() for text in texts), *contents, b"", b"braid_net_2_aaaaaaaaaaaaaaaaaaaa")


SEEDS = _seeds()
"""Codes to begin with, and contents of them."""
