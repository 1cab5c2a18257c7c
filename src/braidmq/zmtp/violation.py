"""Why a connection has to end."""


class Violation(Exception):  # noqa: N818 - it is the peer's error
    """The peer does not keep to the protocol, or does not hold the key that it should: the connection is to be cut.

    Its text says what was wrong, in words of our own: nothing that the peer has sent.
    """


class ForeignProtocol(Violation):
    """What is at the other end does not speak ZMTP 3 with CURVE."""


class WrongKey(Violation):
    """A box does not open: the peer holds another key than the one that this side expects."""


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
    """

    def __init__(self, status: str, who: str = "") -> None:
        super().__init__(f"refused with status {status}")
        self.status = status
        self.who = who
