"""The greeting, with which both sides begin: RFC 37/ZMTP, 64 bytes."""

from typing import Final

from braidmq.zmtp.violation import ForeignProtocol

GREETING_BYTES: Final = 64
"""Length of a greeting."""

_SIGNATURE: Final = b"\xff" + bytes(8) + b"\x7f"
_VERSION: Final = bytes((3, 1))
_MECHANISM: Final = b"CURVE".ljust(20, b"\0")
_VERSION_AT: Final = 10
_MECHANISM_AT: Final = 12
_ROLE_AT: Final = 32


def greeting(*, server: bool) -> bytes:
    """Return the greeting of a side."""
    return _SIGNATURE + _VERSION + _MECHANISM + bytes((server,)) + bytes(GREETING_BYTES - _ROLE_AT - 1)


def check_greeting(begin: bytes) -> None:
    """Check as much of a peer's greeting as has come: what cannot become one is known by its first byte that is wrong.

    The 8 bytes within the signature and the filler are not looked at, as RFC 37 wants it. Neither is the role: libzmq
    says that it is a client where it is the server.

    Raises:
        ForeignProtocol: it is none of ZMTP 3 with CURVE.
    """
    if begin[:1] not in (b"", b"\xff") or begin[9:10] not in (b"", b"\x7f"):
        raise ForeignProtocol("does not speak ZMTP")
    version = begin[_VERSION_AT : _VERSION_AT + 1]
    if version and version[0] < 3:
        raise ForeignProtocol("speaks a version of ZMTP before 3.0, which has no keys")
    mechanism = begin[_MECHANISM_AT:_ROLE_AT]
    if not _MECHANISM.startswith(mechanism):
        raise ForeignProtocol("speaks ZMTP without CURVE")
