"""What a checker finds."""

import msgspec

from braidmq.printable import printable


class Violation(msgspec.Struct, frozen=True):
    """Something that must not be.

    Attributes:
        rule: the checker that found it.
        text: what is wrong, on one line.
        at: when, as far as it can be told; None for something that never happened.
        id: the request that it is about, if it is about one.
    """

    rule: str
    text: str
    at: float | None = None
    id: bytes = b""

    def __str__(self) -> str:
        return printable(f"{self.rule}: {self.text}")
