"""The kinds of control messages: each is a class with its number, and is found by that."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, TypeVar

from msgspec import Struct

H = TypeVar("H")


class Control(Struct, frozen=True, omit_defaults=True):
    """A control message. A new kind is a subclass in control.py or gossip.py, and a handler in the cores that read it.

    Attributes:
        NUMBER: the command that stands for it, from CONTROL_FIRST to 255; no number is ever used again.
    """

    NUMBER: ClassVar[int]


def kinds_of(kind: type[Control]) -> Iterator[type[Control]]:
    """Yield the kinds of control messages that are subclasses of `kind`."""
    for each in kind.__subclasses__():
        if "NUMBER" in vars(each):
            yield each
        yield from kinds_of(each)


def by_number(handlers: Mapping[type[Control], H]) -> dict[int, H]:
    """Return what handles each kind of message by the number that the message carries."""
    return {kind.NUMBER: handler for kind, handler in handlers.items()}
