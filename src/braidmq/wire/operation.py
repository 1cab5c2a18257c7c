"""What those who operate a net ask of its brokers, and what comes of it. Fields: docs/protocol.md, "Operations"."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from braidmq.wire.gossip import Count, Name
from braidmq.wire.kinds import Control
from braidmq.wire.limits import TEXT_CHARS_MAX

Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]


class Operate(Control, frozen=True):
    """Asks a broker to do something for whoever runs the net. Only members with the right to operate are heard.

    Attributes:
        number: comes back with the answer.
        action: see the constants below; a broker says so if it does not know it.
        name: whom it is about: the broker itself, or a node.
        force: whether to do it where nobody is left for the others then.
    """

    NUMBER = 60
    number: Count
    action: Text
    name: Name
    force: bool = False


DRAIN: Final = "drain"
"""The broker ends, in order: see Goodbye."""

TAKE_OUT: Final = "take-out"
"""A node gets no new work from the broker, until it is put back or its sessions there have ended."""

PUT_BACK: Final = "put-back"
"""A node that was taken out gets work again."""


class Operated(Control, frozen=True):
    """The answer to Operate.

    Attributes:
        number: that of the question.
        outcome: see the constants below; any other means that it was not done.
        text: what was done, or why not.
    """

    NUMBER = 61
    number: Count
    outcome: Text
    text: Text = ""


DONE: Final = "done"
"""It is as was asked for."""

NOTHING: Final = "nothing"
"""There was nothing to do: the broker does not have the node, or has not taken it out."""

REFUSED: Final = "refused"
"""It was not done."""

DENIED: Final = "denied"
"""The asker has no right to it."""


class Withheld(Control, frozen=True):
    """Tells a node whether a broker withholds new work from it, as somebody has asked for.

    Attributes:
        by: who has.
        out: whether it was taken out; else it was put back.
    """

    NUMBER = 62
    by: Name
    out: bool = False


class OperationStatus(Struct, frozen=True, omit_defaults=True):
    """What a broker has done for a member with the right to operate.

    Attributes:
        action: see Operate.
        name: whom it was about.
        by: who has asked for it.
        ago_ms: how long ago that was.
    """

    action: str
    name: str
    by: str
    ago_ms: int = 0
