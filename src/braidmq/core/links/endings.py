"""Why a connection or a session has ended, as a member tells it."""

from typing import Final

from braidmq.core.links.link import Failure
from braidmq.wire.control import Goodbye

REFUSAL_CHARS_MAX: Final = 200
"""How much of a broker's reason is kept: with some words in front it fits the text that observers get."""


def why_cut_off(failure: Failure, *, again: bool) -> Failure:
    """Return why a connection was ended before its handshake was complete.

    Once that may happen to a broker that is being stopped, or is at a limit. When it does `again`, it is told for
    what it most likely is: a broker ends a handshake that was not made with its key in order.
    """
    if not again:
        return Failure.HUNG_UP
    return Failure.NOT_THIS_BROKER if failure is Failure.HUNG_UP else failure


def said_of(goodbye: Goodbye, *, was_open: bool) -> str:
    """Return what a member is told of the end of a session, or that there is none; empty if there is no more to say."""
    if not goodbye.text:
        return ""
    what = "ended" if was_open and goodbye.reason == "no-session" else "refuses"
    return f"the broker {what} the session: {goodbye.text[:REFUSAL_CHARS_MAX]}"
