"""A request's head as it came, and an answer as it leaves: HTTP without its bytes."""

from typing import Final

import msgspec

JSON: Final = b"application/json"


class Head(msgspec.Struct, eq=False, frozen=True):
    """The head of one request.

    Attributes:
        method: in capitals, as it came.
        target: the request target, not decoded.
        fields: the header fields in their order, names in lower case.
        address: where it came from, for the log.
        names: what the caller's certificate names it, DNS names and URIs; nothing without a certificate.
    """

    method: str
    target: bytes
    fields: list[tuple[bytes, bytes]]
    address: str = ""
    names: tuple[str, ...] = ()


class Answer(msgspec.Struct, eq=False, frozen=True):
    """The answer to one request.

    Attributes:
        status: an HTTP status.
        body: what it says; it is left out where the request was HEAD.
        content_type: of the body.
        fields: further header fields.
        closes: whether the connection ends with it.
    """

    status: int
    body: bytes = b""
    content_type: bytes = JSON
    fields: tuple[tuple[bytes, bytes], ...] = ()
    closes: bool = False
