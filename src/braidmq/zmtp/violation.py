"""Why a connection has to end."""

from typing import Final

OTHER_KEY: Final = "other-key"
"""Why a client is refused that expects another key than the server's."""

OTHER_NET: Final = "other-net"
"""The same, where the two are of different nets."""


class Violation(Exception):  # noqa: N818 - it is the peer's error
    """The peer does not keep to the protocol, or does not hold the key that it should: the connection is to be cut.

    Its text says what was wrong, in words of our own: nothing that the peer has sent.
    """


class ForeignProtocol(Violation):
    """What is at the other end does not speak ZMTP 3 with CURVE."""


class SpeaksHttp(ForeignProtocol):
    """It speaks HTTP."""


class LacksCurve(ForeignProtocol):
    """It speaks ZMTP, but an older version or another mechanism, which has no keys."""


class WrongKey(Violation):
    """A box does not open: the peer holds another key than the one that this side expects."""


class WrongServer(WrongKey):
    """The client expects another key than this server's. It may be anybody: its own key is not known.

    Attributes:
        why: what the client is told, if it understands that.
    """

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text)
        self.why = why


class Misdeed(Violation):
    """What came out of a box is wrong, so that none but the holder of the key can have done it.

    Of all other violations anybody on the way may be the cause, by changing what passes.
    """


class Refusal(Exception):  # noqa: N818 - it is an answer
    """The server lets this client in no further, and has said so.

    Attributes:
        status: the code of three digits that the client is told, as in RFC 27/ZAP: 300 for a while, 400 for good, 500
            for an error of the server's own.
        who: what the server knows of the client, for its log.
        why: a word that says more than the status, for a client that understands it; empty if there is none.
    """

    def __init__(self, status: str, who: str = "", why: str = "") -> None:
        super().__init__(f"refused with status {status}")
        self.status = status
        self.who = who
        self.why = why
