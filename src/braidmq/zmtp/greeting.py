"""The greeting, with which both sides begin: RFC 37/ZMTP, 64 bytes."""

from typing import Final

from braidmq.zmtp.violation import ForeignProtocol, LacksCurve, SpeaksHttp

GREETING_BYTES: Final = 64
"""Length of a greeting."""

_CLIENT: Final = b"BRD1\r\n\r\n"
"""What a client writes into the padding of the signature, which is not significant in ZMTP. It is a line and an empty
one for servers that speak in lines, as those of HTTP: they answer at once, and are known by that. A server of ours sees
by it that the client understands why it is refused, which those of libzmq do not."""

_SERVER: Final = bytes(8)
_VERSION: Final = bytes((3, 1))
_MECHANISM: Final = b"CURVE".ljust(20, b"\0")
_VERSION_AT: Final = 10
_MECHANISM_AT: Final = 12
_ROLE_AT: Final = 32
_HTTP: Final = (
    b"HTTP/", b"<", b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ", b"PRI *",
)  # fmt: skip
"""How a request or an answer of HTTP begins; some servers answer what they take for an old client with a page alone."""


def greeting(*, server: bool) -> bytes:
    """Return the greeting of a side."""
    signature = b"\xff" + (_SERVER if server else _CLIENT) + b"\x7f"
    return signature + _VERSION + _MECHANISM + bytes((server,)) + bytes(GREETING_BYTES - _ROLE_AT - 1)


def understands_reasons(begin: bytes) -> bool:
    """Whether a client with this greeting understands more of a refusal than its status."""
    return begin[1:9] == _CLIENT


def check_greeting(begin: bytes) -> None:
    """Check as much of a peer's greeting as has come: what cannot become one is known by its first byte that is wrong.

    The 8 bytes within the signature and the filler are not looked at, as RFC 37 wants it. Neither is the role: libzmq
    says that it is a client where it is the server.

    Raises:
        ForeignProtocol: it is none of ZMTP 3 with CURVE.
    """
    if begin.startswith(_HTTP):
        raise SpeaksHttp("speaks HTTP, and no ZMTP")
    if begin[:1] not in (b"", b"\xff") or begin[9:10] not in (b"", b"\x7f"):
        raise ForeignProtocol("does not speak ZMTP")
    version = begin[_VERSION_AT : _VERSION_AT + 1]
    if version and version[0] < 3:
        raise LacksCurve("speaks a version of ZMTP before 3.0, which has no keys")
    mechanism = begin[_MECHANISM_AT:_ROLE_AT]
    if not _MECHANISM.startswith(mechanism):
        raise LacksCurve("speaks ZMTP without CURVE")
